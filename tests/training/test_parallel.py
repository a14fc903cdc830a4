"""FSDP2: the same run as one process, on two gloo processes and through a resume."""

import json
import socket
from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import accelerate
import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from safetensors.torch import load_file

from training import loop, runs
from training.checkpoint import Snapshot, take_snapshot
from training.config import ConfigError
from training.parallel import choose_parallel
from training.runs import pretrain


def _largest_difference(left: Path, right: Path) -> float:
    one, two = load_file(left), load_file(right)
    assert one.keys() == two.keys()
    return max(float((one[key] - two[key]).abs().max()) for key in one)


_ONE_OF_TWO = """
import os
os.environ.update({environment!r})
from training.__main__ import main
raise SystemExit(main(["pretrain", "--config", {file!r}]))
"""


def test_two_sharded_processes_train_the_model_of_one(
    world: Any, finished_run: Path, tmp_path: Path, run_processes: Any
) -> None:
    config = world.pretrain(
        tmp_path / "run", heldout=world.heldout, parallel="fsdp", micro_batch_size=1
    )
    file = tmp_path / "config.json"
    file.write_text(json.dumps(asdict(config), default=str))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    codes = [
        _ONE_OF_TWO.format(environment={**common, "RANK": rank, "LOCAL_RANK": rank}, file=str(file))
        for rank in ("0", "1")
    ]
    assert run_processes(*codes) == [0, 0]
    timing = json.loads((tmp_path / "run/logs/timing.json").read_text())
    assert timing["parallel"] == "fsdp" and timing["processes"] == 2
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    expected = json.loads((finished_run / "summary.json").read_text())
    assert summary["tokens_per_source"] == expected["tokens_per_source"]
    assert summary["final_loss"] == pytest.approx(expected["final_loss"], abs=1e-5)
    assert summary["heldout_bits_per_byte"]["after"] == pytest.approx(
        expected["heldout_bits_per_byte"]["after"], abs=1e-5
    )
    for name in ("model/model.safetensors", "trainer_state/optimizer.safetensors"):
        assert _largest_difference(tmp_path / "run" / name, finished_run / name) < 1e-5


@pytest.fixture
def sharded(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs are sharded, over a group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    monkeypatch.setattr(runs, "choose_parallel", lambda *_, **__: "fsdp")
    yield
    dist.destroy_process_group()


def test_a_sharded_run_resumes_bit_for_bit(
    world: Any, tmp_path: Path, sharded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = (
        world.pretrain(tmp_path / name, heldout=world.heldout, micro_batch_size=2)
        for name in ("whole", "broken")
    )
    pretrain(whole)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Stop, "reason", lambda _, step: "test" if step == 7 else None)
        with pytest.raises(loop.Interrupted):
            pretrain(broken)
    pretrain(broken)
    for name in ("model/model.safetensors", "trainer_state/optimizer.safetensors"):
        assert _largest_difference(tmp_path / "whole" / name, tmp_path / "broken" / name) == 0.0
    assert (tmp_path / "whole/summary.json").read_bytes() == (
        tmp_path / "broken/summary.json"
    ).read_bytes()


def test_which_way_several_processes_go() -> None:
    gpu, cpu = torch.device("cuda"), torch.device("cpu")
    ways = [
        choose_parallel(choice, processes=processes, device=device, optimizer=optimizer)
        for choice, processes, device, optimizer in (
            ("fsdp", 1, gpu, "adamw"),
            ("auto", 8, gpu, "adamw"),
            ("auto", 8, gpu, "muon"),
            ("auto", 2, cpu, "adamw"),
            ("ddp", 8, gpu, "adamw"),
            ("fsdp", 2, cpu, "adamw"),
        )
    ]
    assert ways == ["none", "fsdp", "ddp", "ddp", "ddp", "fsdp"]
    with pytest.raises(ConfigError, match="parallel: expected ddp or auto with optimizer muon"):
        choose_parallel("fsdp", processes=2, device=gpu, optimizer="muon")


def test_only_the_process_that_writes_copies_the_state(
    world: Any, tmp_path: Path, sharded: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots: list[Snapshot] = []

    def recorded(**arguments: Any) -> Snapshot:
        snapshots.append(take_snapshot(**arguments))
        return snapshots[-1]

    monkeypatch.setattr(loop, "take_snapshot", recorded)
    monkeypatch.setattr(Accelerator, "is_main_process", False)
    pretrain(world.pretrain(tmp_path / "run"))
    assert [(snapshot.step, len(snapshot.weights)) for snapshot in snapshots] == [(5, 0), (10, 0)]
    assert not any(key.startswith("exp_avg") for key in snapshots[-1].optimizer)
    assert not (tmp_path / "run").exists()


def test_the_others_wait_for_the_process_that_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(accelerate, "Accelerator", lambda **arguments: given.update(arguments))
    runs._accelerator("fp32")
    (group,) = given["kwargs_handlers"]
    # The state of the 8B model is 96 GB; NCCL's own patience, ten minutes, asks for 160 MB/s.
    assert group.timeout >= timedelta(minutes=30)
