"""Scores and their uncertainty: unbiased pass@k, Wilson intervals, bootstrap over tasks.

No number leaves the evaluation without an interval: one greedy sample a task gets Wilson's,
anything else a percentile bootstrap that redraws tasks (never rows) with a fixed seed.
Paper section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

_Z_95 = 1.959963984540054


class Interval(NamedTuple):
    """A 95% interval, in the unit of the value it belongs to."""

    low: float
    high: float


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """Probability that at least one of k draws without replacement is right: 1 - C(n-c,k)/C(n,k).

    Raises ValueError when k is larger than the number of samples (there is no unbiased estimate).
    """
    if not 0 <= correct <= samples:
        raise ValueError(f"correct must be within 0..{samples}, found {correct}")
    if not 1 <= k <= samples:
        raise ValueError(
            f"pass@{k} needs k >= 1 and at least {max(k, 1)} samples of each task, found {samples}"
        )
    if samples - correct < k:
        return 1.0
    missing = 1.0
    for draw in range(k):
        missing *= (samples - correct - draw) / (samples - draw)
    return 1.0 - missing


def wilson_interval(correct: int, total: int) -> Interval:
    """Wilson's 95% interval of a share; honest at 0 and 1, where the normal one has no width."""
    if not 0 <= correct <= total or total == 0:
        raise ValueError(
            f"expected 0 <= correct <= total and total > 0, found {correct} of {total}"
        )
    share, z2 = correct / total, _Z_95**2
    centre = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = _Z_95 / (1 + z2 / total) * sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    low = 0.0 if correct == 0 else max(0.0, centre - half)
    high = 1.0 if correct == total else min(1.0, centre + half)
    return Interval(low, high)


def bootstrap_mean(values: Sequence[float], *, seed: int = 0, draws: int = 10_000) -> Interval:
    """Percentile interval (95%) of the mean over tasks."""
    return bootstrap_ratio(values, [1.0] * len(values), seed=seed, draws=draws)


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    seed: int = 0,
    draws: int = 10_000,
) -> Interval:
    """Percentile interval (95%) of sum(numerators) / sum(denominators), redrawing tasks.

    Bits per byte over documents is such a ratio: bits and bytes of a document travel together.
    """
    if len(numerators) != len(denominators) or not len(numerators):
        raise ValueError(
            "expected two lists of one length above 0, "
            f"found {len(numerators)} and {len(denominators)} values"
        )
    top, bottom = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    generator = np.random.default_rng(seed)
    ratios = np.empty(draws)
    step = max(1, 2_000_000 // len(top))
    for start in range(0, draws, step):
        count = min(step, draws - start)
        picks = generator.integers(0, len(top), size=(count, len(top)))
        ratios[start : start + count] = top[picks].sum(axis=1) / bottom[picks].sum(axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(low), float(high))
