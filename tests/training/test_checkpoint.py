"""Checkpoints: atomic, kept as asked, torn ones passed over, exact when restored."""

import errno
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from training import checkpoint
from training.checkpoint import (
    CheckpointWriter,
    Retention,
    newest_checkpoint,
    random_state,
    read_checkpoint,
    restore,
    take_snapshot,
    write_checkpoint,
)
from training.config import ConfigError
from training.optimizer import new_optimizer


class _Training:
    def __init__(self, steps: int, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
        self.optimizer = new_optimizer(self.model, lr=0.1, betas=(0.9, 0.95), weight_decay=0.1)
        self.run(steps)

    def run(self, steps: int) -> None:
        for _ in range(steps):
            self.model(torch.randn(3, 4)).square().sum().backward()
            self.optimizer.step()
            self.optimizer.zero_grad()

    def snapshot(self, step: int, **state: Any) -> checkpoint.Snapshot:
        return take_snapshot(step=step, state=state, model=self.model, optimizer=self.optimizer)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_restored_state_continues_bit_for_bit(tmp_path: Path) -> None:
    one = _Training(3)
    snapshot = one.snapshot(3, note=[1])
    one.run(4)
    # Written after four more steps: the snapshot is a copy.
    write_checkpoint(tmp_path, snapshot)

    other = _Training(1, seed=9)
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 3 and found.state["note"] == [1]
    restore(found, other.model, other.optimizer)
    other.run(4)
    for left, right in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(left, right)
        for kind, tensor in one.optimizer.state[left].items():
            assert torch.equal(tensor, other.optimizer.state[right][kind])


def test_nothing_in_a_checkpoint_is_pickled(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path, _Training(2).snapshot(2))
    assert _names(path) == ["model.safetensors", "optimizer.safetensors", "state.json"]


def test_the_last_ones_and_every_nth_are_kept(tmp_path: Path) -> None:
    training = _Training(1)
    retention = Retention(keep_last=2, keep_every_steps=10)
    writer = CheckpointWriter(tmp_path, retention)
    (tmp_path / ".tmp-step-000003").mkdir()
    for step in (10, 12, 20, 25, 1_000_001):
        writer.submit(training.snapshot(step))
    writer.wait()
    assert _names(tmp_path) == ["step-000010", "step-000020", "step-000025", "step-1000001"]
    retention.finish(tmp_path)
    assert _names(tmp_path) == ["step-000010", "step-000020"]
    Retention().finish(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.parametrize(
    "damage", ["truncate", "drop_state", "garble_state", "drop_weights", "zeros"]
)
def test_a_torn_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    training = _Training(1)
    write_checkpoint(tmp_path, training.snapshot(1))
    newest = write_checkpoint(tmp_path, training.snapshot(2))
    if damage == "truncate":
        file = newest / "optimizer.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "zeros":  # of the right size
        file = newest / "model.safetensors"
        file.write_bytes(bytes(file.stat().st_size))
    elif damage == "garble_state":
        (newest / "state.json").write_text("{")
    else:
        name = "state.json" if damage == "drop_state" else "model.safetensors"
        (newest / name).unlink()
    with caplog.at_level(logging.WARNING):
        found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    assert "step-000002" in caplog.text


def test_a_torn_one_of_a_later_step_does_not_push_out_a_good_one(tmp_path: Path) -> None:
    training = _Training(1)
    write_checkpoint(tmp_path, training.snapshot(4))
    (write_checkpoint(tmp_path, training.snapshot(6)) / "state.json").unlink()
    CheckpointWriter(tmp_path, Retention(keep_last=1)).write_now(training.snapshot(5))
    assert _names(tmp_path) == ["step-000005"]


def test_a_full_disk_costs_one_checkpoint_and_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    training = _Training(1)
    writer = CheckpointWriter(tmp_path, Retention(keep_last=1))
    writer.submit(training.snapshot(1))
    writer.wait()

    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "sync", full)
        writer.submit(training.snapshot(2))
        writer.wait()
        with pytest.raises(OSError, match="No space"):  # somebody waits for this one
            writer.write_now(training.snapshot(2))
    assert writer.failed_writes == 1 and "previous one stays" in caplog.text
    assert _names(tmp_path) == ["step-000001"]  # whole, and nothing half beside it
    writer.write_now(training.snapshot(3))
    assert _names(tmp_path) == ["step-000003"]


def test_what_killed_writers_left_makes_room_before_the_next_one_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".tmp-step-000009").mkdir()
    seen: list[str] = []
    write_checkpoint(tmp_path, _Training(1).snapshot(4), lambda _: seen.extend(_names(tmp_path)))
    assert seen == [".tmp-step-000004"]


def test_one_that_cannot_be_read_now_is_not_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = _Training(1)
    for step in (1, 2):
        write_checkpoint(tmp_path, training.snapshot(step))
    read = Path.read_text

    def failing(self: Path, **options: Any) -> str:
        if self.parent.name == "step-000002":
            raise OSError(errno.EIO, "Input/output error", str(self))
        return read(self, **options)

    monkeypatch.setattr(Path, "read_text", failing)
    with pytest.raises(OSError, match=r"step-000002/state\.json"):
        newest_checkpoint(tmp_path)


def test_an_error_that_is_not_the_disk_is_raised(tmp_path: Path) -> None:
    def broken(_: Path) -> None:
        raise KeyError("a bug")

    writer = CheckpointWriter(tmp_path, Retention(), broken)
    writer.submit(_Training(1).snapshot(1))
    with pytest.raises(KeyError):
        writer.wait()
    assert _names(tmp_path) == []


def test_nothing_to_resume_and_wrong_model(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "absent") is None
    path = write_checkpoint(tmp_path, _Training(1).snapshot(1))
    wider = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Linear(9, 2))
    optimizer = new_optimizer(wider, lr=0.1, betas=(0.9, 0.95), weight_decay=0.1)
    with pytest.raises(ConfigError, match=r"expected shape \(9, 4\), found \(8, 4\)"):
        restore(read_checkpoint(path), wider, optimizer)


def test_a_process_that_does_not_write_keeps_no_copies() -> None:
    training = _Training(1)
    snapshot = take_snapshot(
        step=1, state={}, model=training.model, optimizer=training.optimizer, keep=False
    )
    assert snapshot.weights == {} and snapshot.optimizer.keys() == random_state().keys()
