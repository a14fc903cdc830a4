"""Is run B better than run A? Paired tests on the tasks that both answered.

One greedy sample a task: exact McNemar on the tasks that only one of them solves. Several samples,
or bits per byte: a sign-flip permutation test on task differences. Every difference gets a paired
bootstrap interval; p-values of several benchmarks are corrected by Holm. With several training
seeds on a side the seed is the outer level: seeds are redrawn, then tasks, and the seed means are
shown with a t interval, because three seeds say little however many tasks there are. Paper section
5.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import comb, sqrt
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.metrics import (
    MIN_DISCORDANT,
    Interval,
    clustered,
    detectable_difference,
    ratio_draws,
    wilson_interval,
)

_DRAWS = 10_000
_Z_95 = 1.959964
# two-sided 95% quantiles of Student's t for 1, 2, ... degrees of freedom
_T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


@dataclass(frozen=True)
class Tally:
    """What one run found on one task: a sum and its weight (passes of samples, bits of bytes)."""

    top: float
    bottom: float


@dataclass(frozen=True)
class Side:
    """One run: its name and, for each (benchmark, metric), tallies by task and problems by task."""

    name: str
    tallies: dict[tuple[str, str], dict[str, Tally]]
    problems: dict[tuple[str, str], dict[str, str]]


@dataclass(frozen=True)
class Comparison:
    """B minus A on one benchmark, over tasks that both answered.

    p: of the paired test, None with several seeds a side. p_holm: corrected for all benchmarks of
    the comparison. only_a, only_b: tasks that one side alone solves. detectable: smallest true
    difference this comparison would have found with 80% power.
    """

    benchmark: str
    metric: str
    tasks: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    only_a: int | None
    only_b: int | None
    p: float | None
    p_holm: float | None
    detectable: float | None
    verdict: str
    seeds_a: tuple[float, ...]
    seeds_b: tuple[float, ...]
    seed_interval: tuple[float, float] | None


def compare(a: Sequence[Path | str], b: Sequence[Path | str], *, seed: int = 0) -> list[Comparison]:
    """Compare the runs in the folders `b` with those in `a` (several folders: training seeds).

    Raises ValueError when they share no benchmark, or FileNotFoundError when a folder holds no run.
    """
    sides_a, sides_b = [read_run(Path(p)) for p in a], [read_run(Path(p)) for p in b]
    shared = set.intersection(*(set(side.tallies) for side in [*sides_a, *sides_b]))
    if not shared:
        raise ValueError(
            f"{', '.join(side.name for side in sides_a)} and "
            f"{', '.join(side.name for side in sides_b)} share no benchmark: nothing to compare"
        )
    found = [_one(key, sides_a, sides_b, seed) for key in sorted(shared)]
    tested = [item for item in found if item.p is not None]
    corrected = holm([item.p for item in tested if item.p is not None])
    by_key = {
        (item.benchmark, item.metric): value for item, value in zip(tested, corrected, strict=True)
    }
    return [_decided(item, by_key.get((item.benchmark, item.metric))) for item in found]


def read_run(folder: Path) -> Side:
    """The tallies of a run from its results.parquet and summary.json."""
    import pyarrow.parquet as parquet

    summary, results = folder / "summary.json", folder / "results.parquet"
    for path in (summary, results):
        if not path.is_file():
            raise FileNotFoundError(f"{path} not found: expected the folder of a finished run")
    name = json.loads(summary.read_text(encoding="utf-8"))["model"]["name"]
    tallies: dict[tuple[str, str], dict[str, Tally]] = {}
    problems: dict[tuple[str, str], dict[str, str]] = {}
    for row in parquet.ParquetFile(results).read().to_pylist():
        for metric, top, bottom in _measures(row):
            key = (row["benchmark"], metric)
            task = row["task_id"]
            before = tallies.setdefault(key, {}).get(task, Tally(0.0, 0.0))
            tallies[key][task] = Tally(before.top + top, before.bottom + bottom)
            problems.setdefault(key, {})[task] = row.get("problem") or task
    return Side(name, tallies, problems)


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Two-sided exact p of McNemar's test: a fair coin for each discordant task.

    >>> mcnemar_exact(0, 6)
    0.03125
    """
    total = only_a + only_b
    if total == 0:
        return 1.0
    tail = sum(comb(total, k) for k in range(min(only_a, only_b) + 1)) / 2**total
    return min(1.0, 2 * tail)


