"""The tools that assets ask for: lake, recipe, Spark, tracking, and one way to produce an artifact.

``Factory.produce`` is what every asset does: look the artifact up in the lake or compute it, record
it in MLflow, check that no row was lost, and tell Dagster about it. Heavy libraries are imported
when a tool is first used, never when definitions load.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import dagster as dg
from pydantic import BaseModel

from assets.lake import Artifact, Lake
from assets.recipe import Recipe, load_recipe
from assets.settings import Settings
from assets.tracking import Tracking

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

log = logging.getLogger("cookbook")
#: The partition of the whole graph: recipes and variants, registered when somebody asks for one.
RECIPES = dg.DynamicPartitionsDefinition(name="recipes")
ROWS_CONSERVED = "rows_conserved"
#: An asset of the graph: partitioned by recipe, its value an artifact of the lake.
recipe_asset = functools.partial(
    dg.asset,
    partitions_def=RECIPES,
    dagster_type=dg.PythonObjectDagsterType(Artifact, name="Artifact"),
)


def rows_conserved(asset: str) -> dg.AssetCheckSpec:
    """Spec of the blocking check that a stage neither loses nor invents documents."""
    return dg.AssetCheckSpec(
        ROWS_CONSERVED,
        asset=asset,
        blocking=True,
        description="input rows = kept + dropped, one decision a document",
    )


class Factory(dg.ConfigurableResource):
    """Lake, tracking and Spark as the settings in the environment say."""

    @property
    def settings(self) -> Settings:
        return Settings.from_environment()

    @property
    def lake(self) -> Lake:
        return _lake(self.settings.lake, self.settings.home / "lake-cache")

    @property
    def tracking(self) -> Tracking:
        return _tracking(self.settings)

    def recipe(self, context: dg.AssetExecutionContext | dg.OpExecutionContext) -> Recipe:
        return load_recipe(context.partition_key)

    def spark(self) -> SparkSession:
        """The one Spark session of this process."""
        from assets.spark import spark_session

        return spark_session(master=self.settings.spark_master, memory=self.settings.spark_memory)

    def produce(
        self,
        context: dg.AssetExecutionContext,
        compute: Callable[[Path], None],
        *,
        inputs: Mapping[str, Artifact] | None = None,
        params: Mapping[str, Any] | BaseModel | None = None,
        version: str = "1",
        conserves: str | None = None,
        checks: Sequence[Callable[[Artifact], dg.AssetCheckResult]] = (),
        plot: Callable[[Artifact], bytes] | None = None,
        metrics: Callable[[Artifact], Mapping[str, float]] | None = None,
    ) -> dg.MaterializeResult:
        """Produce the context's asset. ``conserves`` names the input table (``input/table``) whose
        rows must equal the decisions; ``plot`` draws a PNG for people."""
        stage = context.asset_key.to_user_string()
        artifact = self.materialize(stage, compute, inputs, params, version)
        results = [check(artifact) for check in checks]
        if conserves is not None:
            results.append(check_rows_conserved(stage, conserves, inputs or {}, artifact))
        figures = metrics(artifact) if metrics else None
        self.record(context, artifact, stage, figures)
        return dg.MaterializeResult(
            value=artifact,
            metadata={**describe(artifact), **(_plot(plot(artifact)) if plot else {}),
                      **({k: float(v) for k, v in figures.items()} if figures else {})},
            data_version=dg.DataVersion(artifact.digest),
            check_results=results,
        )  # fmt: skip

    def materialize(
        self,
        stage: str,
        compute: Callable[[Path], None],
        inputs: Mapping[str, Artifact] | None = None,
        params: Mapping[str, Any] | BaseModel | None = None,
        version: str = "1",
        resumable: bool = False,
    ) -> Artifact:
        values = params.model_dump(mode="json") if isinstance(params, BaseModel) else params or {}

        def announced(out: Path) -> None:
            log.info("%-20s ...", stage)
            compute(out)

        artifact = self.lake.materialize(
            stage, values, inputs or {}, announced, version=version, resumable=resumable
        )
        rows = f"{artifact.manifest.rows:>9,} rows" if artifact.manifest.tables else " " * 14
        spent = "found" if artifact.found else f"{artifact.manifest.seconds:.1f} s"
        log.info("%-20s %s  %s", stage, rows, spent)
        return artifact

    def record(
        self,
        context: dg.AssetExecutionContext | dg.OpExecutionContext,
        artifact: Artifact,
        asset_key: str,
        metrics: Mapping[str, float] | None = None,
        history: Mapping[str, list[tuple[int, float]]] | None = None,
        files: list[Path] | None = None,
    ) -> str:
        """Record the artifact in MLflow under the context's partition; the run's id."""
        return self.tracking.record(
            context.partition_key,
            self.recipe(context),
            artifact,
            asset_key=asset_key,
            dagster_run_id=context.run_id,
            metrics=metrics,
            history=history,
            files=files,
        )

    def held(self, asset: str, partition: str) -> Artifact:
        """The artifact that ``asset`` last produced for ``partition``."""
        reference = Handles(self.settings.home).read(asset, partition)
        return self.lake.open(reference["stage"], reference["fingerprint"])


class Handles:
    """Which artifact each asset of each recipe holds: one small JSON file each."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "handles"

    def path(self, asset: str, partition: str) -> Path:
        return self.folder / asset / f"{quote(partition, safe='~=,. @[]')}.json"

    def read(self, asset: str, partition: str) -> dict[str, Any]:
        path = self.path(asset, partition)
        if not path.is_file():
            raise FileNotFoundError(
                f"asset {asset!r} was never materialised for recipe {partition!r} (no {path}); "
                f"run: dagster asset materialize --select {asset} --partition {partition}"
            )
        return dict(json.loads(path.read_text()))

    def write(self, asset: str, partition: str, artifact: Artifact) -> None:
        path = self.path(asset, partition)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{artifact.fingerprint}.tmp")
        temporary.write_text(
            json.dumps(
                {
                    "asset": asset,
                    "partition": partition,
                    "stage": artifact.manifest.stage,
                    "fingerprint": artifact.fingerprint,
                    "digest": artifact.digest,
                    "path": str(artifact.path),
                }
            )
        )
        temporary.replace(path)


