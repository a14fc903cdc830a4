"""Scores and their uncertainty: unbiased pass@k, Wilson intervals, bootstrap over tasks.

No number leaves the evaluation without an interval: one greedy sample a task gets Wilson's,
anything else a percentile bootstrap that redraws tasks (never rows) with a fixed seed, or whole
problems where several tasks are translations of one. Paper section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt
from typing import NamedTuple

import numpy as np

_Z_95 = 1.959963984540054
_Z_POWER = 0.8416212335729143
#: With b discordant tasks all on one side, McNemar's p is 2 * 0.5**b: 0.0625 at five, 0.031 at six.
MIN_DISCORDANT = 6


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
    """Percentile interval (95%) of the mean of shares (0 to 1) over tasks; at 0 and 1 Wilson's."""
    return bootstrap_ratio(values, [1.0] * len(values), of_one=True, seed=seed, draws=draws)


def bootstrap_ratio(
    numerators: Sequence[float],
    denominators: Sequence[float],
    *,
    clusters: Sequence[str] | None = None,
    of_one: bool = False,
    seed: int = 0,
    draws: int = 10_000,
) -> Interval:
    """Percentile interval (95%) of sum(numerators) / sum(denominators), redrawing tasks.

    Bits per byte over documents is such a ratio: bits and bytes of a document travel together.
    clusters: the problem of each row; rows of one problem are drawn together (Miller 2024, "Adding
    error bars to evals"). of_one: the ratio is a share; where it is 0 or 1 redrawing has nothing to
    vary, and the interval is Wilson's over what is redrawn.
    """
    tops, bottoms = clustered(numerators, denominators, clusters)
    if of_one and (not tops.any() or (tops == bottoms).all()):
        return wilson_interval(len(tops) if tops.any() else 0, len(tops))
    low, high = np.percentile(ratio_draws([(tops, bottoms)], seed=seed, draws=draws), [2.5, 97.5])
    return Interval(float(low), float(high))


def clustered(
    numerators: Sequence[float], denominators: Sequence[float], clusters: Sequence[str] | None
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of both lists for each cluster (each row alone without clusters)."""
    if len(numerators) != len(denominators) or not len(numerators):
        raise ValueError(
            "expected two lists of one length above 0, "
            f"found {len(numerators)} and {len(denominators)} values"
        )
    tops, bottoms = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    if clusters is None:
        return tops, bottoms
    names, owner = np.unique(np.asarray(clusters), return_inverse=True)
    return (
        np.bincount(owner, weights=tops, minlength=len(names)),
        np.bincount(owner, weights=bottoms, minlength=len(names)),
    )


def ratio_draws(
    parts: Sequence[tuple[np.ndarray, np.ndarray]], *, seed: int, draws: int = 10_000
) -> np.ndarray:
    """Bootstrap draws of a ratio of sums, or of the difference second minus first of two.

    All parts are redrawn with the same picks: two models on the same tasks stay paired.
    """
    size = len(parts[0][0])
    generator = np.random.default_rng(seed)
    found = np.empty(draws)
    step = max(1, 2_000_000 // size)
    for start in range(0, draws, step):
        count = min(step, draws - start)
        picks = generator.integers(0, size, size=(count, size))
        ratios = [tops[picks].sum(axis=1) / bottoms[picks].sum(axis=1) for tops, bottoms in parts]
        found[start : start + count] = ratios[-1] - ratios[0] if len(ratios) > 1 else ratios[0]
    return found


def detectable_difference(tasks: int, discordance: float) -> float:
    """Smallest true difference of two pass rates that a paired test finds with 80% power.

    tasks: how many both models answered. discordance: share of tasks that only one of them solves.
    Two-sided 5% level, the normal approximation of McNemar's test (Connor 1987). Fewer than six
    discordant tasks are never significant, so the answer is at least 6 / tasks; 1.0 when even that
    is out of reach.
    """
    if tasks < 1 or not 0 <= discordance <= 1:
        raise ValueError(f"expected tasks >= 1 and a share, found {tasks} and {discordance}")
    difference = (_Z_95 + _Z_POWER) * sqrt(discordance / tasks)
    for _ in range(50):  # the variance under the alternative is smaller; this settles quickly
        spread = sqrt(max(0.0, discordance - min(difference, discordance) ** 2))
        difference = (_Z_95 * sqrt(discordance) + _Z_POWER * spread) / sqrt(tasks)
    return min(1.0, max(difference, MIN_DISCORDANT / tasks))
