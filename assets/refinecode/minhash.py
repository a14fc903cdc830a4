"""The near-duplicate kernel: text in an Arrow buffer to shingle hashes, signature, band keys.

Tokens are the runs of ``\\w`` characters, lower-cased code point by code point; a shingle is ``n``
of them in a row (all of them, where there are fewer). Signatures use the permutations of
datasketch's ``affine32`` scheme, so datasketch is the oracle. Everything is compiled once with
numba, releases the GIL, and gives the same numbers on every machine (paper 2.1.1, fuzzy dedup).
"""

from __future__ import annotations

import functools
import sys
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]

#: The seed datasketch draws its permutations from by default.
PERMUTATION_SEED = 1
#: No character past this code point is a letter or digit (asserted by a test over all of Unicode).
_FOLDED_POINTS = 0x40000
_EMPTY = np.uint32(0xFFFFFFFF)


def text_buffer(column: pa.Array) -> tuple[U8, npt.NDArray[np.int64]]:
    """(bytes, offsets) of an Arrow string array, without a copy of the text; null is empty."""
    if column.null_count:
        column = column.fill_null("")
    wide = pa.types.is_large_string(column.type)
    kind = np.int64 if wide else np.int32
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, kind, len(column) + 1 + column.offset)[column.offset :]
    size = int(ends[-1]) if len(ends) else 0
    text = np.frombuffer(data, np.uint8, size) if data is not None else np.zeros(0, np.uint8)
    return text, ends.astype(np.int64)


@functools.cache
def fold_table() -> U32:
    """For each code point its lower-case form, or 0 where it is no ``\\w`` character.

    Lower-casing looks at one code point alone: no final sigma, and U+0130 becomes plain ``i``.
    """
    table = np.zeros(_FOLDED_POINTS, np.uint32)
    for point in range(_FOLDED_POINTS):
        lower = chr(point).lower()[0]
        if lower.isalnum() or lower == "_":
            table[point] = ord(lower)
    return table


@functools.cache
def permutations(count: int) -> tuple[U32, U32]:
    """Multipliers (odd) and summands of ``count`` permutations of 32-bit hashes."""
    draw = np.random.RandomState(PERMUTATION_SEED)
    a = draw.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, draw.randint(0, 1 << 32, count, dtype=np.uint32)


