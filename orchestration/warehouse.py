"""The dbt project as Dagster assets, and the plans it makes as artifacts of the lake.

dbt is in the data path: it reads parquet of the lake, writes DuckDB, and its plans are exported
back to the lake, where stages read them. One writer: a file lock around the warehouse. What was
planned once from the same inputs is found, not planned again.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from assets.lake import Artifact
from assets.recipe import Recipe
from assets.resources import RECIPES, Factory, Handles, describe
from assets.settings import Settings
from orchestration.dbt import PROJECT, build, dbt_assets, results, sources
from orchestration.studies import comparison_rows

SCORES = ("base_scores", "chat_scores", "teacher_scores")
MARTS = ("scoreboard", "study_results", "study_comparison")


@dataclass(frozen=True)
class Plan:
    """One model that stages read: the artifacts it is made from, the choices that shape it."""

    model: str
    inputs: tuple[str, ...]
    choices: Callable[[Recipe], dict[str, Any]] = lambda recipe: {}

    @property
    def name(self) -> str:
        return f"dbt_{self.model}"


_DECISIONS = (
    "raw_code", "selected_code", "exact_deduped_code", "fuzzy_deduped_code", "transformed_code",
    "filtered_code", "sampled_corpus",
)  # fmt: skip
_DEDUP = ("exact_deduped_code", "fuzzy_deduped_code")
SAMPLING = (
    Plan("composition", ("filtered_code",)),
    Plan(
        "sampling_plan",
        ("filtered_code",),
        lambda recipe: {
            "total_bytes": recipe.sample.total_bytes,
            "max_language_share": recipe.sample.max_language_share,
            "language_bytes": recipe.sample.language_bytes,
        },
    ),
)
MIXES = (
    Plan(
        "anneal_mix",
        ("sampled_corpus", "algorithmic_corpus", "verified_snippets"),
        lambda recipe: {"anneal_mix": dict(recipe.anneal.mix)},
    ),
    Plan(
        "sft_mix",
        ("sft_stage1_set", "sft_stage2_set"),
        lambda recipe: {"sft_strategy": recipe.sft.strategy},
    ),
    Plan("drop_reasons", _DECISIONS),
    Plan("funnel", _DECISIONS),
    Plan("rule_report", ("filtered_code",)),
    Plan("rule_overlaps", ("filtered_code",)),
    Plan("duplicate_clusters", _DEDUP),
    Plan("cluster_sizes", _DEDUP),
    Plan("top_clusters", _DEDUP),
    Plan("duplicate_rates", _DEDUP),
    Plan("vendoring", _DEDUP),
)


def project_digest() -> str:
    """Hash of the project's SQL and YAML: the version of every plan."""
    parts = [
        path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes()
        for path in sources()
    ]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def schema_name(partition: str) -> str:
    """Schema of a recipe's models: readable, and distinct for distinct partition keys."""
    safe = re.sub(r"[^a-z0-9]+", "_", partition.lower()).strip("_")
    if safe == partition:
        return safe
    return f"{safe[:80]}_{hashlib.sha256(partition.encode()).hexdigest()[:8]}"


def warehouse_assets() -> list[dg.AssetsDefinition]:
    """The dbt models as three groups of assets: plans, mixes with the funnel, scoreboard."""

    @dbt_assets(tag="plan", name="sampling_plans", partitions_def=RECIPES)
    def sampling_plans(context: dg.AssetExecutionContext, factory: Factory) -> Iterator[Any]:
        yield from _plans(context, factory, SAMPLING)

    @dbt_assets(tag="mix", name="training_mixes", partitions_def=RECIPES)
    def training_mixes(context: dg.AssetExecutionContext, factory: Factory) -> Iterator[Any]:
        yield from _plans(context, factory, MIXES)

    @dbt_assets(tag="scoreboard", name="scoreboards")
    def scoreboards(context: dg.AssetExecutionContext, factory: Factory) -> Iterator[Any]:
        yield from _scoreboard(context, factory)

    return [sampling_plans, training_mixes, scoreboards]


