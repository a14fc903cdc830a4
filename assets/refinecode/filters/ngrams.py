"""Repetition in a sequence of words: distinct words, entropy, most frequent and repeated n-grams.

Words are numbers here. An n-gram can only repeat where the (n-1)-grams at its place and at the next
one do, so each length looks at the survivors of the one before: the pair (name of the (n-1)-gram,
last word) is an exact key, and ordinary text has few survivors after three words. Hash tables are
seeded by the text itself, so no text can be made to collide (paper appendix A, table 11).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

#: Lengths of n-grams of which the most frequent is measured, and of which the repeated are.
TOP_SIZES = (2, 3, 4)
DUPE_SIZES = (5, 6, 7, 8, 9, 10)
_MAX_TOP = 4
_MIN_DUPE = 5
_MAX_SIZE = 10


@dataclass(frozen=True)
class WordStatistics:
    """Counts over the normalised words of a text; lengths in code points.

    ``top[n]`` is the length of the words of the most frequent n-gram (the first seen of equals)
    times its count, 0 where none repeats; ``duped[n]`` the length of all words that a repeated
    n-gram covers. ``entropy`` is in nats.
    """

    words: int
    unique: int
    chars: int
    entropy: float
    top: dict[int, int]
    duped: dict[int, int]


def statistics(hashes: U64, lengths: I32, seed: int) -> WordStatistics:
    """Statistics of the words with these 64-bit hashes and lengths (both 1-d, of one size)."""
    unique, entropy, sizes = _statistics(hashes, lengths, np.uint64(seed))
    return WordStatistics(
        words=len(hashes),
        unique=unique,
        chars=int(sizes[0]),
        entropy=entropy,
        top={n: int(sizes[n]) for n in TOP_SIZES},
        duped={n: int(sizes[n]) for n in DUPE_SIZES},
    )


@njit(cache=True, nogil=True)
def _statistics(hashes: U64, lengths: I32, seed: np.uint64) -> tuple[int, float, I64]:
    """(distinct words, entropy, sizes): sizes[0] of all words, sizes[n] as ``WordStatistics``."""
    count = len(hashes)
    sizes = np.zeros(_MAX_SIZE + 1, np.int64)
    before = np.empty(count + 1, np.int64)
    before[0] = 0
    for i in range(count):
        before[i + 1] = before[i] + lengths[i]
    sizes[0] = before[count]
    ids, counts = intern(hashes, seed)
    unique = len(counts)
    entropy = 0.0
    for number in counts:
        share = number / count
        entropy -= share * np.log(share)
    # Where an n-gram that repeats starts, and its name; first for n = 1.
    places = np.empty(count, np.int32)
    names = np.empty(count, np.int32)
    kept = 0
    for i in range(count):
        if counts[ids[i]] > 1:
            places[kept] = i
            names[kept] = ids[i]
            kept += 1
    keys = np.empty(kept, np.uint64)
    for n in range(2, _MAX_SIZE + 1):
        kept = _longer(places, names, kept, ids, n, keys)
        if kept == 0:
            break
        found, numbers = intern(keys[:kept], seed)
        if n <= _MAX_TOP:
            sizes[n] = _top(found, numbers, places, before, n)
        end = 0
        survivors = 0
        for j in range(kept):
            name = found[j]
            if numbers[name] > 1:
                start = places[j]
                if n >= _MIN_DUPE:
                    sizes[n] += before[start + n] - before[max(start, end)]
                    end = start + n
                places[survivors] = start
                names[survivors] = name
                survivors += 1
        kept = survivors
    return unique, entropy, sizes


@njit(cache=True, nogil=True)
def _longer(places: I32, names: I32, kept: int, ids: I32, n: int, keys: U64) -> int:
    """Candidates for repeated n-grams, from the repeated (n-1)-grams, in place; their number."""
    candidates = 0
    for j in range(kept - 1):
        start = places[j]
        if places[j + 1] == start + 1:
            keys[candidates] = np.uint64(names[j]) << np.uint64(32) | np.uint64(ids[start + n - 1])
            places[candidates] = start
            candidates += 1
    return candidates


@njit(cache=True, nogil=True)
def _top(found: I32, numbers: I32, places: I32, before: I64, n: int) -> int:
    """Size of the most frequent n-gram times its count; names are in order of appearance."""
    best = 0
    for name in range(1, len(numbers)):
        if numbers[name] > numbers[best]:
            best = name
    if numbers[best] < 2:
        return 0
    for j in range(len(found)):
        if found[j] == best:
            return (before[places[j] + n] - before[places[j]]) * numbers[best]
    return 0


@njit(cache=True, nogil=True)
def intern(keys: U64, seed: np.uint64) -> tuple[I32, I32]:
    """(name of each key, count of each name); names number the keys as they are first seen."""
    bits = 4
    while (1 << bits) < 2 * len(keys):
        bits += 1
    shift = np.uint64(64 - bits)
    mask = (1 << bits) - 1
    slots = np.full(1 << bits, -1, np.int32)
    names = np.empty(len(keys), np.int32)
    counts = np.empty(len(keys), np.int32)
    known = np.empty(len(keys), np.uint64)
    used = 0
    for i in range(len(keys)):
        key = keys[i]
        mixed = (key ^ seed) * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ mixed >> np.uint64(32)) * np.uint64(0xD6E8FEB86659FD93)
        slot = np.int64(mixed >> shift)
        name = slots[slot]
        while name >= 0 and known[name] != key:
            slot = (slot + 1) & mask
            name = slots[slot]
        if name < 0:
            name = used
            slots[slot] = name
            known[name] = key
            counts[name] = 0
            used += 1
        names[i] = name
        counts[name] += 1
    return names, counts[:used]