class LakeIOManager(dg.ConfigurableIOManager):
    """Passes artifacts between assets as handles; the data itself stays in the lake.

    Values between the ops of a graph-backed asset are kept as JSON under the run's id.
    """

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        home = Settings.from_environment().home
        if context.has_asset_key:
            if not isinstance(obj, Artifact):
                raise TypeError(
                    f"asset {context.asset_key.to_user_string()} must return an Artifact of the "
                    f"lake, found {type(obj).__name__}"
                )
            partition = context.partition_key if context.has_partition_key else "all"
            Handles(home).write(context.asset_key.to_user_string(), partition, obj)
            return
        path = self._between_ops(home, context)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(obj, Artifact):
            obj = {"stage": obj.manifest.stage, "fingerprint": obj.fingerprint}
        path.write_text(json.dumps(obj))

    def load_input(self, context: dg.InputContext) -> Any:
        factory = Factory()
        if context.has_asset_key:
            partition = context.partition_key if context.has_partition_key else "all"
            return factory.held(context.asset_key.to_user_string(), partition)
        if context.upstream_output is None:
            raise ValueError(f"input {context.name} has no upstream output to load from")
        value = json.loads(self._between_ops(factory.settings.home, context.upstream_output)
                           .read_text())  # fmt: skip
        if isinstance(value, dict) and set(value) == {"stage", "fingerprint"}:
            return factory.lake.open(value["stage"], value["fingerprint"])
        return value

    @staticmethod
    def _between_ops(home: Path, context: dg.OutputContext) -> Path:
        return home / "runs" / Path(*context.get_identifier()).with_suffix(".json")


