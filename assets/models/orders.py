"""Training orders: from a recipe and its artifacts to the config file of one training process.

An order is plain data. Its parameters and inputs make the fingerprint of the checkpoint; paths and
devices are filled in when the process is launched. Paper: 3.2 (pretraining), 2.2 (annealing),
4.3 (two-stage instruction tuning).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from assets.lake import Artifact, Lake
from assets.recipe import Optimizer, Recipe, SftStage

Command = Literal["pretrain", "anneal", "sft"]


class Reference(BaseModel):
    """Address of an artifact, small enough to pass between ops."""

    model_config = ConfigDict(frozen=True)
    stage: str
    fingerprint: str

    @staticmethod
    def to(artifact: Artifact) -> Reference:
        return Reference(stage=artifact.manifest.stage, fingerprint=artifact.fingerprint)


class Source(BaseModel):
    """One ingredient: a folder inside an input artifact, and its weight."""

    model_config = ConfigDict(frozen=True)
    name: str
    artifact: str
    folder: str
    weight: float = 1.0


class Order(BaseModel):
    """What one training process is asked for.

    ``same_as`` names an input whose model is passed on untrained: the strategy of the recipe gives
    this run nothing to learn from. ``base_folder`` is the checkpoint inside the base that the run
    starts from; empty for its end.
    """

    model_config = ConfigDict(frozen=True)
    asset: str
    command: Command
    params: dict[str, Any]
    sources: list[Source]
    inputs: dict[str, Reference]
    same_as: str | None = None
    base_folder: str = ""

    def artifacts(self, lake: Lake) -> dict[str, Artifact]:
        return {name: lake.open(r.stage, r.fingerprint) for name, r in self.inputs.items()}

    def identity(self) -> dict[str, Any]:
        """Parameters of the fingerprint."""
        return {
            "command": self.command,
            **{k: v for k, v in self.params.items() if k not in EXECUTION},
            "sources": [source.model_dump() for source in self.sources],
            **({"base_folder": self.base_folder} if self.base_folder else {}),
        }

    def config(self, artifacts: Mapping[str, Artifact], out: Path) -> dict[str, Any]:
        """The config file of ``python -m training``."""
        config: dict[str, Any] = {
            **self.params,
            "out": str(out),
            **_heldout(artifacts["heldout_code"]),
            "sources": [
                {
                    "name": source.name,
                    "path": str(artifacts[source.artifact].path / source.folder),
                    **({} if self.command == "sft" else {"weight": source.weight}),
                }
                for source in self.sources
            ],
        }
        if "tokenizer" in artifacts:
            config["tokenizer"] = str(artifacts["tokenizer"].path)
        if "base" in artifacts:
            config["init_from"] = str(artifacts["base"].path / self.base_folder)
        return config


#: Keys of a config that say how a result is computed, not which.
EXECUTION = ("micro_batch_size", "checkpoint_every_steps")


def pretrain_order(
    recipe: Recipe, token_shards: Artifact, tokenizer: Artifact, heldout_code: Artifact
) -> Order:
    """Warmup and stable phase on the sampled corpus."""
    pretrain = recipe.pretrain
    return Order(
        asset="pretrained_model",
        command="pretrain",
        params={
            **_run(recipe, pretrain.batch_size, pretrain.micro_batch_size),
            **_adamw(pretrain.optimizer),
            "grad_clip": pretrain.optimizer.grad_clip,
            "model": recipe.model.model_dump(mode="json"),
            "context_length": pretrain.context_length,
            "steps": pretrain.steps,
            "lr_peak": pretrain.lr,
            "warmup_steps": pretrain.warmup_steps,
            "decay": "constant",
            **({"keep_every_steps": kept} if (kept := pretrain.keep_every_steps) else {}),
        },
        sources=[Source(name="corpus", artifact="token_shards", folder="corpus")],
        inputs={
            "token_shards": Reference.to(token_shards),
            "tokenizer": Reference.to(tokenizer),
            "heldout_code": Reference.to(heldout_code),
        },
    )


def anneal_order(
    recipe: Recipe,
    pretrained_model: Artifact,
    token_shards: Artifact,
    anneal_mix: Artifact,
    weights: Mapping[str, float],
    heldout_code: Artifact,
) -> Order:
    """Decay phase, branched from a stable checkpoint, on the mix that dbt planned."""
    pretrain, anneal = recipe.pretrain, recipe.anneal
    step = anneal.from_step if anneal.from_step != pretrain.steps else None
    return Order(
        asset="annealed_model",
        command="anneal",
        params={
            **_run(recipe, pretrain.batch_size, pretrain.micro_batch_size),
            **_adamw(pretrain.optimizer),
            "grad_clip": pretrain.optimizer.grad_clip,
            "context_length": pretrain.context_length,
            "steps": anneal.steps,
            "lr_peak": pretrain.lr,
            "lr_end": anneal.lr_end,
            "decay": "exponential",
        },
        sources=[
            Source(name=name, artifact="token_shards", folder=name, weight=weight)
            for name, weight in sorted(weights.items())
            if weight > 0
        ],
        inputs={
            "base": Reference.to(pretrained_model),
            "token_shards": Reference.to(token_shards),
            "anneal_mix": Reference.to(anneal_mix),
            "heldout_code": Reference.to(heldout_code),
        },
        base_folder="" if step is None else f"checkpoints/step-{step:06d}",
    )


def sft_order(
    recipe: Recipe,
    asset: Literal["sft_stage1_model", "sft_stage2_model"],
    base: Artifact,
    sets: Mapping[str, Artifact],
    sft_mix: Artifact,
    heldout_code: Artifact,
) -> Order:
    """One run of instruction tuning on the example sets that dbt assigned to it.

    ``sets`` is empty for a run that the strategy leaves out: its base is passed on.
    """
    stage = _sft_stage(recipe, sets)
    return Order(
        asset=asset,
        command="sft",
        params={
            **_run(recipe, stage.batch_size, stage.micro_batch_size),
            "epochs": stage.epochs,
            "lr": stage.lr,
            "warmup_steps": stage.warmup_steps,
            "max_length": stage.max_length,
            **({"order": "progressive"} if _is_curriculum(recipe, sets) else {}),
        },
        sources=[Source(name=name, artifact=name, folder="examples") for name in sorted(sets)],
        inputs={
            "base": Reference.to(base),
            "sft_mix": Reference.to(sft_mix),
            "heldout_code": Reference.to(heldout_code),
            **{name: Reference.to(artifact) for name, artifact in sets.items()},
        },
        same_as=None if sets else "base",
    )


def _sft_stage(recipe: Recipe, sets: Mapping[str, Artifact]) -> SftStage:
    """Settings follow the data: those of stage 2 for its set alone, else those of stage 1."""
    return recipe.sft.stage2 if set(sets) == {"stage2"} else recipe.sft.stage1


def _is_curriculum(recipe: Recipe, sets: Mapping[str, Artifact]) -> bool:
    """One set that is empty leaves nothing to progress from."""
    return recipe.sft.strategy == "progressive" and len(sets) > 1


def _heldout(heldout_code: Artifact) -> dict[str, str]:
    """A recipe that keeps no repository out of training has nothing to measure on."""
    if not heldout_code.rows("documents"):
        return {}
    return {"heldout": str(heldout_code.table("documents"))}


def _run(recipe: Recipe, batch_size: int, micro_batch_size: int) -> dict[str, Any]:
    return {
        "seed": recipe.seed,
        "batch_size": batch_size,
        "micro_batch_size": micro_batch_size,
        "checkpoint_every_steps": recipe.pretrain.checkpoint_every_steps,
        "heldout_max_bytes": recipe.evaluation.heldout_bytes,
    }


def _adamw(optimizer: Optimizer) -> dict[str, Any]:
    return {
        "optimizer": optimizer.name,
        "weight_decay": optimizer.weight_decay,
        "betas": [optimizer.beta1, optimizer.beta2],
    }
