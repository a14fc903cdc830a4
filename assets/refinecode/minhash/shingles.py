"""Shingles of units of text: streamed, or as sorted sets whose true Jaccard similarity is known.

A unit is a row, or the neighbouring rows of one group (the files of a repository); units may span
batches. A token never spans two rows, a shingle may.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from assets.refinecode.minhash.params import SketchParams
from assets.refinecode.minhash.text import blocks
from assets.refinecode.minhash.tokens import Tokens

U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]

#: Shingles of an open unit held before repeats are thrown out.
_HELD = 1 << 21


class Shingles(NamedTuple):
    """Some whole units: unit ``ids[i]`` has ``hashes[stops[i - 1]:stops[i]]``, repeats included.

    ``content[i]`` is a hash of the bytes of a unit without any token, 0 for others.
    """

    ids: I64
    hashes: U64
    stops: I64
    content: U64


@dataclass(frozen=True)
class ShingleSets:
    """Set i is ``hashes[offsets[i]:offsets[i + 1]]``, sorted and distinct (uint64)."""

    offsets: I64
    hashes: U64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, unit: int) -> U64:
        if not 0 <= unit < len(self):
            raise IndexError(f"unit {unit}: there are {len(self)}")
        return self.hashes[self.offsets[unit] : self.offsets[unit + 1]]


class ShingleStream:
    """Shingles of units whose rows come batch by batch."""

    def __init__(self, params: SketchParams) -> None:
        self._tokens = Tokens(params.unit, params.ngram)
        self._open: int | None = None  # the unit that the next batch may continue
        self._held: list[U64] = []
        self._rows = 0

    def add(
        self, texts: pa.Array | pa.ChunkedArray, groups: I64 | None = None
    ) -> Iterator[Shingles]:
        """Units that are whole now. Neighbouring rows of one number in ``groups`` (int64 [rows])
        are one unit, known by it; without groups each row is, known by its number since the start.

        Raises ``ValueError`` if groups and texts differ in length.
        """
        if groups is None:
            ids = np.arange(self._rows, self._rows + len(texts), dtype=np.int64)
        else:
            ids = np.asarray(groups, np.int64)
            if ids.shape != (len(texts),):
                raise ValueError(f"groups: expected [{len(texts)}] numbers, found {ids.shape}")
        self._rows += len(texts)
        last = np.ones(len(ids), np.bool_)
        last[:-1] = ids[:-1] != ids[1:]
        if len(ids):
            last[-1] = groups is None
            if self._open is not None and self._open != ids[0]:
                yield from self.flush()
        row = 0
        for text, ends in blocks(texts):
            part = slice(row, row + len(ends) - 1)
            row = part.stop
            hashes, stops, content = self._tokens.add(text, ends, last[part])
            closed = np.flatnonzero(last[part])
            rest = hashes
            if len(closed):
                whole = int(stops[closed[-1]])
                stops, rest, hashes = stops[closed], hashes[whole:], hashes[:whole]
                if self._held:
                    before = sum(map(len, self._held))
                    hashes, stops = np.concatenate([*self._held, hashes]), stops + before
                    self._held = []
                yield Shingles(ids[part][closed], hashes, stops, content[closed])
            self._open = None if last[row - 1] else int(ids[row - 1])
            if self._open is not None:
                self._hold(rest)

    def flush(self) -> Iterator[Shingles]:
        """The open unit, if there is one; nothing more is added to it."""
        if self._open is not None:
            hashes, content = self._tokens.finish()
            hashes = np.concatenate([*self._held, hashes])
            yield Shingles(
                np.array([self._open], np.int64), hashes,
                np.array([len(hashes)], np.int64), np.array([content], np.uint64),
            )  # fmt: skip
        self._open, self._held = None, []

    def _hold(self, hashes: U64) -> None:
        self._held.append(hashes.copy())
        if sum(map(len, self._held)) > _HELD + 2 * len(self._held[0]):
            self._held = [distinct(np.concatenate(self._held))]


def distinct(hashes: U64) -> U64:
    """The values of ``hashes``, sorted, each once (``np.unique`` takes several times as long).

    >>> distinct(np.array([3, 1, 3], np.uint64)).tolist()
    [1, 3]
    """
    values = np.sort(hashes)
    fresh = np.ones(len(values), np.bool_)
    np.not_equal(values[1:], values[:-1], out=fresh[1:])
    return values[fresh]


def shingle_sets(
    texts: pa.Array | pa.ChunkedArray, params: SketchParams, groups: I64 | None = None
) -> ShingleSets:
    """The sets of all units, in the order of their first rows.

    >>> len(shingle_sets(pa.array(["a b c d e f"]), SketchParams())[0])
    2
    """
    sizes, found = [np.zeros(1, np.int64)], [np.zeros(0, np.uint64)]
    stream = ShingleStream(params)
    for part in (step for source in (stream.add(texts, groups), stream.flush()) for step in source):
        hashes = part.hashes.copy()
        starts = np.concatenate([[0], part.stops[:-1]])
        for start, stop in zip(starts.tolist(), part.stops.tolist(), strict=True):
            hashes[start:stop].sort()
        fresh = np.ones(len(hashes), np.bool_)
        fresh[1:] = hashes[1:] != hashes[:-1]
        fresh[starts[starts < len(hashes)]] = True
        counts = np.concatenate([[0], np.cumsum(fresh)])
        sizes.append(counts[part.stops] - counts[starts])
        found.append(hashes[fresh])
    return ShingleSets(np.cumsum(np.concatenate(sizes)), np.concatenate(found))


def jaccard(left: U64, right: U64) -> float:
    """Similarity of two sorted sets of hashes; 1 for two empty ones."""
    common = int(_common(left, right))
    return common / (len(left) + len(right) - common) if len(left) or len(right) else 1.0


def similarities(sets: ShingleSets, left: I64, right: I64) -> F64:
    """Jaccard similarity of each pair of units (left[i], right[i])."""
    if len(left) != len(right):
        raise ValueError(f"pairs: {len(left)} left and {len(right)} right units")
    units = np.concatenate([left, right])
    if len(units) and (units.min() < 0 or units.max() >= len(sets)):
        raise IndexError(f"units {units.min()} to {units.max()}: there are {len(sets)}")
    out = np.empty(len(left), np.float64)
    _similarities(sets.offsets, sets.hashes, np.asarray(left), np.asarray(right), out)
    return out


@njit(nogil=True, cache=True)
def _common(left: U64, right: U64) -> int:
    """How many hashes two sorted sets share; no branch depends on which is next."""
    i, k, common = 0, 0, 0
    while i < len(left) and k < len(right):
        x, y = left[i], right[k]
        common += x == y
        i += x <= y
        k += y <= x
    return common


@njit(nogil=True, cache=True)
def _similarities(offsets: I64, hashes: U64, left: I64, right: I64, out: F64) -> None:
    for i in range(len(left)):
        x = hashes[offsets[left[i]] : offsets[left[i] + 1]]
        y = hashes[offsets[right[i]] : offsets[right[i] + 1]]
        common = _common(x, y)
        either = len(x) + len(y) - common
        out[i] = common / either if either else 1.0