def check_rows_conserved(
    asset: str, source: str, inputs: Mapping[str, Artifact], artifact: Artifact
) -> dg.AssetCheckResult:
    """One decision per input document, and as many rows out as decisions that keep."""
    name, table = source.split("/")
    return check_decisions(asset, inputs[name].rows(table), artifact)


def check_decisions(asset: str, rows_in: int, artifact: Artifact) -> dg.AssetCheckResult:
    """The check ``rows_conserved`` of a stage that saw ``rows_in`` rows."""
    counts = verdict_counts(artifact)
    rows_out = artifact.rows("documents")
    kept = counts.get("kept", 0) + counts.get("changed", 0)
    return dg.AssetCheckResult(
        check_name=ROWS_CONSERVED,
        asset_key=asset,
        passed=sum(counts.values()) == rows_in and kept == rows_out,
        metadata={"rows_in": rows_in, "rows_out": rows_out, **counts},
    )


def verdict_counts(artifact: Artifact) -> dict[str, int]:
    """Number of decisions by verdict."""
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    verdicts = pads.dataset(artifact.table("decisions"), format="parquet").to_table(["verdict"])
    counted = pc.value_counts(verdicts["verdict"].combine_chunks()).to_pylist()
    return {entry["values"]: entry["counts"] for entry in counted}


def describe(artifact: Artifact) -> dict[str, Any]:
    """Metadata a person can judge an artifact by."""
    manifest = artifact.manifest
    metadata: dict[str, Any] = {
        "dagster/row_count": manifest.rows,
        "dagster/uri": artifact.uri,
        "bytes": manifest.bytes,
        "digest": manifest.digest,
        "fingerprint": manifest.fingerprint,
        "seconds": manifest.seconds,
        "code_revision": manifest.code_revision,
        "found_in_lake": artifact.found,
        "inputs": dg.MetadataValue.json(
            {name: f"{i.stage}/{i.fingerprint}" for name, i in manifest.inputs.items()}
        ),
    }
    tables = {name: table.rows for name, table in manifest.tables.items()}
    if tables:
        metadata["rows"] = dg.MetadataValue.json(tables)
        name = "documents" if "documents" in tables else min(tables)
        metadata["preview"] = dg.MetadataValue.md(preview(artifact.table(name)))
    if "decisions" in tables:
        metadata["dropped"] = dg.MetadataValue.md(drop_table(artifact))
    return metadata


def preview(folder: Path, rows: int = 8) -> str:
    """The first rows of a table in Markdown; long cells cut, text of documents left out."""
    import pyarrow.dataset as pads

    table = pads.dataset(folder, format="parquet").head(rows)
    columns = [name for name in table.column_names if name != "content"]
    lines = [f"| {' | '.join(columns)} |", "|" + " --- |" * len(columns)]
    for row in table.select(columns).to_pylist():
        cells = [str(row[name]).replace("|", "\\|").replace("\n", " ")[:40] for name in columns]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def drop_table(artifact: Artifact) -> str:
    """Dropped and changed rows by reason, in Markdown."""
    import pyarrow.dataset as pads

    table = pads.dataset(artifact.table("decisions"), format="parquet").to_table(
        columns=["verdict", "reason", "size_bytes"]
    )
    grouped = table.group_by(["verdict", "reason"]).aggregate(
        [("reason", "count"), ("size_bytes", "sum")]
    )
    lines = ["| verdict | reason | files | bytes |", "| --- | --- | --- | --- |"]
    for row in grouped.sort_by([("reason_count", "descending")]).to_pylist():
        lines.append(
            f"| {row['verdict']} | {row['reason']} | {row['reason_count']} | "
            f"{row['size_bytes_sum'] or 0} |"
        )
    return "\n".join(lines)


def _plot(png: bytes) -> dict[str, Any]:
    import base64

    data = base64.b64encode(png).decode()
    return {"plot": dg.MetadataValue.md(f"![plot](data:image/png;base64,{data})")}


@functools.cache
def _lake(root: str, cache: Path) -> Lake:
    return Lake(root, cache)


@functools.cache
def _tracking(settings: Settings) -> Tracking:
    return Tracking(settings)
