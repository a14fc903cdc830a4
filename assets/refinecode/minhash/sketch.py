"""Shingle hashes to signatures and band hashes: the compiled second half of the kernel (2.1.1).

``exact`` takes the minimum over true permutations, those of datasketch's ``affine32`` scheme:
datasketch fed with the same hashes gives the same numbers. ``fast`` is a fast similarity sketch
(Dahlgaard, Knudsen, Thorup 2017, "Fast Similarity Sketching"): in each of a few rounds every
shingle is thrown into one bin of the signature, a bin keeps the least value of its first round,
and bins that no round has hit are filled by a permutation each. As shingles share the bins of a
round without replacement, its error is below that of permutations, at a fraction of the work.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from assets.refinecode.minhash.params import SketchParams

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

#: Rounds of throws in a ``fast`` sketch. More cost time on small sets, fewer on large ones; the
#: number decides the signature, so it is the same for sets of all sizes.
ROUNDS = 16

_EMPTY = 0xFFFFFFFF
_BLOCK = 256  # shingles hashed at a time, in the first level of cache
_WORTH_DISTINCT = 512  # permutations of a repeated shingle cost more than to find it
_LANES = 32  # permutations computed at a time
_ROUND_SHIFT = 27  # a value of a round holds its number above this bit, of a permutation bit 31


class Sketches:
    """Signatures and band hashes of sets of shingle hashes, with the tables they need."""

    def __init__(self, params: SketchParams) -> None:
        self._params = params
        self._a, self._b = permutations(params.permutations, params.seed)
        # Rounds have permutations of their own; without any, every bin is a permutation's.
        rounds = ROUNDS if params.sketch == "fast" else 0
        self._round_a, self._round_b = permutations(rounds, params.seed + (1 << 31))
        draw = np.random.RandomState(7)
        self._band_factors = draw.randint(0, 1 << 64, params.rows, dtype=np.uint64) | np.uint64(1)

    def signatures(self, hashes: U64, stops: I64) -> U32:
        """[n, permutations] of sets ``hashes[stops[i - 1]:stops[i]]``; empty ones 2**32 - 1."""
        out = np.empty((len(stops), self._params.permutations), np.uint32)
        _signatures(hashes, stops, self._a, self._b, self._round_a, self._round_b, out)
        return out

    def band_hashes(self, hashes: U64, stops: I64, content: U64) -> U64:
        """[n, bands]: the number of the band is part of each hash. An empty set gets hashes made of
        its ``content``."""
        out = np.empty((len(stops), self._params.bands), np.uint64)
        _band_hashes(
            hashes, stops, content, self._a, self._b, self._round_a, self._round_b,
            self._band_factors, out,
        )  # fmt: skip
        return out


def estimate(left: U32, right: U32) -> float:
    """Estimated Jaccard similarity: the share of equal values in two signatures."""
    if left.shape != right.shape:
        raise ValueError(
            f"signatures of {left.shape} and {right.shape} values: compare those of equal settings"
        )
    return float(np.mean(left == right))


@functools.cache
def permutations(count: int, seed: int) -> tuple[U32, U32]:
    """Multipliers (odd) and summands of ``count`` permutations of 32-bit hashes, as datasketch
    draws them for ``scheme="affine32"``."""
    draw = np.random.RandomState(seed)
    a = draw.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    return a, draw.randint(0, 1 << 32, count, dtype=np.uint32)


@njit(nogil=True, cache=True)
def _mixed(hashes: U64, out: U32) -> U32:
    """The low halves, mixed as ``affine32`` wants them (Murmur3's finaliser)."""
    for i in range(len(hashes)):
        h = np.uint32(hashes[i])
        h = np.uint32(h ^ (h >> np.uint32(16)))
        h = np.uint32(h * np.uint32(0x85EBCA6B))
        h = np.uint32(h ^ (h >> np.uint32(13)))
        h = np.uint32(h * np.uint32(0xC2B2AE35))
        out[i] = np.uint32(h ^ (h >> np.uint32(16)))
    return out[: len(hashes)]


@njit(nogil=True, cache=True)
def _distinct(x: U32, table: U32) -> U32:
    """``x`` without repeats, in place. ``table`` has room for four times as many."""
    room = 2
    while room < 2 * len(x):
        room *= 2
    last = np.uint32(room - 1)
    table[:room] = np.uint32(0)
    count, zero = 0, False
    for i in range(len(x)):
        h = x[i]
        at = np.uint32(h & last)
        while table[at] != 0 and table[at] != h:
            at = np.uint32(np.uint32(at + np.uint32(1)) & last)
        if table[at] == 0 and not (h == 0 and zero):
            zero |= h == 0
            table[at] = h
            x[count] = h
            count += 1
    return x[:count]


@intrinsic
def _lower(
    context: Any, x: Any, a: Any, b: Any, values: Any, at: Any
) -> tuple[Any, Callable[..., Any]]:
    """``values[k] = min(values[k], min(a[k] * x + b[k]))`` for the ``_LANES`` from ``at`` on.

    Written as vectors: numba's own loops use half the width of AVX-512, and store each minimum.
    """

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        word = ir.IntType(32)
        lanes = ir.VectorType(word, _LANES // 2)
        undefined = ir.Constant(lanes, ir.Undefined)
        arrays = [
            target.make_array(kind)(target, builder, value)
            for kind, value in zip(signature.args[:4], args[:4], strict=True)
        ]

        def part(number: int, half: int) -> Any:
            first = builder.add(args[4], ir.Constant(ir.IntType(64), half * _LANES // 2))
            return builder.bitcast(builder.gep(arrays[number].data, [first]), lanes.as_pointer())

        halves = range(2)
        factors = [builder.load(part(1, half), align=4) for half in halves]
        summands = [builder.load(part(2, half), align=4) for half in halves]
        least = [
            cgutils.alloca_once_value(builder, builder.load(part(3, half), align=4))
            for half in halves
        ]
        size = builder.extract_value(arrays[0].shape, 0)
        with cgutils.for_range(builder, size) as loop:
            one = builder.load(builder.gep(arrays[0].data, [loop.index]))
            alone = builder.insert_element(undefined, one, ir.Constant(word, 0))
            every = builder.shuffle_vector(
                alone, undefined, ir.Constant(lanes, [0] * (_LANES // 2))
            )
            for half in halves:
                value = builder.add(builder.mul(factors[half], every), summands[half])
                known = builder.load(least[half])
                below = builder.icmp_unsigned("<", value, known)
                builder.store(builder.select(below, value, known), least[half])
        for half in halves:
            builder.store(builder.load(least[half]), part(3, half), align=4)
        return target.get_dummy_value()

    return types.void(x, a, b, values, types.int64), generate


@njit(nogil=True, cache=True)
def _throw(
    x: U32, a: np.uint32, b: np.uint32, number: int, values: U32, bins: U32, thrown: U32
) -> None:
    """One round: each of ``x`` to one bin; 16 bits of its hash choose the bin, the rest of them and
    the other 16 are its value there, below all values of later rounds."""
    count = np.uint32(len(values))
    mark = np.uint32(number << _ROUND_SHIFT)
    low = np.uint32(0xFFFF)
    for start in range(0, len(x), _BLOCK):
        part = x[start : start + _BLOCK]
        for i in range(len(part)):
            h = np.uint32(part[i] * a + b)
            h = np.uint32(h ^ (h >> np.uint32(15)))
            h = np.uint32(h * np.uint32(0x2C1B3C6D))
            h = np.uint32(h ^ (h >> np.uint32(14)))
            place = np.uint32(np.uint32(h >> np.uint32(16)) * count)
            bins[i] = np.uint32(place >> np.uint32(16))
            rest = np.uint32(np.uint32(place & low) << np.uint32(11))
            thrown[i] = mark | rest | np.uint32(np.uint32(h & low) >> np.uint32(5))
        for i in range(len(part)):
            values[bins[i]] = min(values[bins[i]], thrown[i])


@njit(nogil=True, cache=True)
def _sketch(
    x: U32, a: U32, b: U32, round_a: U32, round_b: U32, values: U32, spare: U32, table: U32
) -> None:
    """Fill ``values``: all of them by permutations if there are no rounds.

    Repeats in ``x`` change nothing; they are looked for where that saves time. ``spare`` is
    scratch: four rows of ``_BLOCK`` more than there are values.
    """
    count = len(values)
    values[:] = np.uint32(_EMPTY)
    left, repeats = count, True
    for r in range(len(round_a)):
        _throw(x, round_a[r], round_b[r], r, values, spare[0], spare[1])
        if (r + 1) * len(x) < count:
            continue
        left = 0
        for k in range(count):
            left += values[k] == np.uint32(_EMPTY)
        if left == 0:
            return
        if repeats and (r + 1) * len(x) > 4 * count and 8 * left > count:
            x, repeats = _distinct(x, table), False
    if repeats and left > _WORTH_DISTINCT:
        x = _distinct(x, table)
    # What is left, packed, so that whole vectors of it go through the permutations.
    factors, summands, least, where = spare[0], spare[1], spare[2], spare[3]
    left = 0
    for k in range(count):
        where[left] = k  # without a branch: which bins are empty is anyone's guess
        left += values[k] == np.uint32(_EMPTY)
    for i in range(left):
        factors[i], summands[i] = a[where[i]], b[where[i]]
    least[: left + _LANES] = np.uint32(_EMPTY)
    for at in range(0, left, _LANES):
        _lower(x, factors, summands, least, at)
    if len(round_a) == 0:
        values[:] = least[:count]
        return
    for i in range(left):
        values[where[i]] = np.uint32(0x80000000) | (least[i] >> np.uint32(1))


@njit(nogil=True, cache=True)
def _largest(stops: I64) -> int:
    largest, first = 0, 0
    for stop in stops:
        largest, first = max(largest, stop - first), stop
    return largest


@njit(nogil=True, cache=True)
def _signatures(
    hashes: U64, stops: I64, a: U32, b: U32, round_a: U32, round_b: U32, out: U32
) -> None:
    largest = _largest(stops)
    mixed, table = np.empty(largest, np.uint32), np.empty(4 * largest + 4, np.uint32)
    spare = np.empty((4, len(a) + _BLOCK), np.uint32)
    first = 0
    for unit in range(len(stops)):
        x = _mixed(hashes[first : stops[unit]], mixed)
        _sketch(x, a, b, round_a, round_b, out[unit], spare, table)
        first = stops[unit]


@njit(nogil=True, cache=True)
def _band_hashes(
    hashes: U64, stops: I64, content: U64, a: U32, b: U32, round_a: U32, round_b: U32,
    factors: U64, out: U64,
) -> None:  # fmt: skip
    """A band's hash: ``sum(value * factor)`` mod 2**64 (multilinear) and its number, mixed."""
    largest, rows = _largest(stops), len(factors)
    mixed, table = np.empty(largest, np.uint32), np.empty(4 * largest + 4, np.uint32)
    spare = np.empty((4, len(a) + _BLOCK), np.uint32)
    values = np.empty(len(a), np.uint32)
    first = 0
    for unit in range(len(stops)):
        x = _mixed(hashes[first : stops[unit]], mixed)
        if len(x):
            _sketch(x, a, b, round_a, round_b, values, spare, table)
        for band in range(out.shape[1]):
            h = content[unit]
            if len(x):
                part = values[band * rows : (band + 1) * rows]
                h = np.uint64(0)
                for k in range(rows):
                    h += factors[k] * np.uint64(part[k])
            h += np.uint64(band + 1) * np.uint64(0x9E3779B97F4A7C15)
            h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
            h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
            out[unit, band] = h ^ (h >> np.uint64(33))
        first = stops[unit]