@dataclass
class Shingler:
    """Shingle hashes of texts that may come in several pieces (the files of a repository).

    A piece ends its last token, as if a line break stood between pieces.
    """

    ngram: int
    _ring: U64 = field(init=False, repr=False)
    _tokens: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._ring = np.zeros(self.ngram, np.uint64)

    @property
    def tokens(self) -> int:
        """Tokens since the last :meth:`finish`."""
        return self._tokens

    def add(self, text: U8) -> U64:
        """64-bit hashes of the shingles that end in this piece, repeats included."""
        out = np.empty(len(text) // 2 + 1, np.uint64)
        count, self._tokens = _shingle(text, fold_table(), self._ring, self._tokens, out)
        return out[:count]

    def finish(self) -> U64:
        """The one shingle of a text with fewer than ``ngram`` tokens, if any; starts afresh."""
        tokens, self._tokens = self._tokens, 0
        if 0 < tokens < self.ngram:
            return np.array([_mix_ring(self._ring, 0, tokens)], np.uint64)
        return np.zeros(0, np.uint64)


class Sketch:
    """MinHash signature of a set of shingle hashes that comes in pieces."""

    def __init__(self, count: int) -> None:
        self._a, self._b = permutations(count)
        self.values = np.full(count, _EMPTY, np.uint32)

    def add(self, hashes: U64) -> None:
        _update(hashes, self._a, self._b, self.values)

    def band_keys(self, bands: int, rows: int) -> U64:
        """One 64-bit key a band; the band's number is part of the key."""
        return _band_keys(self.values, bands, rows)

    def reset(self) -> None:
        self.values[:] = _EMPTY


def shingle_set(text: str, ngram: int) -> U64:
    """Sorted distinct shingle hashes of one text.

    >>> len(shingle_set("a b c d e f", 5))
    2
    """
    shingler = Shingler(ngram)
    data = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    return np.unique(np.concatenate([shingler.add(data), shingler.finish()]))


def jaccard(left: U64, right: U64) -> float:
    """Similarity of two sorted sets of hashes; 1 for two empty ones."""
    if not len(left) and not len(right):
        return 1.0
    both = len(np.intersect1d(left, right, assume_unique=True))
    return both / (len(left) + len(right) - both)


# Plain integers: numba freezes module constants into the compiled code.
_FNV_BASIS = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MIX_1 = 0xFF51AFD7ED558CCD
_MIX_2 = 0xC4CEB9FE1A85EC53


@njit(nogil=True, cache=True)
def _avalanche(h: np.uint64) -> np.uint64:
    h ^= h >> np.uint64(33)
    h *= np.uint64(_MIX_1)
    h ^= h >> np.uint64(33)
    h *= np.uint64(_MIX_2)
    return h ^ (h >> np.uint64(33))


@njit(nogil=True, cache=True)
def _mix_ring(ring: U64, first: int, count: int) -> np.uint64:
    """Hash of ``count`` token hashes of the ring, oldest (at ``first``) first."""
    h = np.uint64(count)
    n = len(ring)
    at = first
    for _ in range(count):
        h = (h ^ ring[at]) * np.uint64(_MIX_2)
        h ^= h >> np.uint64(29)
        at += 1
        if at == n:
            at = 0
    return _avalanche(h)


@njit(nogil=True, cache=True)
def _shingle(text: U8, fold: U32, ring: U64, tokens: int, out: U64) -> tuple[int, int]:
    """Fill ``out`` with shingle hashes; returns (how many, tokens so far)."""
    n, size, points = len(ring), len(text), len(fold)
    count, at = 0, 0
    h = np.uint64(_FNV_BASIS)
    open_ = False
    while at <= size:
        lower = np.uint32(0)
        if at < size:
            first = text[at]
            width = 1
            point = np.uint32(first)
            if first >= 0x80:
                if first >= 0xF0:
                    width, point = 4, np.uint32(first & 0x07)
                elif first >= 0xE0:
                    width, point = 3, np.uint32(first & 0x0F)
                else:
                    width, point = 2, np.uint32(first & 0x1F)
                if at + width > size:
                    width, point = 1, np.uint32(0)
                for k in range(1, width):
                    point = np.uint32((point << np.uint32(6)) | np.uint32(text[at + k] & 0x3F))
            if point < points:
                lower = fold[point]
            at += width
        else:
            at += 1
        if lower:
            h = (h ^ np.uint64(lower)) * np.uint64(_FNV_PRIME)
            open_ = True
        elif open_:
            ring[tokens % n] = _avalanche(h)
            tokens += 1
            if tokens >= n:
                out[count] = _mix_ring(ring, tokens % n, n)
                count += 1
            h = np.uint64(_FNV_BASIS)
            open_ = False
    return count, tokens


@njit(nogil=True, cache=True)
def _update(hashes: U64, a: U32, b: U32, values: U32) -> None:
    """Lower ``values`` to the minima over ``hashes`` under the permutations (affine32)."""
    for i in range(len(hashes)):
        h = np.uint32(hashes[i])
        h ^= h >> np.uint32(16)
        h = np.uint32(h * np.uint32(0x85EBCA6B))
        h ^= h >> np.uint32(13)
        h = np.uint32(h * np.uint32(0xC2B2AE35))
        h ^= h >> np.uint32(16)
        for k in range(len(values)):
            values[k] = min(values[k], np.uint32(a[k] * h + b[k]))


@njit(nogil=True, cache=True)
def _band_keys(values: U32, bands: int, rows: int) -> U64:
    keys = np.empty(bands, np.uint64)
    for band in range(bands):
        h = np.uint64(band + 1) * np.uint64(_FNV_BASIS)
        for k in range(band * rows, (band + 1) * rows):
            h = (h ^ np.uint64(values[k])) * np.uint64(_MIX_2)
            h ^= h >> np.uint64(29)
        keys[band] = _avalanche(h)
    return keys


@njit(nogil=True, cache=True)
def _union_find(left: npt.NDArray[np.int64], right: npt.NDArray[np.int64], count: int):  # type: ignore[no-untyped-def]
    parent = np.arange(count)
    used = np.zeros(len(left), np.bool_)
    for i in range(len(left)):
        x, y = left[i], right[i]
        while parent[x] != x:
            parent[x] = parent[parent[x]]
            x = parent[x]
        while parent[y] != y:
            parent[y] = parent[parent[y]]
            y = parent[y]
        if x != y:
            used[i] = True
            if x < y:
                parent[y] = x
            else:
                parent[x] = y
    for x in range(count):
        root = x
        while parent[root] != root:
            root = parent[root]
        parent[x] = root
    return parent, used


def components(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """(nodes, component) of the graph with edges left[i] - right[i]; a component is called by
    its smallest node, so its name does not depend on the order of the edges."""
    nodes, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    parent, _ = _union_find(where[: len(left)], where[len(left) :], len(nodes))
    return nodes, nodes[parent]


def spanning_forest(
    left: npt.NDArray[np.int64], right: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The edges that connect the same components without a cycle: fewer than there are nodes."""
    nodes, where = np.unique(np.concatenate([left, right]), return_inverse=True)
    _, used = _union_find(where[: len(left)], where[len(left) :], len(nodes))
    return left[used], right[used]


assert sys.byteorder == "little", "band keys are defined on little-endian machines"
