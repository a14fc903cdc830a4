"""MLflow from an unorchestrated training: one run, continued, and never in the way."""

import importlib
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from training.runs import pretrain
from training.tracking import Curves, open_curves


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    mlflow = pytest.importorskip("mlflow", reason="training itself does without MLflow")

    uri = (tmp_path / "mlflow").as_uri()  # a folder: no database to migrate first
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.delenv("DAGSTER_PIPES_CONTEXT", raising=False)
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(None)


def test_a_resumed_run_continues_its_curves(server: Any, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    first = open_curves("pretrain x", logs, {"steps": 4})
    assert first is not None
    for step in (1, 2):
        first.step({"step": step, "loss": 3.0 - step, "mfu": None, "skipped": False})
    first.close("KILLED")
    picture = tmp_path / "loss.png"
    picture.write_bytes(b"png")
    again = open_curves("pretrain x", logs, {"steps": 4})
    assert again is not None
    again.step({"step": 3, "loss": 0.5})
    again.close("FINISHED")
    (run,) = server.search_runs([server.get_experiment_by_name("training").experiment_id])
    assert run.info.status == "FINISHED" and run.data.params == {"steps": "4"}
    history = server.get_metric_history(run.info.run_id, "loss")
    assert [(item.step, item.value) for item in history] == [(1, 2.0), (2, 1.0), (3, 0.5)]
    assert set(run.data.metrics) == {"loss"}


def test_a_run_sends_its_whole_config_and_the_last_heldout_measure(
    server: Any, world: Any, tmp_path: Path
) -> None:
    summary = pretrain(world.pretrain(tmp_path / "run", steps=3, heldout=world.heldout))
    (run,) = server.search_runs([server.get_experiment_by_name("training").experiment_id])
    params = run.data.params
    assert params["model.hidden_size"] == "32" and params["betas.1"] == "0.95"
    assert params["sources.0.path"] == str(world.shards) and len(params["contents.tokenizer"]) == 64
    assert "init_from" not in params
    after = summary["heldout_bits_per_byte"]["after"]
    assert run.data.metrics["heldout_bits_per_byte"] == after


def test_a_failing_server_costs_the_curves_only(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    curves = Curves("run", tmp_path / "logs", {})

    def gone(*_: object, **__: object) -> None:
        raise MlflowException("connection refused")

    monkeypatch.setattr(MlflowClient, "log_batch", gone)
    curves.step({"step": 1, "loss": 1.0})
    with caplog.at_level(logging.WARNING):
        curves.close("FINISHED")
        curves.step({"step": 2, "loss": 1.0})
        curves.close("FINISHED")
    assert caplog.text.count("connection refused") == 1


def test_a_server_that_is_not_there_is_not_waited_for(
    server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for variable in ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(variable, "0")  # to be undone
        monkeypatch.delenv(variable)
    with socket.socket() as free:  # bound but not listening: refused
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free.getsockname()[1]}")
        server_uri = os.environ["MLFLOW_TRACKING_URI"]
        importlib.import_module("mlflow").set_tracking_uri(server_uri)
        slept: list[float] = []
        monkeypatch.setattr(time, "sleep", slept.append)
        Curves("run", tmp_path / "logs", {}).step({"step": 1, "loss": 1.0})
    assert sum(slept) < 15  # mlflow alone: minutes
    assert "MLflow does not answer" in caplog.text


def test_a_store_that_cannot_be_written_costs_the_curves_only(
    server: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "logs").write_text("a file, not a folder")
    Curves("run", tmp_path / "logs", {}).close("FINISHED")
    assert "MLflow does not answer" in caplog.text


def test_nothing_is_sent_without_a_server_or_under_an_orchestrator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert open_curves("run", tmp_path, {}) is None
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///nowhere.db")
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", "x")
    assert open_curves("run", tmp_path, {}) is None