def _plans(
    context: dg.AssetExecutionContext,
    factory: Factory,
    plans: tuple[Plan, ...],
) -> Iterator[Any]:
    """Make the plans of one recipe: dbt runs once, and only if one of them is not in the lake.

    The parameters hold no partition key, so variants share the plans they do not change.
    """
    partition, recipe = context.partition_key, factory.recipe(context)
    schema = schema_name(partition)
    plans = tuple(p for p in plans if dg.AssetKey(p.model) in context.selected_asset_keys)
    names = sorted({name for plan in plans for name in plan.inputs})
    inputs = {name: factory.held(name, partition) for name in names}
    variables: dict[str, Any] = {
        "recipe_schema": schema,
        "lake": {
            f"{name}_{table}": f"{artifact.path / table}/*.parquet"
            for name, artifact in inputs.items()
            for table in artifact.manifest.tables
        },
    }
    for plan in plans:
        variables |= plan.choices(recipe)
    built = False

    def export(model: str, out: Path) -> None:
        nonlocal built
        if not built:
            _build(context, factory.settings, variables)
            built = True
        _export(factory.settings, schema, (model,), out)

    made: dict[str, Artifact] = {}
    for plan in plans:
        artifact = factory.materialize(
            plan.name,
            functools.partial(export, plan.model),
            {name: inputs[name] for name in plan.inputs},
            plan.choices(recipe),
            project_digest(),
        )
        factory.record(context, artifact, plan.name)
        made[plan.model] = artifact
        Handles(factory.settings.home).write(plan.model, partition, artifact)
    if not built:
        _attach(factory.settings, schema, made)
    yield from results(context, {model: describe(artifact) for model, artifact in made.items()})


def _scoreboard(context: dg.AssetExecutionContext, factory: Factory) -> Iterator[Any]:
    settings = factory.settings
    handles = Handles(settings.home).folder
    held = [
        json.loads(p.read_text()) for name in SCORES for p in sorted(handles.glob(f"{name}/*.json"))
    ]
    scored = [entry for entry in held if Path(entry["path"]).is_dir()]
    variables: dict[str, Any] = {"studies": comparison_rows()}
    if scored:
        # every score table has the same shape, and names its artifact in its path
        variables["ledger"] = f"{handles}/*_scores/*.json"
        variables["scores"] = f"{Path(scored[0]['path']).parents[1]}/*_scores/*/scores/*.parquet"

    def compute(out: Path) -> None:
        _build(context, settings, variables)
        _export(settings, "marts", MARTS, out)

    ledger = sorted([e["asset"], e["partition"], e["fingerprint"]] for e in scored)
    artifact = factory.materialize(
        "dbt_scoreboard", compute, {}, {"ledger": ledger, "studies": variables["studies"]},
        project_digest(),
    )  # fmt: skip
    made = dict.fromkeys(MARTS, artifact)
    for model in MARTS:
        Handles(settings.home).write(model, "all", artifact)
    if artifact.found:
        _attach(settings, "marts", made)
    yield from results(context, dict.fromkeys(MARTS, describe(artifact)))


def _build(
    context: dg.AssetExecutionContext, settings: Settings, variables: Mapping[str, Any]
) -> None:
    """Run dbt for the models and checks that the context selects; dbt's log stays in the home."""
    models = {key.to_user_string() for key in context.selected_asset_keys}
    tests = {check.name for check in context.selected_asset_check_keys}
    target = settings.home / "dbt" / context.run_id[:8]
    with _writer(settings):
        build(sorted(models | tests), variables, settings.warehouse, target)


@contextlib.contextmanager
def _writer(settings: Settings) -> Iterator[None]:
    """One process at a time writes the warehouse; others wait."""
    settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    with open(settings.warehouse.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _export(settings: Settings, schema: str, models: tuple[str, ...], out: Path) -> None:
    import duckdb

    with _writer(settings), duckdb.connect(str(settings.warehouse), read_only=True) as connection:
        for model in models:
            (out / model).mkdir()
            target = out / model / "part-00000.parquet"
            connection.execute(
                f'copy (from "{schema}"."{model}") to \'{target}\' (format parquet, codec zstd)'
            )


def _attach(settings: Settings, schema: str, made: Mapping[str, Artifact]) -> None:
    """Show plans that were found in the lake in the warehouse too, as views of the artifacts."""
    import duckdb

    with _writer(settings), duckdb.connect(str(settings.warehouse)) as connection:
        connection.execute(f'create schema if not exists "{schema}"')
        there = dict(
            connection.execute(
                "select table_name, table_type from information_schema.tables "
                "where table_schema = ?",
                [schema],
            ).fetchall()
        )
        for model, artifact in sorted(made.items()):
            if model in there:
                kind = "view" if there[model] == "VIEW" else "table"
                connection.execute(f'drop {kind} "{schema}"."{model}"')
            files = artifact.table(model) / "*.parquet"
            connection.execute(
                f'create view "{schema}"."{model}" as from read_parquet(\'{files}\')'
            )
