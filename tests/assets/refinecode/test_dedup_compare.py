"""Verification inside a cluster: no pair below the floor, none above it lost, linear when huge."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.refinecode import compare
from assets.refinecode.minhash import SketchParams, components, shingle_sets, similarities
from tests.assets.refinecode.conftest import words


def _sets(seed: int, count: int, family: int) -> tuple[Any, Any]:
    """Sets of 40 hashes; those of a family are drawn from the same 60."""
    draw = np.random.default_rng(seed)
    pools = draw.integers(0, 1 << 60, (-(-count // family), 60), dtype=np.uint64)
    sets = [np.sort(draw.choice(pools[i // family], 40, replace=False)) for i in range(count)]
    return np.arange(0, 40 * count + 1, 40), np.concatenate(sets)


def _similar(offsets: Any, hashes: Any, floor: float) -> list[tuple[int, int]]:
    sets = [set(hashes[a:b].tolist()) for a, b in itertools.pairwise(offsets)]
    return [(i, k) for k in range(len(sets)) for i in range(k)
            if len(sets[i] & sets[k]) / len(sets[i] | sets[k]) >= floor]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_a_small_bucket_joins_exactly_the_pairs_above_the_floor(seed: int) -> None:
    offsets, hashes = _sets(seed, compare.HUBS, 8)
    keys = np.full((compare.HUBS, 1), 5, np.uint64)
    none = np.zeros((compare.HUBS, 0), np.uint32)
    found = compare.verified_groups(keys, offsets, hashes, none, 0.55)
    pairs = _similar(offsets, hashes, 0.55)
    assert len(pairs) > 10
    expected = np.arange(compare.HUBS)
    nodes, labels = components(*(np.array(side, np.int64) for side in zip(*pairs, strict=True)))
    expected[nodes] = labels
    assert found.tolist() == expected.tolist()


def test_only_members_of_a_bucket_are_compared() -> None:
    offsets, hashes = np.array([0, 2, 4, 6]), np.array([1, 2, 1, 2, 1, 2], np.uint64)
    keys = np.array([[1, 9], [2, 8], [3, 8]], np.uint64)
    none = np.zeros((3, 0), np.uint32)
    assert compare.verified_groups(keys, offsets, hashes, none, 1.0).tolist() == [0, 1, 1]


def test_what_fails_with_the_hub_of_a_large_bucket_has_hubs_of_its_own() -> None:
    """Thirty kinds of equal sets in one bucket, far more than are tried pair by pair."""
    kinds = 30
    kind = np.random.default_rng(0).integers(0, kinds, 20_000)
    pool = np.sort(np.random.default_rng(1).integers(0, 1 << 60, (kinds, 50), dtype=np.uint64), 1)
    offsets = np.arange(0, 50 * len(kind) + 1, 50)
    keys = np.full((len(kind), 2), 5, np.uint64)
    none = np.zeros((len(kind), 0), np.uint32)
    found = compare.verified_groups(keys, offsets, pool[kind].reshape(-1), none, 0.9)
    first = np.array([np.flatnonzero(kind == k)[0] for k in range(kinds)])
    assert np.array_equal(found, first[kind])


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="memory as Linux tells it")
def test_a_large_cluster_is_not_held_while_it_is_compared() -> None:
    """Every second set is like the first; 2.5 M hashes are read, a few times over."""
    draw = np.random.default_rng(0)
    store = compare.NumberStore(np.uint64)
    base, others = np.sort(draw.integers(0, 1 << 60, (2, 1 << 14), dtype=np.uint64), 1)
    members = 150
    for i in range(members):
        store.add(np.sort(draw.permutation(others if i % 2 else base)[i:]))
    offsets, hashes = store.read()
    calls = []

    def let_go() -> None:
        calls.append(_resident("Rss"))
        store.let_go()
        calls.append(_resident("Rss"))

    keys, none = np.full((members, 1), 5, np.uint64), np.zeros((members, 0), np.uint32)
    found = compare.verified_groups(keys, offsets, hashes, none, 0.9, let_go)
    store.close()
    assert found.tolist() == [i % 2 for i in range(members)]
    before, after = np.array(calls[::2]), np.array(calls[1::2])
    assert len(before) >= 2 and np.all(before - after > 4 << 10)


def _resident(kind: str) -> int:
    """kB of memory that this process holds."""
    status = Path("/proc/self/smaps_rollup").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith(kind))


def _rows(texts: list[tuple[int, str, bool]], batch: int) -> Any:
    table = pa.table({
        "component": pa.array([c for c, _, _ in texts], pa.int64()),
        "node": pa.array(range(len(texts)), pa.int64()),
        "unit": pa.array([f"u{i}" for i in range(len(texts))]),
        "earlier": pa.array([e for _, _, e in texts]),
        "content": pa.array([t for _, t, _ in texts]),
    })  # fmt: skip
    return iter(table.to_batches(max_chunksize=batch))


@pytest.mark.parametrize("verify", ["none", "signature", "exact"])
@pytest.mark.parametrize("batch", [1, 3, 100])
def test_members_stream_past_the_survivor(
    monkeypatch: pytest.MonkeyPatch, verify: Any, batch: int
) -> None:
    monkeypatch.setattr(compare, "_HELD_BYTES", 2400 if batch == 3 else 8 << 20)  # spill to a file
    base = words(0, 120)
    near = [*base[:119], "other"]
    texts = [(1, " ".join(base), True), (1, " ".join(near), False), (1, "+ -", False),
             (2, "", False), (2, "", False), (3, " ".join(near), False),
             (3, " ".join(base), True)]  # fmt: skip
    params = SketchParams(permutations=64, bands=32, rows=2)
    sets = shingle_sets(pa.array([t for _, t, _ in texts]), params)
    found = [row for part in compare.comparer(params, verify, 0.8)(_rows(texts, batch))
             for row in part.to_pylist()]  # fmt: skip
    gone = {row["unit"]: (row["survivor"], row["jaccard"]) for row in found}
    true = float(similarities(sets, np.array([0]), np.array([1]))[0])
    expected = {"u1": ("u0", true), "u4": ("u3", 1.0)}
    if verify == "none":
        expected["u2"] = ("u0", 0.0)
    assert gone == expected  # u6 was there before: it never goes
