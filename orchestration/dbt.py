"""The dbt project as Dagster assets, and dbt itself, run in this process.

Definitions are made of dbt's manifest alone; dbt is imported when something must be built, and a
process that builds twice imports it once. (dagster-dbt imports dbt and sqlglot with the
definitions: two seconds of every process, and every command is a process of its own.)
"""

from __future__ import annotations

import functools
import graphlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

PROJECT = Path(__file__).resolve().parent.parent / "dbt_project"
MANIFEST = PROJECT / "target" / "manifest.json"
#: The same, as dbt reads it again.
SAVED = MANIFEST.with_name("partial_parse.msgpack")
#: The variable of the environment that profiles.yml reads.
WAREHOUSE = "COOKBOOK_WAREHOUSE"
#: Where models are when no recipe is named: the default of the variable ``recipe_schema``.
SCHEMA = "starter"


@dataclass(frozen=True)
class Model:
    """A model of the project: what it reads (names of assets), and how it is described."""

    name: str
    reads: tuple[str, ...]
    tags: tuple[str, ...]
    description: str
    columns: tuple[tuple[str, str], ...]
    sql: str
    code_version: str


@dataclass(frozen=True)
class Project:
    """Models in the order in which they are built, and tests as (name, model)."""

    models: tuple[Model, ...]
    tests: tuple[tuple[str, str], ...]


def dbt_assets(*, tag: str, name: str, partitions_def: Any = None) -> Callable[..., Any]:
    """Decorator: the models with this tag as one multi-asset, their tests as its checks."""
    found = project()
    models = {model.name: model for model in found.models if tag in model.tags}
    return dg.multi_asset(
        name=name,
        can_subset=True,
        pool="duckdb",
        partitions_def=partitions_def,
        specs=[_spec(model) for model in models.values()],
        check_specs=[
            dg.AssetCheckSpec(test, asset=model, blocking=True)
            for test, model in found.tests
            if model in models
        ],
    )


def _spec(model: Model) -> dg.AssetSpec:
    return dg.AssetSpec(
        model.name,
        deps=model.reads,
        group_name="warehouse",
        kinds={"dbt", "duckdb"},
        tags=dict.fromkeys(model.tags, ""),
        description=f"{model.description}\n\n```sql\n{model.sql}\n```",
        code_version=model.code_version,
        metadata={
            "dagster/column_schema": dg.TableSchema(
                [dg.TableColumn(name, description=text) for name, text in model.columns]
            )
        },
    )


def parse() -> Path:
    """Path of the manifest; the project is parsed now if it is missing or older than a model."""
    newest = max(path.stat().st_mtime for path in sources())
    if not SAVED.is_file() or not MANIFEST.is_file() or MANIFEST.stat().st_mtime < newest:
        _run(["parse"], MANIFEST.parent)
        os.utime(MANIFEST)
    return MANIFEST


def sources() -> list[Path]:
    """The SQL and YAML files of the project, sorted."""
    return sorted(
        path
        for path in PROJECT.rglob("*")
        if path.suffix in (".sql", ".yml") and "target" not in path.relative_to(PROJECT).parts
    )


@functools.cache
def project() -> Project:
    """The project as its manifest describes it (parsed now if need be)."""
    manifest = json.loads(parse().read_text())
    names = {key: _asset(node) for key, node in (manifest["sources"] | manifest["nodes"]).items()}
    nodes = manifest["nodes"].values()
    models = {
        node["name"]: Model(
            name=node["name"],
            reads=tuple(sorted({names[key] for key in node["depends_on"]["nodes"]})),
            tags=tuple(node["tags"]),
            description=node["description"],
            columns=tuple((c["name"], c["description"]) for c in node["columns"].values()),
            sql=node["raw_code"],
            code_version=node["checksum"]["checksum"],
        )
        for node in nodes
        if node["resource_type"] == "model"
    }
    order = graphlib.TopologicalSorter({m.name: sorted(m.reads) for m in models.values()})
    return Project(
        tuple(models[name] for name in order.static_order() if name in models),
        tuple(
            sorted((n["name"], _tested(n, names)) for n in nodes if n["resource_type"] == "test")
        ),
    )


