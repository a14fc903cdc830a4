"""Inside a cluster: which pairs are duplicates, who stays, and how alike the others are to it.

The texts of a cluster meet once, best file first. Without verification all are one group, and each
text streams past the survivor. With it, members of a bucket are compared before they are joined:
the best one as a hub with all others, those it fails again among themselves, for a bounded number
of hubs, so a huge bucket costs time linear in its size; in small buckets every pair is tried.
Joined pairs reach the similarity floor; a chain of them can hold a member that is less like the
survivor, and its decision says how much (paper 2.1.1).
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from assets.refinecode.minhash import SketchParams, jaccard
from assets.refinecode.minhash.shingles import distinct
from assets.refinecode.minhash.sketch import Sketches
from assets.refinecode.unit_stream import stream_units

Batches = Iterator[pa.RecordBatch]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
U32 = npt.NDArray[np.uint32]
Verify = Literal["none", "signature", "exact"]
#: Band hashes [n, bands] and signatures [n, permutations] of units; without columns if unused.
Sketched = tuple[U64, U32]
#: A unit that goes, its survivor (by their names in the input), the similarity of the two.
Gone = tuple[Any, Any, float]

COLUMNS = "unit string, survivor string, jaccard double"
#: Buckets with at most so many members have all their pairs tried; larger ones so many hubs.
HUBS = 64
#: Shingle hashes of a cluster held in memory; more lie in a temporary file.
_HELD_HASHES = 1 << 25
_HELD_ROWS = 1 << 14


def comparer(params: SketchParams, verify: Verify, floor: float) -> Callable[[Batches], Batches]:
    """:func:`compare_members` as Spark calls it: a batch of (unit, survivor, jaccard) at a time."""

    def compare(batches: Batches) -> Batches:
        rows = compare_members(batches, params, verify, floor)
        while held := list(itertools.islice(rows, _HELD_ROWS)):
            unit, survivor, alike = zip(*held, strict=True)
            yield pa.record_batch({
                "unit": pa.array(unit, pa.string()),
                "survivor": pa.array(survivor, pa.string()),
                "jaccard": pa.array(alike, pa.float64()),
            })  # fmt: skip

    return compare


def compare_members(
    batches: Batches, params: SketchParams, verify: Verify, floor: float
) -> Iterator[Gone]:
    """The units that go, each with its survivor and the similarity to it.

    ``batches`` have component, node, unit, earlier, content, sorted by component and best unit
    first; the rows of one node are one unit. Units that are ``earlier`` never go.
    """
    cluster = Streamed() if verify == "none" else Verified(params, verify, floor)
    component: int | None = None
    for heads, whole in stream_units(batches, params):
        components = heads.column("component").to_pylist()
        names = heads.column("unit").to_pylist()
        earlier = heads.column("earlier").to_pylist()
        extra = cluster.sketch(whole.hashes, whole.stops, whole.content)
        start = 0
        for i, stop in enumerate(whole.stops.tolist()):
            if components[i] != component:
                yield from cluster.close()
                component = components[i]
            hashes = distinct(whole.hashes[start:stop])
            start = stop
            if not len(hashes):  # without tokens a unit is its bytes
                hashes = whole.content[i : i + 1].copy()
            yield from cluster.add(names[i], earlier[i], hashes, extra, i)
    yield from cluster.close()


class Streamed:
    """A cluster of which every member goes but the first; only the first is held."""

    def __init__(self) -> None:
        self._kept: tuple[Any, U64] | None = None

    def sketch(self, hashes: U64, stops: I64, content: U64) -> Sketched:
        return np.zeros((len(stops), 0), np.uint64), np.zeros((len(stops), 0), np.uint32)

    def add(
        self, unit: Any, earlier: bool, hashes: U64, extra: Sketched, row: int
    ) -> Iterator[Gone]:
        if self._kept is None:
            self._kept = (unit, hashes)
        elif not earlier:
            yield unit, self._kept[0], jaccard(self._kept[1], hashes)

    def close(self) -> Iterator[Gone]:
        self._kept = None
        yield from ()


class Verified:
    """A cluster that falls into groups of verified pairs; all members are held."""

    def __init__(self, params: SketchParams, verify: Verify, floor: float) -> None:
        self._sketches, self._by_signature = Sketches(params), verify == "signature"
        self._floor = floor
        self._clear()

    def sketch(self, hashes: U64, stops: I64, content: U64) -> Sketched:
        keys = self._sketches.band_hashes(hashes, stops, content)
        if self._by_signature:
            return keys, self._sketches.signatures(hashes, stops)
        return keys, np.zeros((len(keys), 0), np.uint32)

    def add(
        self, unit: Any, earlier: bool, hashes: U64, extra: Sketched, row: int
    ) -> Iterator[Gone]:
        self._units.append((unit, earlier))
        self._keys.append(extra[0][row].copy())
        self._signatures.append(extra[1][row].copy())
        self._store.add(hashes)
        yield from ()

    def close(self) -> Iterator[Gone]:
        if len(self._units) > 1:
            offsets, hashes = self._store.sets()
            roots = verified_groups(
                np.stack(self._keys), offsets, hashes, np.stack(self._signatures), self._floor
            )
            for i, root in enumerate(roots.tolist()):
                unit, earlier = self._units[i]
                if root != i and not earlier:
                    alike = jaccard(hashes[offsets[root] : offsets[root + 1]],
                                    hashes[offsets[i] : offsets[i + 1]])  # fmt: skip
                    yield unit, self._units[root][0], alike
        if self._units:
            self._store.close()
            self._clear()

    def _clear(self) -> None:
        self._units: list[tuple[Any, bool]] = []
        self._keys: list[U64] = []
        self._signatures: list[U32] = []
        self._store = HashStore()


class HashStore:
    """Sets of hashes, one after the other, in memory or, if they are many, in a temporary file."""

    def __init__(self) -> None:
        self._sizes: list[int] = []
        self._held: list[U64] = []
        self._count = 0
        self._file: BinaryIO | None = None

    def add(self, hashes: U64) -> None:
        self._sizes.append(len(hashes))
        self._held.append(hashes)
        self._count += len(hashes)
        if self._count > _HELD_HASHES:
            self._spill()

    def sets(self) -> tuple[I64, U64]:
        """(offsets, hashes): set i is ``hashes[offsets[i]:offsets[i + 1]]``."""
        offsets = np.concatenate([[0], np.cumsum(self._sizes, dtype=np.int64)])
        if self._file is None:
            return offsets, np.concatenate(self._held)
        self._spill()
        self._file.flush()
        return offsets, np.asarray(np.memmap(self._file, np.uint64, "r"))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        for hashes in self._held:
            self._file.write(hashes.tobytes())
        self._held, self._count = [], 0


def verified_groups(
    keys: U64, offsets: I64, hashes: U64, signatures: U32, floor: float
) -> npt.NDArray[np.int64]:
    """int64 [n]: the first member of each member's group.

    ``keys`` [n, bands] make buckets; two members of a bucket are joined if their sets (set i is
    ``hashes[offsets[i]:offsets[i + 1]]``) or, where there are any, their ``signatures``
    [n, permutations] are at least ``floor`` alike. Which pairs are tried depends on the order of
    the members alone.
    """
    bands = keys.shape[1]
    key, member = keys.reshape(-1), np.repeat(np.arange(len(keys)), bands)
    order = np.lexsort((member, key))
    return _groups(key[order], member[order], offsets, hashes, signatures, floor, HUBS)


@njit(nogil=True, cache=True)
def _groups(
    key: U64, member: I64, offsets: I64, hashes: U64, signatures: U32, floor: float, hubs: int
) -> I64:
    parent = np.arange(len(offsets) - 1)
    start = 0
    while start < len(key):
        stop = start + 1
        while stop < len(key) and key[stop] == key[start]:
            stop += 1
        rest = member[start:stop].copy()
        start = stop
        if len(rest) <= hubs:
            for i in range(len(rest)):
                for k in range(i):
                    _join(rest[k], rest[i], parent, offsets, hashes, signatures, floor)
            continue
        for _ in range(hubs):
            if len(rest) < 2:
                break
            hub, failed = rest[0], 0
            for i in range(1, len(rest)):
                if not _join(hub, rest[i], parent, offsets, hashes, signatures, floor):
                    rest[failed] = rest[i]
                    failed += 1
            rest = rest[:failed]
    for x in range(len(parent)):
        parent[x] = _root(x, parent)
    return parent


@njit(nogil=True, cache=True)
def _root(x: int, parent: I64) -> int:
    while parent[x] != x:
        parent[x] = parent[parent[x]]
        x = parent[x]
    return x


@njit(nogil=True, cache=True)
def _join(
    left: int, right: int, parent: I64, offsets: I64, hashes: U64, signatures: U32, floor: float
) -> bool:
    """Whether the two are in one group now."""
    x, y = _root(left, parent), _root(right, parent)
    if x == y:
        return True
    if signatures.shape[1]:
        alike = _equal_share(signatures[left], signatures[right]) >= floor
    else:
        alike = _reaches(
            hashes[offsets[left] : offsets[left + 1]],
            hashes[offsets[right] : offsets[right + 1]],
            floor,
        )
    if alike:
        parent[max(x, y)] = min(x, y)
    return alike


@njit(nogil=True, cache=True)
def _equal_share(left: U32, right: U32) -> float:
    equal = 0
    for k in range(len(left)):
        equal += left[k] == right[k]
    return equal / len(left)


@njit(nogil=True, cache=True)
def _reaches(left: U64, right: U64, floor: float) -> bool:
    """Whether the Jaccard similarity of two sorted sets is at least ``floor``."""
    if min(len(left), len(right)) < floor * max(len(left), len(right)):
        return False
    i, k, common = 0, 0, 0
    while i < len(left) and k < len(right):
        x, y = left[i], right[k]
        common += x == y
        i += x <= y
        k += y <= x
    return common / (len(left) + len(right) - common) >= floor
