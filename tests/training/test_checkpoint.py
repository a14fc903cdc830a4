"""Checkpoints: atomic, bounded in number, torn ones passed over, exact when restored."""

import logging
from pathlib import Path

import pytest
import torch

from training.checkpoint import newest_checkpoint, read_checkpoint, restore, save_checkpoint
from training.config import ConfigError
from training.optimizer import new_optimizer


def _trained(steps: int, seed: int = 0) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    optimizer = new_optimizer(model, lr=0.1, betas=(0.9, 0.95), weight_decay=0.1)
    _train(model, optimizer, steps)
    return model, optimizer


def _train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for _ in range(steps):
        model(torch.randn(3, 4)).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_restored_state_continues_bit_for_bit(tmp_path: Path) -> None:
    model, optimizer = _trained(3)
    save_checkpoint(tmp_path, step=3, state={"note": [1]}, model=model, optimizer=optimizer)
    _train(model, optimizer, 4)

    other, other_optimizer = _trained(1, seed=9)
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 3 and found.state["note"] == [1]
    restore(found, other, other_optimizer)
    _train(other, other_optimizer, 4)
    for left, right in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(left, right)
        for kind, tensor in optimizer.state[left].items():
            assert torch.equal(tensor, other_optimizer.state[right][kind])


def test_the_last_two_are_kept_and_leftovers_do_not_matter(tmp_path: Path) -> None:
    model, optimizer = _trained(1)
    (tmp_path / ".tmp-step-000003").mkdir()
    for step in (1, 2, 3, 2_000_000):
        save_checkpoint(tmp_path, step=step, state={}, model=model, optimizer=optimizer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-000003", "step-2000000"]


@pytest.mark.parametrize("damage", ["truncate", "drop_state", "garble_state", "drop_weights"])
def test_a_torn_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    model, optimizer = _trained(1)
    save_checkpoint(tmp_path, step=1, state={}, model=model, optimizer=optimizer)
    newest = save_checkpoint(tmp_path, step=2, state={}, model=model, optimizer=optimizer)
    if damage == "truncate":
        file = newest / "optimizer.safetensors"
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "garble_state":
        (newest / "state.json").write_text("{")
    else:
        name = "state.json" if damage == "drop_state" else "model.safetensors"
        (newest / name).unlink()
    with caplog.at_level(logging.WARNING):
        found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 1
    assert "step-000002" in caplog.text


def test_a_failed_write_leaves_the_previous_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = _trained(1)
    save_checkpoint(tmp_path, step=1, state={}, model=model, optimizer=optimizer)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("training.checkpoint._sync", full)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path, step=2, state={}, model=model, optimizer=optimizer)
    found = newest_checkpoint(tmp_path)
    assert found is not None and found.step == 1


def test_nothing_to_resume_and_wrong_model(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "absent") is None
    model, optimizer = _trained(1)
    path = save_checkpoint(tmp_path, step=1, state={}, model=model, optimizer=optimizer)
    wider = torch.nn.Sequential(torch.nn.Linear(4, 9), torch.nn.Linear(9, 2))
    with pytest.raises(ConfigError, match=r"expected shape \(9, 4\), found \(8, 4\)"):
        restore(read_checkpoint(path), wider, optimizer)
