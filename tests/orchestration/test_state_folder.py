"""The state folder: dead runs are buried, new recipes listed, new checkpoints scored."""

from __future__ import annotations

import json
import os
from pathlib import Path

import dagster as dg
import pytest

from assets.resources import RECIPES, Handles
from assets.settings import Settings, SettingsError
from orchestration.home import bury_dead_runs, process_tag
from orchestration.schedules import weekly_recrawl
from orchestration.sensors import recipes_on_disk, score_new_checkpoints


def start_run(instance: dg.DagsterInstance, owner: str) -> str:
    run = instance.create_run_for_job(_job, tags={"cookbook/process": owner})
    instance.report_engine_event("starting", run)
    instance.handle_new_event(_started(run.run_id))
    return str(run.run_id)


@dg.op
def nothing() -> None:
    """Does nothing."""


@dg.job
def _job() -> None:
    nothing()


def _started(run_id: str):  # type: ignore[no-untyped-def]
    from dagster import DagsterEvent, DagsterEventType, EventLogEntry

    return EventLogEntry(
        error_info=None, level=20, user_message="", run_id=run_id, timestamp=1.0,
        job_name="_job",
        dagster_event=DagsterEvent(DagsterEventType.RUN_START.value, job_name="_job"),
    )  # fmt: skip


def test_only_runs_of_dead_processes_are_buried() -> None:
    boot = process_tag().split(":")[0]
    with dg.DagsterInstance.get() as instance:
        dead = start_run(instance, f"{boot}:999999999:1")
        other_boot = start_run(instance, "another-boot:1:1")
        alive = start_run(instance, process_tag())
    assert bury_dead_runs() == 2
    with dg.DagsterInstance.get() as instance:
        states = {r: instance.get_run_by_id(r).status.value for r in (dead, other_boot, alive)}  # type: ignore[union-attr]
    assert states == {dead: "FAILURE", other_boot: "FAILURE", alive: "STARTED"}


def test_sensor_registers_recipes_once() -> None:
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance)
        result = recipes_on_disk(context)
        assert isinstance(result, dg.SensorResult)
        requested = result.dynamic_partitions_requests or []
        assert "starter" in requested[0].partition_keys
        instance.add_dynamic_partitions("recipes", list(requested[0].partition_keys))
        assert isinstance(recipes_on_disk(context), dg.SkipReason)


def test_schedule_reruns_recipes_and_leaves_variants_alone() -> None:
    with dg.instance_for_test() as instance:
        instance.add_dynamic_partitions(RECIPES.name or "", ["starter", "starter~seed=1"])
        context = dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=__import__("datetime").datetime(2026, 11, 23),
        )
        requests = list(weekly_recrawl(context))
    assert [(r.partition_key, r.run_key) for r in requests] == [("starter", "starter@2026-W48")]


def hold(home: Path, asset: str, fingerprint: str, inputs: dict[str, object]) -> None:
    folder = home / "lake" / asset / fingerprint
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"inputs": inputs}))
    path = Handles(home).path(asset, "starter")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({"partition": "starter", "fingerprint": fingerprint, "path": str(folder)})
    )


def test_sensor_scores_a_checkpoint_once() -> None:
    home = Settings.from_environment().home
    hold(home, "annealed_model", "a1", {})
    hold(home, "sft_stage2_model", "c1", {})
    hold(home, "chat_scores", "s1", {"checkpoint": {"fingerprint": "c1"}})
    with dg.instance_for_test() as instance:
        first = score_new_checkpoints(dg.build_sensor_context(instance=instance))
        assert isinstance(first, dg.SensorResult)
        assert [(r.partition_key, r.run_key) for r in first.run_requests or []] == [
            ("starter", "starter@a1")
        ]
        again = score_new_checkpoints(
            dg.build_sensor_context(instance=instance, cursor=first.cursor)
        )
        assert isinstance(again, dg.SkipReason)


def test_settings_name_the_variable_that_is_wrong() -> None:
    with pytest.raises(
        SettingsError, match="COOKBOOK_GPUS: expected a number of GPUs, found 'two'"
    ):
        Settings.from_environment({"COOKBOOK_GPUS": "two"})
    with pytest.raises(SettingsError, match=r"COOKBOOK_WAREHOUSE: .* found 'team\.v2\.duckdb'"):
        Settings.from_environment({"COOKBOOK_WAREHOUSE": "/data/team.v2.duckdb"})
    assert Settings.from_environment({"COOKBOOK_LAKE": "s3://b/lake"}).lake == "s3://b/lake"


def test_dbt_schemas_tell_variants_apart() -> None:
    from orchestration.warehouse import schema_name

    names = [schema_name(k) for k in ("starter", "starter~seed=1", "starter~seed.1", "tiny")]
    assert names[0] == "starter" and len(set(names)) == 4
    assert all(name.replace("_", "").isalnum() for name in names)


def test_kernels_are_compiled_by_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration import home

    started: list[int] = []

    def popen(*_command: object, pass_fds: list[int], **_options: object) -> None:
        started.append(os.dup(pass_fds[0]))  # as the child that holds it

    monkeypatch.setattr(home.subprocess, "Popen", popen)
    home._compile_beside(tmp_path / "lock")
    home._compile_beside(tmp_path / "lock")
    assert len(started) == 1
    os.close(started[0])
    home._compile_beside(tmp_path / "lock")
    assert len(started) == 2
    os.close(started[1])
