"""Dagster assets of the scores: base and chat checkpoints, and a small real model beside them."""

from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from assets.lake import Artifact
from assets.resources import Factory, recipe_asset


@recipe_asset(group_name="scores", kinds={"pytorch"})
def base_scores(
    context: dg.AssetExecutionContext,
    factory: Factory,
    annealed_model: Artifact,
    heldout_code: Artifact,
) -> dg.MaterializeResult:
    """HumanEval, bits per byte of its solutions and of held-out code, for the base model."""
    return _score(context, factory, annealed_model, heldout_code, chat=False)


@recipe_asset(group_name="scores", kinds={"pytorch"})
def chat_scores(
    context: dg.AssetExecutionContext,
    factory: Factory,
    sft_stage2_model: Artifact,
    heldout_code: Artifact,
) -> dg.MaterializeResult:
    """The same scores for the chat model, prompted through its chat template."""
    return _score(context, factory, sft_stage2_model, heldout_code, chat=True)


@recipe_asset(group_name="scores", kinds={"pytorch"})
def teacher_scores(
    context: dg.AssetExecutionContext, factory: Factory, heldout_code: Artifact
) -> dg.MaterializeResult:
    """The same scores of the teacher, a real model; no rows until `make teacher` sets one up."""
    from assets.scores import score

    folder = factory.settings.teacher
    params = factory.recipe(context).evaluation
    digest = teacher_digest(folder)

    def compute(out: Path) -> None:
        if digest is None:
            score.write_no_scores(out)
            return
        score.run(
            out,
            model=folder,
            name="teacher",
            chat=True,
            heldout=_documents(heldout_code),
            params=params,
            seed=0,
            limit=params.teacher_limit,
        )

    return factory.produce(
        context,
        compute,
        inputs={"heldout_code": heldout_code},
        params={"model": digest, **params.model_dump(mode="json")},
        version=score.VERSION,
        metrics=score_metrics,
    )


def _score(
    context: dg.AssetExecutionContext,
    factory: Factory,
    checkpoint: Artifact,
    heldout_code: Artifact,
    *,
    chat: bool,
) -> dg.MaterializeResult:
    from assets.scores import score

    recipe = factory.recipe(context)
    params = recipe.evaluation.model_dump(mode="json", exclude={"teacher_limit", "heldout_bytes"})

    def compute(out: Path) -> None:
        score.run(
            out,
            model=checkpoint.path / "model",
            name=checkpoint.manifest.stage,
            chat=chat,
            heldout=_documents(heldout_code),
            params=recipe.evaluation,
            seed=recipe.seed,
        )

    return factory.produce(
        context,
        compute,
        inputs={"checkpoint": checkpoint, "heldout_code": heldout_code},
        params={**params, "seed": recipe.seed, "chat": chat},
        version=score.VERSION,
        metrics=score_metrics,
    )


def _documents(heldout_code: Artifact) -> Path | None:
    return heldout_code.table("documents") if heldout_code.rows("documents") else None


def score_metrics(artifact: Artifact) -> Mapping[str, float]:
    """``benchmark.metric`` to value, for MLflow and the Dagster page."""
    import pyarrow.dataset as pads

    rows = pads.dataset(artifact.table("scores"), format="parquet").to_table().to_pylist()
    return {f"{row['benchmark']}.{row['metric']}": row["value"] for row in rows}


def teacher_digest(folder: Path) -> str | None:
    """Identity of the teacher: names and sizes of its weight files, and their first megabyte.

    None when there is no teacher.
    """
    import hashlib

    if not folder.exists():
        return None

    digest = hashlib.sha256()
    files = [folder] if folder.is_file() else sorted(folder.glob("*.gguf")) + sorted(
        folder.glob("*.safetensors")
    )  # fmt: skip
    for file in files:
        with open(file, "rb") as handle:
            digest.update(f"{file.name}:{file.stat().st_size}\0".encode() + handle.read(1 << 20))
    return digest.hexdigest()[:16]
