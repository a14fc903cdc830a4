"""Sketches: datasketch's numbers, the error of the estimate, and what must not change a value."""

from __future__ import annotations

import numpy as np
import pytest

from assets.refinecode.minhash import sketch as module
from assets.refinecode.minhash.params import SketchParams
from assets.refinecode.minhash.sketch import Sketches, estimate


def random_hashes(count: int, seed: int) -> np.ndarray:
    return np.random.RandomState(seed).randint(0, 1 << 64, count, dtype=np.uint64)


def signature(hashes: np.ndarray, params: SketchParams) -> np.ndarray:
    return Sketches(params).signatures(hashes, np.array([len(hashes)]))[0]


@pytest.mark.parametrize("count", [1, 3, 40, 700, 5000])
@pytest.mark.parametrize("permutations", [1, 31, 250, 2048])
def test_exact_equals_datasketch(count: int, permutations: int) -> None:
    from datasketch import MinHash

    hashes = random_hashes(count, 1)
    oracle = MinHash(permutations, seed=1, hashfunc=lambda value: value)
    oracle.update_batch([int(value) & 0xFFFFFFFF for value in hashes])
    params = SketchParams(permutations=permutations, bands=1, rows=1, sketch="exact")
    assert np.array_equal(signature(hashes, params), oracle.hashvalues)


def test_exact_equals_datasketch_for_another_seed() -> None:
    from datasketch import MinHash

    hashes = random_hashes(100, 5)
    oracle = MinHash(64, seed=9, hashfunc=lambda value: value)
    oracle.update_batch([int(value) & 0xFFFFFFFF for value in hashes])
    params = SketchParams(permutations=64, bands=1, rows=1, sketch="exact", seed=9)
    assert np.array_equal(signature(hashes, params), oracle.hashvalues)


def slow_fast_sketch(hashes: np.ndarray, count: int, seed: int) -> list[int]:
    """The fast similarity sketch as its definition says, one shingle and one bin at a time."""
    rounds = range(module.ROUNDS)
    a, b = (list(map(int, row)) for row in module.permutations(count, seed))
    ra, rb = (list(map(int, row)) for row in module.permutations(len(rounds), seed + (1 << 31)))
    low = 0xFFFFFFFF
    mixed = set()
    for value in hashes.tolist():
        h = value & low
        h = ((h ^ h >> 16) * 0x85EBCA6B) & low
        h = ((h ^ h >> 13) * 0xC2B2AE35) & low
        mixed.add(h ^ h >> 16)
    bins: dict[int, int] = {}
    for r in rounds:
        hit: dict[int, int] = {}
        for x in mixed:
            h = (x * ra[r] + rb[r]) & low
            h = ((h ^ h >> 15) * 0x2C1B3C6D) & low
            h ^= h >> 14
            place = (h >> 16) * count
            value = r << 27 | (place & 0xFFFF) << 11 | (h & 0xFFFF) >> 5
            hit[place >> 16] = min(value, hit.get(place >> 16, low))
        bins = hit | bins
    for k in set(range(count)) - set(bins):
        bins[k] = 1 << 31 | min((a[k] * x + b[k]) & low for x in mixed) >> 1
    return [bins[k] for k in range(count)]


@pytest.mark.parametrize(("count", "permutations"), [(1, 40), (7, 250), (30, 256), (3000, 250)])
def test_fast_is_its_definition(count: int, permutations: int) -> None:
    hashes = random_hashes(count, 2)
    hashes = np.concatenate([hashes, hashes[: count // 2]])
    params = SketchParams(permutations=permutations, bands=1, rows=1, seed=3)
    assert signature(hashes, params).tolist() == slow_fast_sketch(hashes, permutations, 3)


@pytest.mark.parametrize("kind", ["fast", "exact"])
@pytest.mark.parametrize("count", [2, 90, 800, 9000])
def test_repeats_and_order_change_nothing(kind: str, count: int) -> None:
    params = SketchParams(sketch=kind)  # type: ignore[arg-type]
    hashes = random_hashes(count, 4)
    known = signature(hashes, params)
    assert np.array_equal(signature(hashes[::-1].copy(), params), known)
    assert np.array_equal(signature(np.repeat(hashes, 5), params), known)
    assert np.array_equal(signature(np.tile(hashes, 30), params), known)


@pytest.mark.parametrize("kind", ["fast", "exact"])
def test_a_set_is_sketched_as_if_alone(kind: str) -> None:
    params = SketchParams(permutations=256, bands=16, rows=16, sketch=kind)  # type: ignore[arg-type]
    sizes = [0, 5, 1000, 0, 64, 3]
    hashes, stops = random_hashes(sum(sizes), 5), np.cumsum(sizes)
    content = np.arange(6, dtype=np.uint64)
    together = Sketches(params).signatures(hashes, stops)
    bands = Sketches(params).band_hashes(hashes, stops, content)
    for i, (stop, size) in enumerate(zip(stops, sizes, strict=True)):
        part, one = hashes[stop - size : stop], np.array([size])
        assert np.array_equal(Sketches(params).signatures(part, one)[0], together[i])
        assert np.array_equal(
            Sketches(params).band_hashes(part, one, content[i : i + 1])[0], bands[i]
        )
    assert (together[0] == 0xFFFFFFFF).all()
    assert len(np.unique(bands[[0, 3]])) == 32  # two empty sets of different content
    assert len(np.unique(bands)) == bands.size


def test_band_hash_changes_with_each_of_its_values_only() -> None:
    params = SketchParams(permutations=64, bands=4, rows=16)
    one, two = random_hashes(400, 6), random_hashes(400, 6)
    two[:40] = random_hashes(40, 7)
    left, right = signature(one, params), signature(two, params)
    stops, content = np.array([400]), np.zeros(1, np.uint64)
    bands = [Sketches(params).band_hashes(h, stops, content)[0] for h in (one, two)]
    same = (left == right).reshape(4, 16).all(axis=1)
    assert np.array_equal(bands[0] == bands[1], same)


SEEDS = range(1, 13)


def pairs(size: int) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Pairs of sets of ``size`` with known similarities."""
    made = []
    for number, jaccard in enumerate((0.3, 0.5, 0.7, 0.85, 0.95)):
        common = round(2 * size * jaccard / (1 + jaccard))
        every = random_hashes(2 * size - common, 100 * size + number)
        made.append((every[:size], every[size - common :], common / len(every)))
    return made


@pytest.mark.parametrize("permutations", [256, 2048])
@pytest.mark.parametrize("size", [20, 300, 2000, 12000])
def test_error_of_the_fast_estimate(permutations: int, size: int) -> None:
    """The root mean square error, over seeds and pairs, is not above that of as many independent
    permutations, sqrt(J (1 - J) / K). With many more shingles than bins it is the same, so sixty
    draws of it are allowed their own spread there."""
    squares, theory, errors = [], [], []
    for left, right, jaccard in pairs(size):
        for seed in SEEDS:
            params = SketchParams(permutations=permutations, bands=1, rows=1, seed=seed)
            error = estimate(signature(left, params), signature(right, params)) - jaccard
            squares.append(error**2)
            errors.append(error)
            theory.append(jaccard * (1 - jaccard) / permutations)
    ratio = float(np.sqrt(np.mean(squares) / np.mean(theory)))
    print(f"K={permutations} n={size}: RMSE {np.mean(squares) ** 0.5:.5f}, {ratio:.2f} of theory")
    assert ratio <= (1.0 if size <= 8 * permutations else 1.2)
    assert abs(np.mean(errors)) < 3 * np.sqrt(np.mean(theory) / len(theory))


def test_estimate_needs_equal_settings() -> None:
    assert estimate(np.array([1, 2], np.uint32), np.array([1, 3], np.uint32)) == 0.5
    with pytest.raises(ValueError, match="equal settings"):
        estimate(np.zeros(2, np.uint32), np.zeros(3, np.uint32))


def test_parameters_are_checked() -> None:
    with pytest.raises(ValueError, match="2048 permutations"):
        SketchParams(bands=17)
    with pytest.raises(ValueError, match="ngram: expected 1 or more"):
        SketchParams(ngram=0)
    with pytest.raises(ValueError, match="unit: expected one of word, char, token"):
        SketchParams(unit="line")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="65536"):
        SketchParams(permutations=70_000, bands=1, rows=1)
