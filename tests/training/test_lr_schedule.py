"""Schedules: exact curves."""

import itertools

import pytest

from training.schedule import exponential_decay, warmup_cosine, warmup_stable


def test_warmup_then_constant() -> None:
    rate = warmup_stable(2e-3, 4)
    assert [rate(step) for step in range(6)] == pytest.approx([5e-4, 1e-3, 1.5e-3] + [2e-3] * 3)
    assert warmup_stable(1.0, 0)(0) == 1.0


def test_exponential_decay_is_geometric_and_ends_exactly() -> None:
    rate = exponential_decay(3e-4, 1e-5, 50)
    rates = [rate(step) for step in range(50)]
    ratios = [right / left for left, right in itertools.pairwise(rates)]
    assert ratios == pytest.approx([(1e-5 / 3e-4) ** (1 / 50)] * 49)
    assert rates[0] < 3e-4 and rates[-1] == pytest.approx(1e-5)


def test_cosine_falls_to_zero() -> None:
    rate = warmup_cosine(1.0, steps=12, warmup_steps=2)
    assert [rate(0), rate(1), rate(2), rate(7)] == pytest.approx([0.5, 1.0, 1.0, 0.5])
    assert rate(12) == pytest.approx(0.0) and rate(11) > 0
    assert warmup_cosine(1.0, steps=1, warmup_steps=5)(0) == pytest.approx(0.2)
