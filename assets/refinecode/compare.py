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
import mmap
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
#: What is held of a cluster in memory; more lies in a temporary file, of which so much is read
#: (hashes of 8 bytes) before it is let go of.
_HELD_BYTES, _READ_HASHES = 8 << 20, 1 << 20
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
        self._keys.append(extra[0][row])
        if self._by_signature:
            self._signatures.add(extra[1][row])
        self._sets.add(hashes)
        yield from ()

    def close(self) -> Iterator[Gone]:
        if len(self._units) > 1:
            keys = np.stack(self._keys)
            self._keys.clear()
            offsets, hashes = self._sets.read()
            signatures = np.zeros((len(keys), 0), np.uint32)
            if self._by_signature:
                signatures = self._signatures.read()[1].reshape(len(keys), -1)
            roots = verified_groups(keys, offsets, hashes, signatures, self._floor, self._let_go)
            let_go = 0
            for i in np.flatnonzero(roots != np.arange(len(roots))).tolist():
                (unit, earlier), root = self._units[i], roots[i]
                if offsets[i] - let_go > _READ_HASHES:
                    self._let_go()
                    let_go = offsets[i]
                if not earlier:
                    alike = jaccard(hashes[offsets[root] : offsets[root + 1]],
                                    hashes[offsets[i] : offsets[i + 1]])  # fmt: skip
                    yield unit, self._units[root][0], alike
        if self._units:
            self._sets.close()
            self._signatures.close()
            self._clear()

    def _let_go(self) -> None:
        self._sets.let_go()
        self._signatures.let_go()

    def _clear(self) -> None:
        self._units: list[tuple[Any, bool]] = []
        self._keys: list[U64] = []
        self._signatures, self._sets = NumberStore(np.uint32), NumberStore(np.uint64)


class NumberStore:
    """Arrays, one after the other, in memory or, if they are large, in a temporary file."""

    def __init__(self, kind: type[np.uint32 | np.uint64]) -> None:
        self._kind = kind
        self._sizes: list[int] = []
        self._held: list[npt.NDArray[Any]] = []
        self._bytes = 0
        self._file: BinaryIO | None = None
        self._pages: mmap.mmap | None = None

    def add(self, values: npt.NDArray[Any]) -> None:
        self._sizes.append(len(values))
        self._held.append(values)
        self._bytes += values.nbytes
        if self._bytes > _HELD_BYTES:
            self._spill()

    def read(self) -> tuple[I64, npt.NDArray[Any]]:
        """(offsets, values): array i is ``values[offsets[i]:offsets[i + 1]]``."""
        offsets = np.concatenate([[0], np.cumsum(self._sizes, dtype=np.int64)])
        if self._file is None:
            return offsets, np.concatenate(self._held)
        self._spill()
        self._file.flush()
        self._pages = mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ)
        return offsets, np.frombuffer(self._pages, self._kind)

    def let_go(self) -> None:
        """Do not hold what was read of the file; it is read again when it is used again."""
        if self._pages is not None:
            self._pages.madvise(mmap.MADV_DONTNEED)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115
        for values in self._held:
            self._file.write(values.data)
        self._held, self._bytes = [], 0


def verified_groups(
    keys: U64,
    offsets: I64,
    hashes: U64,
    signatures: U32,
    floor: float,
    let_go: Callable[[], None] = lambda: None,
) -> npt.NDArray[np.int64]:
    """int64 [n]: the first member of each member's group.

    ``keys`` [n, bands] make buckets; two members of a bucket are joined if their sets (set i is
    ``hashes[offsets[i]:offsets[i + 1]]``) or, where there are any, their ``signatures``
    [n, permutations] are at least ``floor`` alike. Which pairs are tried depends on the order of
    the members alone. ``let_go`` is called whenever a few megabytes of them have been read.
    """
    parent, key = np.arange(len(keys)), keys.reshape(-1)
    order = np.argsort(key, kind="stable")  # of equal keys the one of the first member first
    for _ in _groups(key, order, keys.shape[1], parent, offsets, hashes, signatures, floor, HUBS):
        let_go()
    return parent


@njit(nogil=True, cache=True)
def _groups(
    key: U64, order: I64, bands: int, parent: I64,
    offsets: I64, hashes: U64, signatures: U32, floor: float, hubs: int,
) -> Iterator[int]:  # fmt: skip
    """Fill ``parent``; how many hashes were read, now and then."""
    start, read = 0, 0
    while start < len(key):
        stop = start + 1
        while stop < len(key) and key[order[stop]] == key[order[start]]:
            stop += 1
        rest = order[start:stop] // bands
        start = stop
        small = len(rest) <= hubs
        if small:
            for i in range(len(rest)):
                for k in range(i):
                    _join(rest[k], rest[i], parent, offsets, hashes, signatures, floor)
                read += offsets[rest[i] + 1] - offsets[rest[i]]
        for _ in range(0 if small else hubs):
            if len(rest) < 2:
                break
            hub, failed = rest[0], 0
            for i in range(1, len(rest)):
                read += offsets[rest[i] + 1] - offsets[rest[i]] + signatures.shape[1]
                if not _join(hub, rest[i], parent, offsets, hashes, signatures, floor):
                    rest[failed] = rest[i]
                    failed += 1
                if read > _READ_HASHES:
                    yield read
                    read = 0
            rest = rest[:failed]
        if read > _READ_HASHES:
            yield read
            read = 0
    for x in range(len(parent)):
        parent[x] = _root(x, parent)


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
