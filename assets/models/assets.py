"""Dagster assets of the models: tokenizer, shards, and four trainings as graphs of ops.

Each training is prepare -> train -> register: prepare turns recipe and artifacts into an order,
train launches ``training/`` through Pipes (pool ``gpu``), register records the checkpoint in
MLflow. An interrupted training continues from its last checkpoint.
"""

import json
from pathlib import Path
from typing import Any

import dagster as dg

from assets.lake import Artifact
from assets.models.launch import launch
from assets.models.orders import Order, anneal_order, pretrain_order, sft_order
from assets.resources import RECIPES, Factory, describe, recipe_asset
from training.report import read_metrics

#: What MLflow gets of each step, where it was measured.
CURVES = (
    "loss", "heldout_bits_per_byte", "lr", "grad_norm", "tokens_per_second", "mfu",
    "data_wait_share", "memory_bytes",
)  # fmt: skip

#: Registry alias of each checkpoint.
ALIASES = {
    "pretrained_model": "pretrained",
    "annealed_model": "base",
    "sft_stage1_model": "sft1",
    "sft_stage2_model": "chat",
}


@recipe_asset(group_name="models", kinds={"huggingface"})
def tokenizer(
    context: dg.AssetExecutionContext,
    factory: Factory,
    pipes: dg.PipesSubprocessClient,
    sampled_corpus: Artifact,
) -> dg.MaterializeResult:
    """Byte-level BPE tokenizer learnt from the corpus."""
    choices = factory.recipe(context).tokenizer.model_dump(mode="json")

    def compute(out: Path) -> None:
        documents = str(sampled_corpus.table("documents"))
        config = {**choices, "documents": documents, "out": str(out)}
        launch(context, pipes, factory.settings, "tokenizer", config, out)

    return factory.produce(
        context,
        compute,
        inputs={"sampled_corpus": sampled_corpus},
        params=choices,
        version="2",  # pieces without a break are learnt from in parts
    )


@recipe_asset(group_name="models", kinds={"numpy"})
def token_shards(
    context: dg.AssetExecutionContext,
    factory: Factory,
    pipes: dg.PipesSubprocessClient,
    tokenizer: Artifact,
    sampled_corpus: Artifact,
    algorithmic_corpus: Artifact,
    verified_snippets: Artifact,
) -> dg.MaterializeResult:
    """Tokenised corpus, algorithmic corpus and verified snippets, memory-mapped."""
    texts = {
        "corpus": sampled_corpus,
        "algorithmic": algorithmic_corpus,
        "snippets": verified_snippets,
    }

    def compute(out: Path) -> None:
        for name, artifact in texts.items():
            if artifact.rows("documents") == 0:
                continue
            folder = out / name
            config = {
                "tokenizer": str(tokenizer.path),
                "documents": str(artifact.table("documents")),
                "out": str(folder),
            }
            launch(context, pipes, factory.settings, "shards", config, out)

    return factory.produce(
        context,
        compute,
        inputs={"tokenizer": tokenizer, **texts},
        metrics=lambda artifact: {
            f"{index.parent.name}_tokens": json.loads(index.read_text())["tokens"]
            for index in sorted(artifact.path.glob("*/index.json"))
        },
    )


@dg.op
def prepare_pretraining(
    context: dg.OpExecutionContext,
    factory: Factory,
    token_shards: Artifact,
    tokenizer: Artifact,
    heldout_code: Artifact,
) -> dict[str, Any]:
    recipe = factory.recipe(context)
    return pretrain_order(recipe, token_shards, tokenizer, heldout_code).model_dump(mode="json")


@dg.op
def prepare_annealing(
    context: dg.OpExecutionContext,
    factory: Factory,
    pretrained_model: Artifact,
    token_shards: Artifact,
    anneal_mix: Artifact,
    heldout_code: Artifact,
) -> dict[str, Any]:
    weights = {row["source"]: row["weight"] for row in _rows(anneal_mix, "anneal_mix")}
    there = {path.parent.name for path in token_shards.path.glob("*/index.json")}
    order = anneal_order(
        factory.recipe(context),
        pretrained_model,
        token_shards,
        anneal_mix,
        {name: weight for name, weight in weights.items() if name in there},
        heldout_code,
    )
    return order.model_dump(mode="json")


@dg.op
def prepare_sft_stage1(
    context: dg.OpExecutionContext,
    factory: Factory,
    annealed_model: Artifact,
    sft_stage1_set: Artifact,
    sft_stage2_set: Artifact,
    sft_mix: Artifact,
    heldout_code: Artifact,
) -> dict[str, Any]:
    return _prepare_sft(
        context, factory, "sft_stage1_model", annealed_model,
        {"stage1": sft_stage1_set, "stage2": sft_stage2_set}, sft_mix, heldout_code,
    )  # fmt: skip


@dg.op
def prepare_sft_stage2(
    context: dg.OpExecutionContext,
    factory: Factory,
    sft_stage1_model: Artifact,
    sft_stage1_set: Artifact,
    sft_stage2_set: Artifact,
    sft_mix: Artifact,
    heldout_code: Artifact,
) -> dict[str, Any]:
    return _prepare_sft(
        context, factory, "sft_stage2_model", sft_stage1_model,
        {"stage1": sft_stage1_set, "stage2": sft_stage2_set}, sft_mix, heldout_code,
    )  # fmt: skip


