"""The guard: what is a spike and what is not."""

import math
import random

import pytest

from training.guard import Guard


def _warm(guard: Guard, steps: int = 200, seed: int = 0) -> list[str]:
    """A run as runs are: the loss falls, the norms scatter. Returns the reasons given."""
    noise = random.Random(seed)
    reasons = []
    for step in range(steps):
        loss = 2.0 + 6.0 * math.exp(-step / 40) + noise.gauss(0, 0.1)
        reasons.append(guard.judge(loss, math.exp(noise.gauss(0, 0.4))))
    return [reason for reason in reasons if reason is not None]


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_steps_pass_and_spikes_do_not(seed: int) -> None:
    guard = Guard(6.0, 64)
    assert _warm(guard, seed=seed) == []
    for _ in range(10):  # the spikes that it remembers do not hide the next one
        assert "spike: loss" in (guard.judge(6.0, 1.0) or "")
        assert "spike: gradient norm" in (guard.judge(2.0, 60.0) or "")
    assert guard.judge(2.05, 1.5) is None
    assert guard.judge(0.1, 1e-3) is None  # less is never a spike


def test_a_lasting_change_becomes_normal() -> None:
    guard = Guard(6.0, 32)
    _warm(guard)
    reasons = [guard.judge(6.0 + 0.01 * (step % 3), 1.0) for step in range(32)]
    assert reasons[0] is not None and reasons[-1] is None


def test_silent_at_first_and_when_switched_off() -> None:
    young, off = Guard(6.0, 64), Guard(None, 64)
    assert _warm(young, steps=32) == [] and young.judge(100.0, 1e4) is not None
    assert Guard(6.0, 64).judge(100.0, 1e4) is None
    _warm(off)
    assert off.judge(100.0, 1e4) is None


def test_what_is_not_finite_is_skipped_and_not_remembered() -> None:
    guard = Guard(None, 8)
    for loss, norm in ((math.nan, 1.0), (1.0, math.inf), (math.inf, math.nan)):
        assert "not finite" in (guard.judge(loss, norm) or "")
    assert guard.losses == [] and guard.norms == []


def test_the_histories_are_the_whole_state() -> None:
    one = Guard(6.0, 16)
    _warm(one)
    two = Guard(6.0, 16, list(one.losses), list(one.norms))
    for loss in (2.1, 9.0, 2.2, 3.0):
        assert one.judge(loss, 1.0) == two.judge(loss, 1.0)
