"""MLflow lineage, in a real SQLite store."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.lake import Artifact, Lake
from assets.recipe import load_recipe
from assets.settings import Settings
from assets.tracking import Tracking


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """One store for all tests of the module: making its schema takes seconds."""
    home = str(tmp_path_factory.mktemp("mlflow"))
    return Tracking(Settings.from_environment({"COOKBOOK_HOME": home}))


@pytest.fixture
def server(tracking: Tracking) -> Iterator[Tracking]:
    """The same store behind a server, as a team has it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    running = subprocess.Popen([*command, "--backend-store-uri", tracking.uri], process_group=0)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health"):
                break
            assert running.poll() is None
            time.sleep(0.1)
        yield Tracking(Settings.from_environment({"MLFLOW_TRACKING_URI": address}))
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    """A variant of the test's own."""
    return f"starter~seed={len(request.node.name)}"


def test_a_store_whose_making_was_killed_is_made_again(tmp_path: Path) -> None:
    code = "from assets.tracking import *; Tracking(Settings.from_environment()).make_store()"
    environment = {**os.environ, "COOKBOOK_HOME": str(tmp_path)}
    making = subprocess.Popen([sys.executable, "-c", code], env=environment)
    new = tmp_path / "mlflow" / "mlflow.db.new"
    while not new.exists() or new.stat().st_size == 0:  # the first of dozens of migrations
        assert making.poll() is None
        time.sleep(0.005)
    making.kill()
    making.wait()
    assert [p.name for p in new.parent.iterdir() if p.suffix == ".db"] == []
    tracking = Tracking(Settings.from_environment({"COOKBOOK_HOME": str(tmp_path)}))
    assert [e.name for e in tracking.client.search_experiments()] == ["Default"]
    assert not new.exists()


def artifact(lake: Lake, stage: str, **inputs: Artifact) -> Artifact:
    def compute(out: Path) -> None:
        (out / "file").write_text(f"{stage} of {sorted(a.digest for a in inputs.values())}")

    return lake.materialize(stage, {"n": 1}, inputs, compute)


def record(tracking: Tracking, key: str, made: Artifact, **more: object) -> str:
    stage = made.manifest.stage
    return tracking.record(
        key,
        load_recipe(key),
        made,
        asset_key=stage,
        dagster_run_id="run",
        **more,  # type: ignore[arg-type]
    )


def test_walk_from_a_score_to_the_crawl_and_back(
    tracking: Tracking, key: str, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    raw = artifact(lake, "raw_code")
    corpus = artifact(lake, "sampled_corpus", raw=raw)
    tokenizer = artifact(lake, "tokenizer", corpus=corpus)
    model = artifact(lake, "model", corpus=corpus, tokenizer=tokenizer)
    scores = artifact(lake, "scores", model=model)
    runs = {made.manifest.stage: record(tracking, key, made)
            for made in (raw, corpus, tokenizer, model, scores)}  # fmt: skip
    walked = [step.stage for step in tracking.lineage(runs["scores"])]
    assert walked == ["scores", "model", "sampled_corpus", "tokenizer", "raw_code"]
    back = {step.stage for step in tracking.descendants(raw.digest)}
    assert back == {"sampled_corpus", "tokenizer", "model", "scores"}


def test_recording_again_makes_no_second_run(tracking: Tracking, key: str, tmp_path: Path) -> None:
    made = artifact(Lake(tmp_path / "lake"), "raw_code")
    assert record(tracking, key, made) == record(tracking, key, made)


def test_run_carries_recipe_inputs_and_metrics(
    tracking: Tracking, key: str, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    raw = artifact(lake, "raw_code")
    record(tracking, key, raw)
    made = artifact(lake, "corpus", raw=raw)
    run_id = record(
        tracking,
        key,
        made,
        metrics={"files": 7.0, "humaneval.pass@1": 0.5},
        history={"loss": [(1, 3.0), (2, 2.5)]},
    )
    run = tracking.client.get_run(run_id)
    parent = tracking.client.get_run(run.data.tags["mlflow.parentRunId"])
    assert parent.data.params["dedup.level"] == "file"
    assert parent.data.metrics["corpus.files"] == 7.0
    assert parent.data.metrics["corpus.humaneval.pass_at_1"] == 0.5
    assert run.data.tags["cookbook.fingerprint"] == made.fingerprint
    assert run.inputs.dataset_inputs[0].dataset.digest == raw.digest[:32]
    history = tracking.client.get_metric_history(run_id, "loss")
    assert [(point.step, point.value) for point in history] == [(1, 3.0), (2, 2.5)]
    assert tracking.stage_run(key, "corpus") == run_id


def test_missing_link_is_named(tracking: Tracking, key: str, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    made = artifact(lake, "corpus", raw=artifact(lake, "raw_code"))
    with pytest.raises(LookupError, match="input raw_code"):
        list(tracking.lineage(record(tracking, key, made)))


def test_checkpoint_becomes_one_model_version_with_alias(
    tracking: Tracking, key: str, tmp_path: Path
) -> None:
    made = artifact(Lake(tmp_path / "lake"), "annealed_model")
    run_id = record(tracking, key, made)
    recipe = load_recipe(key)
    versions = {
        tracking.register_model(recipe, "starter", made, run_id, alias="base") for _ in range(2)
    }
    assert versions == {"1"}
    version = tracking.client.get_model_version_by_alias("starter", "base")
    assert version.source == f"{made.uri}/model"
    variant = tracking.register_model(recipe, "starter~seed=1", made, run_id, alias="base")
    assert str(tracking.client.get_model_version_by_alias("starter", "base").version) == variant


def test_a_server_registers_checkpoints_of_a_lake_that_it_cannot_see(
    server: Tracking, key: str, tmp_path: Path
) -> None:
    raw = artifact(Lake(tmp_path / "lake"), "raw_code")
    made = artifact(Lake(tmp_path / "lake"), "pretrained_model", raw=raw)
    record(server, key, raw)
    run_id = record(server, key, made)
    number = server.register_model(load_recipe(key), key, made, run_id, alias="base")
    version = server.client.get_model_version("starter", number)
    assert version.tags["cookbook.uri"] == f"{made.uri}/model"
    assert version.run_id == run_id
    assert [step.stage for step in server.lineage(run_id)] == ["pretrained_model", "raw_code"]
