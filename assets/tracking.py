"""MLflow lineage: one experiment a base recipe, one parent run a variant, one child run a stage.

Each child run carries the artifact's fingerprint and digest as tags and its inputs as MLflow
datasets with their digests, so from any score one can walk to the raw crawl by tags and digests
alone (:meth:`Tracking.lineage`), and back (:meth:`Tracking.descendants`).
"""

from __future__ import annotations

import fcntl
import functools
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assets.lake import Artifact
from assets.recipe import Recipe
from assets.settings import Settings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

log = logging.getLogger(__name__)
#: MLflow caps dataset digests at 36 characters; the first 32 hex digits identify a digest.
DIGEST_CHARS = 32


@dataclass(frozen=True)
class Step:
    """One artifact on a walk through the lineage."""

    stage: str
    digest: str
    fingerprint: str
    run_id: str


class Tracking:
    """Writes and walks the lineage in one MLflow store."""

    def __init__(self, settings: Settings) -> None:
        self.uri = settings.mlflow_uri
        self._artifacts = settings.mlflow_artifacts if self.uri.startswith("sqlite") else None
        if self._artifacts is not None:
            Path(self.uri.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)

    def make_store(self) -> None:
        """Make the local store, whole or not at all; nothing to do for one that is there.

        MLflow makes its tables in dozens of migrations that cannot be repeated: a process killed
        among them would leave a file that no later one can open.
        """
        file = Path(self.uri.removeprefix("sqlite:///"))
        if self._artifacts is None or file.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        for name in ("alembic", "mlflow.store.db.utils"):
            logging.getLogger(name).setLevel(logging.WARNING)
        with open(file.with_suffix(".lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if file.exists():
                return
            for left in file.parent.glob(f"{file.name}.new*"):  # by a process that was killed
                left.unlink()
            new = file.with_name(f"{file.name}.new")
            store = SqlAlchemyStore(f"sqlite:///{new}", self._artifacts)
            store.engine.dispose()
            new.rename(file)

    @functools.cached_property
    def client(self) -> MlflowClient:
        import mlflow

        self.make_store()
        return mlflow.MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def variant_run(self, key: str, recipe: Recipe) -> str:
        """Id of the parent run of a variant; made on first use, with the recipe as params."""
        experiment = self._experiment(recipe.name)
        tags = {"cookbook.partition": key, "config_hash": recipe.digest()}
        found = self._search(experiment, {**tags, "cookbook.kind": "variant"})
        if found:
            return str(found[0].info.run_id)
        run = self.client.create_run(
            experiment, run_name=key, tags={**tags, "cookbook.kind": "variant"}
        )
        self._log_params(run.info.run_id, _flatten(recipe.model_dump(mode="json")))
        self.client.set_terminated(run.info.run_id)
        return str(run.info.run_id)

    def record(
        self,
        key: str,
        recipe: Recipe,
        artifact: Artifact,
        *,
        asset_key: str,
        dagster_run_id: str,
        metrics: Mapping[str, float] | None = None,
        history: Mapping[str, list[tuple[int, float]]] | None = None,
        files: list[Path] | None = None,
    ) -> str:
        """Id of the child run of this artifact under its variant; made once per artifact.

        ``metrics`` also go to the parent run, prefixed with the asset's name, so that variants
        compare in one table. ``history`` is (step, value) by metric name.
        """
        from mlflow.entities import DatasetInput, InputTag, Metric

        metrics = {name.replace("@", "_at_"): v for name, v in (metrics or {}).items()}  # pass@1
        parent = self.variant_run(key, recipe)
        experiment = self._experiment(recipe.name)
        identity = {"mlflow.parentRunId": parent, "cookbook.fingerprint": artifact.fingerprint,
                    "asset_key": asset_key}  # fmt: skip
        found = self._search(experiment, {**identity, "cookbook.complete": "true"})
        if found:
            return str(found[0].info.run_id)
        manifest = artifact.manifest
        run = self.client.create_run(
            experiment,
            run_name=asset_key,
            tags={
                **identity,
                "cookbook.kind": "stage",
                "cookbook.partition": key,
                "cookbook.digest": artifact.digest[:DIGEST_CHARS],
                "cookbook.uri": artifact.uri,
                "cookbook.reused": str(artifact.found).lower(),
                "config_hash": recipe.digest(),
                "dagster.run_id": dagster_run_id,
                "git_sha": manifest.code_revision,
                "partition": key,
            },
        )
        run_id = run.info.run_id
        self._log_params(run_id, {"stage.version": manifest.version, **_flatten(manifest.params)})
        inputs = [
            DatasetInput(
                dataset=_dataset(name, source.stage, source.digest, source.fingerprint),
                tags=[InputTag("mlflow.data.context", name)],
            )
            for name, source in manifest.inputs.items()
        ]
        if inputs:
            self.client.log_inputs(run_id, datasets=inputs)
        values = {"rows": manifest.rows, "bytes": manifest.bytes, "seconds": manifest.seconds}
        points = [Metric(k, float(v), 0, 0) for k, v in {**values, **metrics}.items()]
        for name, series in (history or {}).items():
            points += [Metric(name, float(v), 0, int(step)) for step, v in series]
        for start in range(0, len(points), 900):  # MLflow takes at most 1000 a call
            self.client.log_batch(run_id, metrics=points[start : start + 900])
        if metrics:
            self.client.log_batch(
                parent, metrics=[Metric(f"{asset_key}.{k}", float(v), 0, 0)
                                 for k, v in metrics.items()],
            )  # fmt: skip
        for file in files or []:
            if file.is_file():
                self.client.log_artifact(run_id, str(file))
        self.client.set_tag(run_id, "cookbook.complete", "true")
        self.client.set_terminated(run_id)
        return str(run_id)

    def register_model(
        self, recipe: Recipe, key: str, artifact: Artifact, run_id: str, alias: str
    ) -> str:
        """Register a checkpoint as a version of the recipe's model; returns the version.

        Of a base recipe (not of its variants) the version also gets ``alias``. A server takes no
        local folder as a source: then the run stands for it. The tag says where the model is.
        """
        name, source = recipe.name, f"{artifact.uri}/model"
        tags = {
            "cookbook.digest": artifact.digest[:DIGEST_CHARS],
            "cookbook.partition": key,
            "cookbook.uri": source,
            "stage": artifact.manifest.stage,
        }
        if self.uri.startswith("http") and "://" not in source:
            source = f"runs:/{run_id}/model"
        if not self.client.search_registered_models(f"name = '{name}'"):
            self.client.create_registered_model(name)
        known = self.client.search_model_versions(f"name = '{name}'")
        version = next((v for v in known if v.run_id == run_id), None)
        if version is None:
            version = self.client.create_model_version(
                name, source=source, run_id=run_id, tags=tags
            )
        if key == name:
            self.client.set_registered_model_alias(name, alias, version.version)
        return str(version.version)

    def lineage(self, run_id: str) -> Iterator[Step]:
        """The run's artifact and everything it was made from, nearest first, each once."""
        start = self.client.get_run(run_id)
        queue, seen = [start], {start.data.tags["cookbook.digest"]}
        while queue:
            run = queue.pop(0)
            yield _step(run)
            for used in run.inputs.dataset_inputs:
                digest = used.dataset.digest
                if digest in seen:
                    continue
                seen.add(digest)
                makers = self._search(
                    run.info.experiment_id,
                    {"cookbook.digest": digest, "cookbook.kind": "stage",
                     "cookbook.partition": run.data.tags["cookbook.partition"]},
                )  # fmt: skip
                if not makers:
                    raise LookupError(
                        f"no run of partition {run.data.tags['cookbook.partition']!r} made the "
                        f"input {used.dataset.name} (digest {digest}) of {run.info.run_name}; "
                        "materialise that asset again to record it"
                    )
                queue.append(makers[0])

    def descendants(self, digest: str) -> Iterator[Step]:
        """Runs that used the artifact with this digest, directly or not, each once."""
        runs = [
            run
            for experiment in self.client.search_experiments()
            for run in self._search(experiment.experiment_id, {"cookbook.kind": "stage"})
        ]
        known, queue = set(), [digest[:DIGEST_CHARS]]
        while queue:
            current = queue.pop(0)
            for run in runs:
                used = {i.dataset.digest for i in run.inputs.dataset_inputs}
                if current in used and run.info.run_id not in known:
                    known.add(run.info.run_id)
                    queue.append(run.data.tags["cookbook.digest"])
                    yield _step(run)

    def stage_run(self, key: str, asset_key: str) -> str | None:
        """Id of the newest complete run of an asset in a partition, or None."""
        for experiment in self.client.search_experiments():
            found = self._search(
                experiment.experiment_id,
                {"cookbook.partition": key, "asset_key": asset_key, "cookbook.complete": "true"},
            )
            if found:
                return str(found[0].info.run_id)
        return None

    def _experiment(self, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        location = f"{self._artifacts}/{name}" if self._artifacts else None
        return str(self.client.create_experiment(name, artifact_location=location))

    def _search(self, experiment: str, tags: Mapping[str, str]) -> list[Run]:
        query = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
        runs: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                [experiment], query, max_results=1000, page_token=token,
                order_by=["attributes.start_time DESC"],
            )  # fmt: skip
            runs += page
            token = page.token
            if not token:
                return runs

    def _log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        entries = [Param(name, str(value)[:500]) for name, value in params.items()]
        for start in range(0, len(entries), 100):
            self.client.log_batch(run_id, params=entries[start : start + 100])


def _dataset(name: str, stage: str, digest: str, fingerprint: str) -> Any:
    from mlflow.entities import Dataset

    return Dataset(
        name=stage,
        digest=digest[:DIGEST_CHARS],
        source_type="lake",
        source=json.dumps({"uri": f"{stage}/{fingerprint}", "role": name}),
    )


def _step(run: Run) -> Step:
    tags = run.data.tags
    return Step(
        run.info.run_name, tags["cookbook.digest"], tags["cookbook.fingerprint"], run.info.run_id
    )


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat |= _flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat
