"""Chinese word segmentation and phrase replacement in linear time, over code points.

A dictionary is a hash table of all its words and their prefixes. Words are the most probable path
of dictionary words through a block; rows of single characters that are left are cut again by a
hidden Markov model over B(egin), M(iddle), E(nd), S(ingle). This is the algorithm of jieba with
jieba's own numbers, operation by operation, so that the words are the same (paper appendix A).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from assets.refinecode.filters.characters import KIND, SPACE, unicode_classes
from assets.refinecode.filters.ngrams import I32, U64

U32 = npt.NDArray[np.uint32]
F64 = npt.NDArray[np.float64]

_HAN_FIRST, _HAN_LAST = 0x4E00, 0x9FD5
#: Kinds of characters: white space, any sign, what a block is made of.
_SPACE, _SIGN, _LATIN, _HAN = 0, 1, 2, 3
_MIXER = 0x9E3779B97F4A7C15
#: Jieba's "impossible" log probability, and the states in its order of preference among equals.
IMPOSSIBLE = -3.14e100
STATES = "BEMS"
_BEGIN, _END, _MIDDLE, _SINGLE = 0, 1, 2, 3


@dataclass(frozen=True)
class Prefixes:
    """Words and their prefixes: hash table slots (0 is free) and a number for each; NaN for what is
    a prefix only."""

    slots: U64
    numbers: F64

    @classmethod
    def of(cls, words: Iterable[str], numbers: Iterable[float]) -> Prefixes:
        """A table of non-empty words; a word in it twice keeps its last number."""
        keys = list(words)
        text = "".join(keys)
        bits = 4
        while (1 << bits) < 3 * len(text):
            bits += 1
        # A prefix at most for each character; few tables are as full as that.
        slots = np.zeros(1 << bits, np.uint64)
        table = np.full(1 << bits, np.nan)
        lengths = np.fromiter(map(len, keys), np.int32, len(keys))
        values = np.fromiter(numbers, np.float64, len(keys))
        _insert(code_points(text), lengths, values, slots, table)
        return cls(slots, table)


@dataclass(frozen=True)
class Model:
    """Log probabilities of the hidden Markov model: of starting in a state, of going from one to
    another, and of a character (row: offset from the first ideograph) in a state."""

    start: F64
    step: F64
    emit: F64


def code_points(text: str) -> U32:
    """The code points of a text; lone surrogates as they are."""
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


def segment(text: str, words: Prefixes, unknown: float, model: Model) -> list[str]:
    """The words and signs of a text, without its white space.

    ``words`` has a log probability for each word, ``unknown`` is that of any other character.
    """
    points = code_points(text)
    starts = np.empty(len(text), np.int32)
    ends = np.empty(len(text), np.int32)
    is_space = unicode_classes()[points] & KIND == SPACE
    kinds = np.where(is_space, np.uint8(_SPACE), np.uint8(_SIGN))
    count = _segment(
        points, kinds, words.slots, words.numbers, unknown,
        model.start, model.step, model.emit, starts, ends,
    )  # fmt: skip
    spans = zip(starts[:count].tolist(), ends[:count].tolist(), strict=True)
    return [text[start:end] for start, end in spans]


def replace(text: str, phrases: Prefixes, replacements: list[str]) -> str:
    """The text with each phrase, the longest at a place, replaced; the number of a phrase says by
    which replacement."""
    starts = np.empty(len(text), np.int32)
    ends = np.empty(len(text), np.int32)
    which = np.empty(len(text), np.int32)
    count = _find(code_points(text), phrases.slots, phrases.numbers, starts, ends, which)
    pieces: list[str] = []
    at = 0
    found = (starts[:count].tolist(), ends[:count].tolist(), which[:count].tolist())
    for start, end, index in zip(*found, strict=True):
        pieces += text[at:start], replacements[index]
        at = end
    pieces.append(text[at:])
    return "".join(pieces)


@njit(cache=True, nogil=True)
def _extend(mixed: np.uint64, point: np.uint32) -> np.uint64:
    mixed = (mixed ^ np.uint64(point)) * np.uint64(_MIXER)
    return mixed ^ mixed >> np.uint64(32)


@njit(cache=True, nogil=True)
def _slot(slots: U64, mixed: np.uint64) -> int:
    """Where a prefix is, or the free slot where it would be."""
    mask = len(slots) - 1
    slot = np.int64(mixed & np.uint64(mask))
    while slots[slot] != 0 and slots[slot] != mixed:
        slot = (slot + 1) & mask
    return int(slot)


@njit(cache=True, nogil=True)
def _insert(points: U32, lengths: I32, values: F64, slots: U64, numbers: F64) -> None:
    at = 0
    for word in range(len(lengths)):
        mixed = np.uint64(1)
        slot = 0
        for _ in range(lengths[word]):
            mixed = _extend(mixed, points[at])
            slot = _slot(slots, mixed)
            slots[slot] = mixed
            at += 1
        if lengths[word]:
            numbers[slot] = values[word]


@njit(cache=True, nogil=True)
def _find(points: U32, slots: U64, numbers: F64, starts: I32, ends: I32, which: I32) -> int:
    count = 0
    at = 0
    size = len(points)
    while at < size:
        mixed = np.uint64(1)
        longest = -1
        end = at
        while end < size:
            mixed = _extend(mixed, points[end])
            slot = _slot(slots, mixed)
            if slots[slot] == 0:
                break
            end += 1
            if not np.isnan(numbers[slot]):
                longest = end
                starts[count] = at
                ends[count] = end
                which[count] = np.int32(numbers[slot])
        if longest > 0:
            count += 1
            at = longest
        else:
            at += 1
    return count


@njit(cache=True, nogil=True)
def _segment(
    points: U32, kinds: npt.NDArray[np.uint8], slots: U64, numbers: F64, unknown: float,
    start_p: F64, step: F64, emit: F64, starts: I32, ends: I32,
) -> int:  # fmt: skip
    size = len(points)
    for i in range(size):
        point = points[i]
        if _HAN_FIRST <= point <= _HAN_LAST:
            kinds[i] = _HAN
        elif _is_alnum(point) or point in (43, 35, 38, 46, 95, 37, 45):  # + # & . _ % -
            kinds[i] = _LATIN
    best = np.empty(size + 1, np.float64)
    word_end = np.empty(size, np.int32)
    count = 0
    at = 0
    while at < size:
        if kinds[at] < _LATIN:
            if kinds[at] == _SIGN:
                starts[count] = at
                ends[count] = at + 1
                count += 1
            at += 1
            continue
        stop = at
        while stop < size and kinds[stop] >= _LATIN:
            stop += 1
        _best_path(points, at, stop, slots, numbers, unknown, best, word_end)
        # Rows of single characters are cut again.
        row = at
        while at < stop:
            end = word_end[at]
            if end > at + 1:
                count = _cut_row(
                    points, kinds, row, at, slots, numbers, start_p, step, emit, starts, ends, count
                )
                starts[count] = at
                ends[count] = end
                count += 1
                row = end
            at = end
        count = _cut_row(
            points, kinds, row, at, slots, numbers, start_p, step, emit, starts, ends, count
        )
    return count


@njit(cache=True, nogil=True)
def _is_alnum(point: np.uint32) -> bool | np.bool_:
    return 48 <= point <= 57 or 65 <= point <= 90 or 97 <= point <= 122


@njit(cache=True, nogil=True)
def _best_path(
    points: U32, start: int, stop: int, slots: U64, numbers: F64, unknown: float,
    best: F64, word_end: I32,
) -> None:  # fmt: skip
    """For each place of a block the end of the word there on the most probable path (of equals the
    longest word)."""
    best[stop] = 0.0
    for at in range(stop - 1, start - 1, -1):
        top = unknown + best[at + 1]
        found = False
        word_end[at] = at + 1
        mixed = np.uint64(1)
        for end in range(at + 1, stop + 1):
            mixed = _extend(mixed, points[end - 1])
            slot = _slot(slots, mixed)
            if slots[slot] == 0:
                break
            if not np.isnan(numbers[slot]):
                value = numbers[slot] + best[end]
                if not found or value >= top:
                    top = value
                    word_end[at] = end
                    found = True
        best[at] = top


@njit(cache=True, nogil=True)
def _cut_row(
    points: U32, kinds: npt.NDArray[np.uint8], start: int, stop: int, slots: U64, numbers: F64,
    start_p: F64, step: F64, emit: F64, starts: I32, ends: I32, count: int,
) -> int:  # fmt: skip
    """Cut a row of characters that are no words of the dictionary; the new number of words."""
    if stop <= start:
        return count
    single = stop == start + 1
    if not single:
        mixed = np.uint64(1)
        slot = 0
        for at in range(start, stop):
            mixed = _extend(mixed, points[at])
            slot = _slot(slots, mixed)
            if slots[slot] == 0:
                break
        single = slots[slot] != 0 and not np.isnan(numbers[slot])
    at = start
    while at < stop:
        end = at + 1
        if not single:
            if kinds[at] == _HAN:
                while end < stop and kinds[end] == _HAN:
                    end += 1
                count = _viterbi(points, at, end, start_p, step, emit, starts, ends, count)
                at = end
                continue
            end = _latin_end(points, kinds, at, stop)
        starts[count] = at
        ends[count] = end
        count += 1
        at = end
    return count


@njit(cache=True, nogil=True)
def _latin_end(points: U32, kinds: npt.NDArray[np.uint8], at: int, stop: int) -> int:
    """End of a number or Latin word (with decimals and a percent sign), or of a row of signs."""
    end = at
    if not _is_alnum(points[at]):
        while end < stop and kinds[end] == _LATIN and not _is_alnum(points[end]):
            end += 1
        return end
    while end < stop and _is_alnum(points[end]):
        end += 1
    if end + 1 < stop and points[end] == 46 and 48 <= points[end + 1] <= 57:
        end += 2
        while end < stop and 48 <= points[end] <= 57:
            end += 1
    if end < stop and points[end] == 37:
        end += 1
    return end


@njit(cache=True, nogil=True)
def _viterbi(
    points: U32, start: int, stop: int, start_p: F64, step: F64, emit: F64,
    starts: I32, ends: I32, count: int,
) -> int:  # fmt: skip
    size = stop - start
    come_from = np.empty((size, 4), np.uint8)
    chance = np.empty(4, np.float64)
    following = np.empty(4, np.float64)
    for state in range(4):
        chance[state] = start_p[state] + emit[points[start] - _HAN_FIRST, state]
    for i in range(1, size):
        row = points[start + i] - _HAN_FIRST
        for state in range(4):
            # Two states can come before each; of equals the later letter is taken.
            first, second = (_END, _SINGLE) if state in (_BEGIN, _SINGLE) else (_BEGIN, _MIDDLE)
            one = chance[first] + step[first, state] + emit[row, state]
            two = chance[second] + step[second, state] + emit[row, state]
            come_from[i, state] = second if two >= one else first
            following[state] = max(one, two)
        for state in range(4):
            chance[state] = following[state]
    states = np.empty(size, np.uint8)
    states[size - 1] = _SINGLE if chance[_SINGLE] >= chance[_END] else _END
    for i in range(size - 1, 0, -1):
        states[i - 1] = come_from[i, states[i]]
    begin = 0
    for i in range(size):
        if states[i] == _BEGIN:
            begin = i
        elif states[i] == _END or states[i] == _SINGLE:
            starts[count] = start + (begin if states[i] == _END else i)
            ends[count] = start + i + 1
            count += 1
    return count
