"""The dbt project as Dagster assets, and the plans it makes as artifacts of the lake.

dbt is in the data path: it reads parquet of the lake, writes DuckDB, and its plans are exported
back to the lake, where stages read them. One writer: a file lock around the warehouse. What was
planned once from the same inputs is found, not planned again.
"""

import contextlib
import fcntl
import functools
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import (
    DagsterDbtTranslator,
    DagsterDbtTranslatorSettings,
    DbtCliResource,
    dbt_assets,
)

from assets.lake import Artifact
from assets.recipe import Recipe
from assets.resources import RECIPES, Factory, Handles, describe
from assets.settings import Settings
from orchestration.studies import comparison_rows

PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"
#: dbt of the running environment, whether or not it is activated.
DBT = Path(sys.executable).parent / "dbt"
MANIFEST = PROJECT / "target" / "manifest.json"
SCORES = ("base_scores", "chat_scores", "teacher_scores")
MARTS = ("scoreboard", "study_results", "study_comparison")
#: Every model, after the models that it reads.
MODELS = (
    "stg_filtered_documents", "composition", "sampling_plan",
    "stg_decisions", "anneal_mix", "sft_mix", "drop_reasons", "funnel",
    "stg_filter_verdicts", "rule_report", "rule_overlaps",
    "stg_duplicates", "duplicate_clusters", "cluster_sizes", "top_clusters", "duplicate_rates",
    "vendoring",
    *MARTS,
)  # fmt: skip


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


class Translator(DagsterDbtTranslator):
    """Asset keys are model names; groups are the folders of the models."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        if dbt_resource_props["resource_type"] == "source":
            return super().get_asset_key(dbt_resource_props)
        return dg.AssetKey(dbt_resource_props["name"])

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str:
        return {"staging": "warehouse"}.get(dbt_resource_props["fqn"][1], "warehouse")


def manifest() -> Path:
    """Path of the parsed project; parsed now if it is missing or older than a model."""
    sources = [p for p in PROJECT.rglob("*") if p.suffix in (".sql", ".yml") and "target" not in
               p.relative_to(PROJECT).parts]  # fmt: skip
    newest = max(path.stat().st_mtime for path in sources)
    if not MANIFEST.is_file() or MANIFEST.stat().st_mtime < newest:
        done = subprocess.run(
            [str(DBT), "parse", "--project-dir", str(PROJECT),
             "--profiles-dir", str(PROJECT)],
            env={**os.environ, "DBT_TARGET_PATH": str(MANIFEST.parent),
                 "DBT_LOG_PATH": str(MANIFEST.parent)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"dbt could not parse {PROJECT}:\n{done.stdout}{done.stderr}")
        os.utime(MANIFEST)
    return MANIFEST


def project_digest() -> str:
    """Hash of the project's SQL and YAML: the version of every plan."""
    parts = [
        path.relative_to(PROJECT).as_posix().encode() + b"\0" + path.read_bytes()
        for path in sorted(PROJECT.rglob("*"))
        if path.suffix in (".sql", ".yml") and "target" not in path.relative_to(PROJECT).parts
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
    translator = Translator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))

    @dbt_assets(manifest=manifest(), select="tag:plan", name="sampling_plans", pool="duckdb",
                partitions_def=RECIPES, dagster_dbt_translator=translator)  # fmt: skip
    def sampling_plans(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, factory: Factory
    ) -> Iterator[Any]:
        yield from _plans(context, dbt, factory, SAMPLING)

    @dbt_assets(manifest=manifest(), select="tag:mix", name="training_mixes", pool="duckdb",
                partitions_def=RECIPES, dagster_dbt_translator=translator)  # fmt: skip
    def training_mixes(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, factory: Factory
    ) -> Iterator[Any]:
        yield from _plans(context, dbt, factory, MIXES)

    @dbt_assets(manifest=manifest(), select="tag:scoreboard", name="scoreboards", pool="duckdb",
                dagster_dbt_translator=translator)  # fmt: skip
    def scoreboards(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, factory: Factory
    ) -> Iterator[Any]:
        yield from _scoreboard(context, dbt, factory)

    return [sampling_plans, training_mixes, scoreboards]


def _plans(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
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
    events: list[Any] = []

    def export(model: str, out: Path) -> None:
        if not events:
            events.extend(_run_dbt(context, dbt, factory.settings, variables))
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
    if not events:
        _attach(factory.settings, schema, made)
    yield from events or _found(context, made)


def _scoreboard(
    context: dg.AssetExecutionContext, dbt: DbtCliResource, factory: Factory
) -> Iterator[Any]:
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
    events: list[Any] = []

    def compute(out: Path) -> None:
        events.extend(_run_dbt(context, dbt, settings, variables))
        _export(settings, "marts", MARTS, out)

    ledger = sorted([e["asset"], e["partition"], e["fingerprint"]] for e in scored)
    artifact = factory.materialize(
        "dbt_scoreboard", compute, {}, {"ledger": ledger, "studies": variables["studies"]},
        project_digest(),
    )  # fmt: skip
    made = dict.fromkeys(MARTS, artifact)
    for model in MARTS:
        Handles(settings.home).write(model, "all", artifact)
    if not events:
        _attach(settings, "marts", made)
    yield from events or _found(context, made)


def _run_dbt(
    context: dg.AssetExecutionContext,
    dbt: DbtCliResource,
    settings: Settings,
    variables: Mapping[str, Any],
) -> list[Any]:
    os.environ["COOKBOOK_WAREHOUSE"] = str(settings.warehouse)  # read by profiles.yml
    target = settings.home / "dbt" / context.run_id[:8]
    # dbt's own lines go to target/dbt.log; what fails is in the exception and the Dagster log
    with _writer(settings), contextlib.redirect_stdout(io.StringIO()):
        invocation = dbt.cli(
            ["build", "--vars", json.dumps(variables)], context=context, target_path=target
        )
        events = list(invocation.stream())
    failed = [e for e in events if isinstance(e, dg.AssetCheckResult) and not e.passed
              and e.severity == dg.AssetCheckSeverity.ERROR]  # fmt: skip
    if failed:
        names = ", ".join(sorted(str(check.check_name) for check in failed))
        raise dg.Failure(f"dbt tests failed, so nothing was planned: {names} (see {target})")
    return events


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


def _found(
    context: dg.AssetExecutionContext, made: Mapping[str, Artifact]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    for model in MODELS:  # Dagster wants them after what they are made from
        key = dg.AssetKey(model)
        if key in context.selected_asset_keys:
            artifact = made.get(model)
            metadata = describe(artifact) if artifact else {}
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)
    for check in sorted(context.selected_asset_check_keys, key=str):
        # a plan whose tests fail never becomes an artifact
        yield dg.AssetCheckResult(
            check_name=check.name,
            asset_key=check.asset_key,
            passed=True,
            metadata={"found_in_lake": True},
        )
