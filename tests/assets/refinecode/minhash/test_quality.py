"""What the presets find, where all pairs are known: files of Python's library and mutants of them.

Every pair of a few hundred files is compared by its true Jaccard similarity; recall is held against
the curve of the bands at just these similarities.
"""

from __future__ import annotations

import itertools
import random
import sysconfig
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from assets.refinecode.minhash import (
    PRESETS,
    SketchParams,
    band_hashes,
    candidate_probability,
    components,
    shingle_sets,
    signatures,
    similarities,
)

LEVELS = (0.7, 0.85, 0.95)
SEEDS = range(1, 9)


def mutants(text: str, number: int) -> list[str]:
    """Near-duplicates as they happen, each a little or a lot."""
    draw = random.Random(number)
    lines = text.splitlines()
    names = sorted({word for line in lines for word in line.split() if word.isidentifier()})
    made = [
        "# Copyright of somebody else, all rights reserved\n" + text,
        text.replace("    ", "\t"),
        text + "\n" + "\n".join(f"extra_{number}_{i} = {i}" for i in range(draw.randint(1, 40))),
    ]
    for share in (0.002, 0.01, 0.03, 0.08):
        changed = [
            line + f"  # {draw.random()}" if draw.random() < share else line for line in lines
        ]
        made.append("\n".join(changed))
    for name in draw.sample(names, min(2, len(names))):
        made.append(text.replace(name, f"{name}_renamed"))
    return made


@cache
def corpus() -> pa.Array:
    folder = Path(sysconfig.get_paths()["stdlib"])
    paths = sorted(path for path in folder.glob("*.py") if 300 < path.stat().st_size < 60_000)
    texts: list[str] = []
    for number, path in enumerate(paths[:60]):
        text = path.read_text(encoding="utf-8", errors="replace")
        texts += [text, *mutants(text, number)]
    return pa.array(texts)


@cache
def true_pairs() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(left, right, similarity) of every pair above 0.3."""
    sets = shingle_sets(corpus(), SketchParams())
    left, right = np.array(list(itertools.combinations(range(len(sets)), 2))).T
    found = similarities(sets, left, right)
    near = found > 0.3
    return left[near], right[near], found[near]


def candidates(hashes: np.ndarray) -> set[tuple[int, int]]:
    pairs: set[tuple[int, int]] = set()
    for band in hashes.T:
        order = np.argsort(band, kind="stable")
        for bucket in np.split(order, np.flatnonzero(np.diff(band[order])) + 1):
            pairs.update(itertools.combinations(sorted(bucket.tolist()), 2))
    return pairs


@pytest.mark.parametrize("sketch", ["fast", "exact"])
@pytest.mark.parametrize("name", ["paper", "stack"])
def test_recall_follows_the_curve(name: str, sketch: str) -> None:
    params = replace(PRESETS[name].params, sketch=sketch)  # type: ignore[arg-type]
    left, right, true = true_pairs()
    expected = candidate_probability(true, params.bands, params.rows)
    found = np.zeros(len(true))
    wrong = dict.fromkeys(LEVELS, 0.0)
    near = {(i, k): s for i, k, s in zip(left.tolist(), right.tolist(), true, strict=True)}
    seeds = SEEDS if sketch == "fast" else range(1, 3)
    for seed in seeds:
        pairs = candidates(band_hashes(corpus(), replace(params, seed=seed)))
        found += [pair in pairs for pair in near]
        for level in LEVELS:
            wrong[level] += sum(near.get(pair, 0.0) < level for pair in pairs) / len(pairs)
    found /= len(seeds)
    for level in LEVELS:
        above = true >= level
        recall, curve = found[above].mean(), np.asarray(expected)[above].mean()
        precision = 1 - wrong[level] / len(seeds)
        print(f"{name} {sketch} J >= {level}: {above.sum()} pairs, recall {recall:.3f}, "
              f"curve {curve:.3f}, precision {precision:.3f}")  # fmt: skip
        assert recall >= curve - 0.02


def test_verified_pairs_are_all_true() -> None:
    preset = PRESETS["verified"]
    left, right, true = true_pairs()
    near = {(i, k) for i, k, s in zip(left.tolist(), right.tolist(), true, strict=True) if s >= 0.7}
    pairs = np.array(sorted(candidates(band_hashes(corpus(), preset.params))))
    similar = similarities(shingle_sets(corpus(), preset.params), pairs[:, 0], pairs[:, 1])
    kept = {(i, k) for i, k in pairs[similar >= (preset.min_similarity or 0)].tolist()}
    recall = len(kept & near) / len(near)
    print(f"verified: {len(near)} pairs, recall {recall:.3f}")
    assert kept <= near
    assert recall >= 0.97


def test_error_at_the_paper_setting() -> None:
    """RMSE over true pairs and seeds is at most sqrt(J (1 - J) / 2048)."""
    left, right, true = true_pairs()
    squares = []
    for seed in SEEDS:
        found = signatures(corpus(), SketchParams(seed=seed))
        squares.append((np.mean(found[left] == found[right], axis=1) - true) ** 2)
    rmse, theory = np.mean(squares) ** 0.5, np.mean(true * (1 - true) / 2048) ** 0.5
    print(f"RMSE {rmse:.5f}, independent permutations {theory:.5f}, ratio {rmse / theory:.2f}")
    assert rmse <= theory


@pytest.mark.parametrize("name", ["paper", "stack"])
def test_fast_and_exact_remove_the_same_files(name: str) -> None:
    """They differ no more than exact differs from itself with other permutations: both follow one
    curve, and a file where it is steep is removed or not by chance."""

    def removed(sketch: str, seed: int) -> set[int]:
        params = replace(PRESETS[name].params, sketch=sketch, seed=seed)  # type: ignore[arg-type]
        pairs = np.array(sorted(candidates(band_hashes(corpus(), params))))
        nodes, labels = components(pairs[:, 0], pairs[:, 1])
        return set(nodes[nodes != labels].tolist())

    seeds = range(1, 5)
    fast, exact = ([removed(sketch, seed) for seed in seeds] for sketch in ("fast", "exact"))
    between = np.mean([len(one ^ two) for one in fast for two in exact])
    within = np.mean([len(one ^ two) for one, two in itertools.combinations(exact, 2)])
    counts = [float(np.mean([len(one) for one in kind])) for kind in (fast, exact)]
    print(f"{name}: {counts} removed, {between:.1f} differ; of two seeds of exact {within:.1f}")
    assert between <= 1.1 * within
    assert counts[0] == pytest.approx(counts[1], rel=0.03)


def test_planted_duplicates_are_found_as_their_similarity_says() -> None:
    left, right, true = true_pairs()
    pairs = candidates(band_hashes(corpus(), PRESETS["stack"].params))
    found = np.array([pair in pairs for pair in zip(left.tolist(), right.tolist(), strict=True)])
    assert (true > 0.9).sum() > 200 and found[true > 0.9].all()
    assert not found[true < 0.4].any()