def holm(values: Sequence[float]) -> list[float]:
    """Holm's step-down correction of several p-values, in their order.

    >>> [round(p, 3) for p in holm([0.01, 0.04, 0.03])]
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    corrected = [0.0] * len(values)
    worst = 0.0
    for rank, place in enumerate(order):
        worst = max(worst, min(1.0, (len(values) - rank) * values[place]))
        corrected[place] = worst
    return corrected


def sign_flip(differences: Sequence[float], *, seed: int = 0, draws: int = _DRAWS) -> float:
    """Two-sided p of a permutation test that flips the sign of each task's difference."""
    values = np.asarray(differences, dtype=float)
    if not values.any():
        return 1.0
    generator = np.random.default_rng(seed)
    observed = abs(values.sum()) - 1e-12
    extreme = 0
    step = max(1, 2_000_000 // len(values))
    for start in range(0, draws, step):
        signs = generator.choice((-1.0, 1.0), size=(min(step, draws - start), len(values)))
        extreme += int((np.abs(signs @ values) >= observed).sum())
    return (extreme + 1) / (draws + 1)


def as_text(found: Sequence[Comparison]) -> str:
    """One block of lines for each benchmark, for people."""
    lines = []
    for item in found:
        scale, unit = (100, " points") if _is_share(item.metric) else (1, "")
        interval = f"{scale * item.low:+.2f} to {scale * item.high:+.2f}"
        lines.append(
            f"{item.benchmark} {item.metric}: A {scale * item.a:.2f}, B {scale * item.b:.2f}, "
            f"B - A {scale * item.difference:+.2f}{unit} ({interval}), {item.tasks} tasks"
        )
        if item.p is not None:
            lines.append(f"  p {item.p:.4f}, corrected {item.p_holm or item.p:.4f}: {item.verdict}")
        else:
            lines.append(f"  {item.verdict}")
        if item.only_a is not None:
            lines.append(f"  solved by A alone {item.only_a}, by B alone {item.only_b}")
        if item.detectable is not None:
            lines.append(
                f"  smallest difference this would have found with 80% power: "
                f"{scale * item.detectable:.2f}{unit}"
            )
        if item.seed_interval is not None:
            low, high = (scale * value for value in item.seed_interval)
            lines.append(f"  over seeds: {low:+.2f} to {high:+.2f}{unit} (t interval)")
    return "\n".join(lines)


def as_rows(found: Sequence[Comparison]) -> list[dict[str, Any]]:
    """The comparisons as JSON-ready rows."""
    return [asdict(item) for item in found]


def _one(
    key: tuple[str, str], sides_a: Sequence[Side], sides_b: Sequence[Side], seed: int
) -> Comparison:
    sides = [*sides_a, *sides_b]
    tasks = sorted(set.intersection(*(set(side.tallies[key]) for side in sides)))
    if not tasks:
        raise ValueError(f"{key[0]}: the runs answered no task in common")
    problems = [sides[0].problems[key][task] for task in tasks]
    # a row of sums by problem for each run: shape (runs, problems)
    arms = []
    for arm in (sides_a, sides_b):
        parts = [_parts(key[1], side.tallies[key], tasks, problems) for side in arm]
        arms.append((np.array([p[0] for p in parts]), np.array([p[1] for p in parts])))
    means = [tops.sum(axis=1) / bottoms.sum(axis=1) for tops, bottoms in arms]
    single = len(sides_a) == len(sides_b) == 1
    p: float | None = None
    only: tuple[int | None, int | None] = (None, None)
    detectable: float | None = None
    if single:
        pair = [(tops[0], bottoms[0]) for tops, bottoms in arms]
        low, high = np.percentile(ratio_draws(pair, seed=seed), [2.5, 97.5])
        interval = Interval(float(low), float(high))
        if low == high == 0 and _is_share(key[1]):  # no task differs: redrawing has nothing to vary
            widest = wilson_interval(0, len(pair[0][0])).high
            interval = Interval(-widest, widest)
        tallies = [side.tallies[key] for side in sides]
        p, only, detectable = _paired(key[1], tallies, tasks, pair, seed)
    else:
        interval = _seeds_bootstrap(arms, seed)
    return Comparison(
        benchmark=key[0],
        metric=key[1],
        tasks=len(tasks),
        a=float(means[0].mean()),
        b=float(means[1].mean()),
        difference=float(means[1].mean() - means[0].mean()),
        low=interval.low,
        high=interval.high,
        only_a=only[0],
        only_b=only[1],
        p=p,
        p_holm=None,
        detectable=detectable,
        verdict="",
        seeds_a=tuple(float(value) for value in means[0]),
        seeds_b=tuple(float(value) for value in means[1]),
        seed_interval=_t_interval(means),
    )


def _paired(
    metric: str,
    tallies: Sequence[dict[str, Tally]],
    tasks: Sequence[str],
    pair: Sequence[tuple[np.ndarray, np.ndarray]],
    seed: int,
) -> tuple[float, tuple[int | None, int | None], float | None]:
    greedy = _is_share(metric) and all(
        tally[task].bottom == 1 and tally[task].top in (0, 1) for tally in tallies for task in tasks
    )
    if greedy and len(tasks) == len(pair[0][0]):
        first, second = ([tally[task].top for task in tasks] for tally in tallies)
        only_a = sum(x > y for x, y in zip(first, second, strict=True))
        only_b = sum(x < y for x, y in zip(first, second, strict=True))
        smallest = detectable_difference(len(tasks), (only_a + only_b) / len(tasks))
        return mcnemar_exact(only_a, only_b), (only_a, only_b), smallest
    if _is_share(metric):
        first, second = (tops / bottoms for tops, bottoms in pair)
        differences = second - first
    else:  # what each task adds to the difference of the two ratios
        (tops_a, bottoms_a), (tops_b, bottoms_b) = pair
        differences = tops_b / bottoms_b.sum() - tops_a / bottoms_a.sum()
        differences = differences * len(differences)
    spread = float(np.std(differences, ddof=1)) if len(differences) > 1 else 0.0
    # without any spread there is nothing to tell it from
    detectable = (1.96 + 0.8416) * spread / sqrt(len(differences)) if spread else None
    return sign_flip(differences, seed=seed), (None, None), detectable


def _decided(item: Comparison, p_holm: float | None) -> Comparison:
    if item.p is None:
        fewest = min(len(item.seeds_a), len(item.seeds_b))
        verdict = "several seeds a side: the interval redraws seeds, then tasks"
        if fewest == 1:
            verdict += "; one side has a single seed, so its spread over seeds is unknown"
    elif (
        item.only_a is not None
        and item.only_b is not None
        and (item.only_a + item.only_b < MIN_DISCORDANT)
    ):
        verdict = (
            f"only {item.only_a + item.only_b} tasks tell them apart; fewer than {MIN_DISCORDANT} "
            "can never be significant"
        )
    elif (p_holm if p_holm is not None else item.p) < 0.05:
        lower_is_better = "bits" in item.metric
        better = "B" if (item.difference > 0) != lower_is_better else "A"
        verdict = f"{better} is better"
    else:
        verdict = "no difference shown"
    return Comparison(**{**asdict(item), "p_holm": p_holm, "verdict": verdict})


def _parts(
    metric: str, tallies: dict[str, Tally], tasks: Sequence[str], problems: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    # a task weighs the same however many samples it got, as in the run's own score
    weights = [tallies[task].bottom if _is_share(metric) else 1.0 for task in tasks]
    tops = [tallies[task].top / weight for task, weight in zip(tasks, weights, strict=True)]
    bottoms = [tallies[task].bottom / weight for task, weight in zip(tasks, weights, strict=True)]
    return clustered(tops, bottoms, problems)


def _seeds_bootstrap(arms: Sequence[tuple[np.ndarray, np.ndarray]], seed: int) -> Interval:
    """Redraw the seeds of each side, then the tasks that all share."""
    generator = np.random.default_rng(seed)
    size = arms[0][0].shape[1]
    found = np.empty(_DRAWS)
    step = max(1, 2_000_000 // size)
    for start in range(0, _DRAWS, step):
        count = min(step, _DRAWS - start)
        # how often each task is drawn; the same tasks for every run of both sides
        drawn = generator.multinomial(size, np.full(size, 1 / size), size=count).T
        means = []
        for tops, bottoms in arms:
            ratios = (tops @ drawn) / (bottoms @ drawn)
            runs = generator.integers(0, len(tops), size=(len(tops), count))
            means.append(np.take_along_axis(ratios, runs, axis=0).mean(axis=0))
        found[start : start + count] = means[1] - means[0]
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(float(low), float(high))


def _t_interval(means: Sequence[np.ndarray]) -> tuple[float, float] | None:
    """95% interval of the difference of seed means (Welch), None without two seeds a side."""
    if min(len(values) for values in means) < 2:
        return None
    shares = [float(np.var(values, ddof=1)) / len(values) for values in means]
    difference = float(means[1].mean() - means[0].mean())
    if not sum(shares):
        return (difference, difference)
    freedom = sum(shares) ** 2 / sum(
        share**2 / (len(values) - 1) for share, values in zip(shares, means, strict=True)
    )
    half = _t_quantile(freedom) * sqrt(sum(shares))
    return (difference - half, difference + half)


def _t_quantile(freedom: float) -> float:
    """Student's 97.5% quantile; beyond the table by its expansion about the normal's."""
    if freedom < len(_T_95) + 1:
        return _T_95[max(1, int(freedom)) - 1]
    z = _Z_95
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _measures(row: dict[str, Any]) -> list[tuple[str, float, float]]:
    found = []
    for metric, column in (("pass@1", "passed"), ("pass@1_sanitised", "passed_sanitised")):
        if row.get(column) is not None:
            found.append((metric, float(row[column]), 1.0))
    if row.get("bits") is not None:
        found.append(("bits_per_byte", float(row["bits"]), float(row["bytes"])))
    if row.get("correct") is not None:
        found.append(("accuracy", float(row["correct"]), 1.0))
    return found


def _is_share(metric: str) -> bool:
    return "bits" not in metric