@dg.op(pool="gpu")
def train(
    context: dg.OpExecutionContext,
    factory: Factory,
    pipes: dg.PipesSubprocessClient,
    order: dict[str, Any],
) -> dg.Output[Artifact]:
    """Run the training that was ordered, or find its checkpoint in the lake."""
    wanted = Order.model_validate(order)
    inputs = wanted.artifacts(factory.lake)
    if wanted.same_as is not None:
        return dg.Output(inputs[wanted.same_as])

    def compute(out: Path) -> None:
        config = wanted.config(inputs, out)
        launch(context, pipes, factory.settings, wanted.command, config, out)

    done = factory.materialize(wanted.asset, compute, inputs, wanted.identity(), resumable=True)
    return dg.Output(done)


@dg.op
def register(
    context: dg.OpExecutionContext, factory: Factory, order: dict[str, Any], checkpoint: Artifact
) -> dg.Output[Artifact]:
    """Record the checkpoint in MLflow, with its curves, and register it as a model version."""
    asset = Order.model_validate(order).asset
    summary = json.loads((checkpoint.path / "summary.json").read_text())
    logs = checkpoint.path / "logs"
    history: dict[str, list[tuple[int, float]]] = {}
    for row in read_metrics(logs / "metrics.jsonl"):
        for name in CURVES:
            if isinstance(row.get(name), int | float):
                history.setdefault(name, []).append((row["step"], row[name]))
    values = {
        **{f"heldout_bits_per_byte_{k}": v for k, v in summary["heldout_bits_per_byte"].items()},
        "final_loss": summary["final_loss"],
        "tokens": summary["tokens"],
        "skipped_steps": summary["skipped_steps"],
        "parameters": summary["parameters"],
    }
    metrics = {name: float(value) for name, value in values.items() if value is not None}
    picture = logs / "loss.png"  # absent where the trainer had no matplotlib
    files = [file for file in (picture, logs / "config.json") if file.is_file()]
    run_id = factory.record(context, checkpoint, asset, metrics, history, files)
    version = factory.tracking.register_model(
        factory.recipe(context), context.partition_key, checkpoint, run_id, ALIASES[asset]
    )
    return dg.Output(
        checkpoint,
        metadata={
            **describe(checkpoint),
            **metrics,
            **({"loss": _picture(picture)} if picture.is_file() else {}),
            "summary": dg.MetadataValue.json(summary),
            "mlflow_run_id": run_id,
            "model_version": version,
        },
        data_version=dg.DataVersion(checkpoint.digest),
    )


@dg.graph_asset(partitions_def=RECIPES, group_name="models", kinds={"pytorch"})
def pretrained_model(
    token_shards: Artifact, tokenizer: Artifact, heldout_code: Artifact
) -> Artifact:
    """Stable checkpoint: warmup, then a constant learning rate (WSD)."""
    order = prepare_pretraining(token_shards, tokenizer, heldout_code)
    return register(order, train(order))


@dg.graph_asset(partitions_def=RECIPES, group_name="models", kinds={"pytorch"})
def annealed_model(
    pretrained_model: Artifact, token_shards: Artifact, anneal_mix: Artifact, heldout_code: Artifact
) -> Artifact:
    """Base model: the stable checkpoint annealed on high-quality data."""
    order = prepare_annealing(pretrained_model, token_shards, anneal_mix, heldout_code)
    return register(order, train(order))


@dg.graph_asset(partitions_def=RECIPES, group_name="models", kinds={"pytorch"})
def sft_stage1_model(
    annealed_model: Artifact,
    sft_stage1_set: Artifact,
    sft_stage2_set: Artifact,
    sft_mix: Artifact,
    heldout_code: Artifact,
) -> Artifact:
    """First stage of instruction tuning: broad and plentiful."""
    order = prepare_sft_stage1(
        annealed_model, sft_stage1_set, sft_stage2_set, sft_mix, heldout_code
    )
    return register(order, train(order))


@dg.graph_asset(partitions_def=RECIPES, group_name="models", kinds={"pytorch"})
def sft_stage2_model(
    sft_stage1_model: Artifact,
    sft_stage1_set: Artifact,
    sft_stage2_set: Artifact,
    sft_mix: Artifact,
    heldout_code: Artifact,
) -> Artifact:
    """Chat model: second stage of instruction tuning, verified code only."""
    order = prepare_sft_stage2(
        sft_stage1_model, sft_stage1_set, sft_stage2_set, sft_mix, heldout_code
    )
    return register(order, train(order))


def _prepare_sft(
    context: dg.OpExecutionContext,
    factory: Factory,
    asset: Any,
    base: Artifact,
    sets: dict[str, Artifact],
    sft_mix: Artifact,
    heldout_code: Artifact,
) -> dict[str, Any]:
    rows = [row for row in _rows(sft_mix, "sft_mix") if row["run"] == asset]
    used = {row["example_set"]: sets[row["example_set"]] for row in rows if row["examples"]}
    order = sft_order(factory.recipe(context), asset, base, used, sft_mix, heldout_code)
    return order.model_dump(mode="json")


def _rows(artifact: Artifact, table: str) -> list[dict[str, Any]]:
    import pyarrow.dataset as pads

    rows: list[dict[str, Any]] = (
        pads.dataset(artifact.table(table), format="parquet").to_table().to_pylist()
    )
    return rows


def _picture(path: Path) -> dg.MarkdownMetadataValue:
    import base64

    data = base64.b64encode(path.read_bytes()).decode()
    return dg.MetadataValue.md(f"![{path.stem}](data:image/png;base64,{data})")