def _asset(node: Mapping[str, Any]) -> str:
    """Name of the asset that a source or model of the manifest is."""
    key: Sequence[str] = node.get("meta", {}).get("dagster", {}).get("asset_key", [node["name"]])
    return "/".join(key)


def _tested(node: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """The model that a test is a check of: its own, the one it names, or the only one it reads."""
    named: str | None = node["meta"].get("dagster", {}).get("ref", {}).get("name")
    return named or names[node.get("attached_node") or node["depends_on"]["nodes"][0]]


def build(
    names: Sequence[str], variables: Mapping[str, Any], warehouse: Path, target: Path
) -> None:
    """Build these models and run these tests, and no others, in a DuckDB file.

    dbt's files and log go to ``target``.

    Raises:
        dagster.Failure: a model or a test failed; the message is dbt's, for each of them.
    """
    manifest = _manifest(variables.get("recipe_schema"), warehouse, target)
    _run(
        ["build", "--select", *names, "--indirect-selection", "empty",
         "--vars", json.dumps(variables)],
        target,
        manifest,
        warehouse,
    )  # fmt: skip


def _manifest(schema: str | None, warehouse: Path, target: Path) -> Any:
    """The project as dbt parsed it, placed in a schema of a warehouse.

    dbt parses everything again (4 CPU seconds) when a variable has another value than last time.
    Here, variables decide nothing while it parses, but for the schema: so it is parsed once, as the
    defaults say, found again by dbt itself while no file changes, and then put in its place.
    """
    parse()
    saved = ["--partial-parse-file-path", str(SAVED)]
    manifest = _run(["parse", "--no-write-json", *saved], target)
    for node in (*manifest.nodes.values(), *manifest.sources.values()):
        node.database = warehouse.stem  # as dbt-duckdb names the database of a file
        if schema and node.schema in (SCHEMA, f"{SCHEMA}_lake"):
            node.schema = schema + node.schema.removeprefix(SCHEMA)
    return manifest


def _run(
    arguments: list[str], target: Path, manifest: Any = None, warehouse: Path | None = None
) -> Any:
    """Run a dbt command on the project, its files and log in ``target``; what dbt returns for it.

    Only a command that works on a warehouse sees one: to dbt, a project parsed with another path is
    another project.

    Raises:
        dagster.Failure: the command failed; the message is dbt's, for each model or test.
    """
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    places = {"--project-dir": PROJECT, "--profiles-dir": PROJECT, "--target-path": target,
              "--log-path": target}  # fmt: skip
    where = [str(word) for place in places.items() for word in place]
    root = logging.getLogger()
    handlers = list(root.handlers)
    before = os.environ.pop(WAREHOUSE, None)
    if warehouse is not None:
        os.environ[WAREHOUSE] = str(warehouse)
    try:
        done = dbtRunner(manifest).invoke([*arguments, *where, "--log-level", "none"])
    finally:
        os.environ.pop(WAREHOUSE, None)
        if before is not None:
            os.environ[WAREHOUSE] = before
        root.handlers[:] = handlers  # dbt adds its own
        DuckDBConnectionManager.close_all_connections()  # who reads next, opens the file read-only
    if done.success:
        return done.result
    results = getattr(done.result, "results", [])
    failed = [f"{r.node.name}: {r.message or r.status}" for r in results
              if r.status in ("fail", "error", "runtime error")]  # fmt: skip
    raise dg.Failure(
        f"dbt {arguments[0]} failed: {'; '.join(failed) or done.exception} "
        f"(see {target / 'dbt.log'})"
    )


def results(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Mapping[str, Any]]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """What a multi-asset of models yields when all of them are built, or were found.

    A check passes by being here: a model whose tests fail is never an artifact.
    """
    for model in project().models:  # Dagster wants them after what they are made from
        key = dg.AssetKey(model.name)
        if key in context.selected_asset_keys:
            yield dg.MaterializeResult(asset_key=key, metadata=metadata.get(model.name, {}))
    for check in sorted(context.selected_asset_check_keys, key=str):
        yield dg.AssetCheckResult(check_name=check.name, asset_key=check.asset_key, passed=True)
