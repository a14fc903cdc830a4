"""MLflow from a training process that nobody orchestrates.

Curves go to the server that MLFLOW_TRACKING_URI names, when mlflow is installed. Under Dagster
Pipes the orchestrator records the run, so nothing is sent from here. A server that fails costs the
curves, not the training: metrics.jsonl has them too.
Paper: none.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_SEND_SECONDS = 10.0
_MOST_METRICS = 900  # of a batch; the server takes 1000
#: mlflow's own patience (7 tries with growing pauses, 2 minutes each) would stop the training for
#: minutes, with several devices until their collectives time out.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
_KEYS = (
    "loss",
    "bits_per_byte_estimate",
    "heldout_bits_per_byte",
    "lr",
    "grad_norm",
    "tokens",
    "tokens_per_second",
    "mfu",
    "data_wait_share",
    "memory_bytes",
)


class Curves:
    """One MLflow run; its id is in logs/mlflow_run, so a resumed training continues it."""

    def __init__(self, name: str, logs: Path, params: Mapping[str, Any]) -> None:
        from mlflow import MlflowClient
        from mlflow.entities import Metric
        from mlflow.exceptions import MlflowException

        for variable, value in _PATIENCE.items():
            os.environ.setdefault(variable, value)
        self._metric, self._failure = Metric, (MlflowException, OSError)
        self._waiting: list[Any] = []
        self._sent = time.monotonic()
        self._run_id: str | None = None
        id_file = logs / "mlflow_run"
        try:
            self._client = MlflowClient()
            if id_file.is_file():
                self._run_id = id_file.read_text(encoding="utf-8").strip()
                self._client.update_run(self._run_id, status="RUNNING")
                return
            wanted = os.environ.get("MLFLOW_EXPERIMENT_NAME", "training")
            experiment = self._client.get_experiment_by_name(wanted)
            number = experiment.experiment_id if experiment else None
            number = number or self._client.create_experiment(wanted)
            self._run_id = self._client.create_run(number, run_name=name).info.run_id
            logs.mkdir(parents=True, exist_ok=True)
            id_file.write_text(f"{self._run_id}\n", encoding="utf-8")
            for key, value in params.items():  # brackets are refused in names
                self._client.log_param(self._run_id, re.sub(r"\[(\d+)\]", r".\1", key), value)
        except self._failure as error:
            self._give_up(error)

    def step(self, line: Mapping[str, Any]) -> None:
        """Queue the metrics of a step; they are sent every few seconds."""
        if self._run_id is None:
            return
        now = int(time.time() * 1000)
        for key in _KEYS:
            if line.get(key) is not None:
                self._waiting.append(self._metric(key, float(line[key]), now, line["step"]))
        if len(self._waiting) >= _MOST_METRICS or time.monotonic() - self._sent > _SEND_SECONDS:
            self._send()

    def close(self, status: str, picture: Path | None = None) -> None:
        """Send the rest and end the run: FINISHED, FAILED or KILLED."""
        self._send()
        if self._run_id is None:
            return
        try:
            if picture is not None and picture.is_file():
                self._client.log_artifact(self._run_id, str(picture))
            self._client.set_terminated(self._run_id, status)
        except self._failure as error:
            self._give_up(error)

    def _send(self) -> None:
        self._sent = time.monotonic()
        while self._waiting and self._run_id is not None:
            batch, self._waiting = self._waiting[:_MOST_METRICS], self._waiting[_MOST_METRICS:]
            try:
                self._client.log_batch(self._run_id, metrics=batch)
            except self._failure as error:
                self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        log.warning("MLflow does not answer (%s); the curves are in metrics.jsonl only", error)
        self._run_id = None
        self._waiting = []


def open_curves(name: str, logs: Path, params: Mapping[str, Any]) -> Curves | None:
    """Curves when an MLflow server is named, mlflow is installed and nobody else records."""
    if "MLFLOW_TRACKING_URI" not in os.environ or "DAGSTER_PIPES_CONTEXT" in os.environ:
        return None
    if importlib.util.find_spec("mlflow") is None:
        log.warning("MLFLOW_TRACKING_URI is set but mlflow is not installed: nothing is sent")
        return None
    return Curves(name, logs, params)
