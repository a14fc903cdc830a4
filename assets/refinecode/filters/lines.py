"""Lines that occur more than once: of code without their white space, of prose stripped of it.

White space of code goes first (at memory speed for ASCII); each line that is left becomes one hash,
eight bytes at a time, and equal hashes are equal lines (paper appendix A, tables 10-11).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numba import njit

from assets.refinecode.filters.characters import KIND, SPACE, U8, U16, classes_for, decode
from assets.refinecode.filters.ngrams import intern

_BLANKS = bytes(c for c in range(128) if chr(c).isspace() and chr(c) != "\n")
#: White space beyond ASCII in UTF-8, and byte strings of which each has one.
_WIDE_BLANKS = re.compile(
    rb"\xc2[\x85\xa0]|\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80"
)
_WIDE_HINTS = (b"\xc2\x85", b"\xc2\xa0", b"\xe1\x9a", b"\xe2\x80", b"\xe2\x81\x9f", b"\xe3\x80\x80")


@dataclass(frozen=True)
class LineCounts:
    """Lines that are not blank; those that occur more than once, all copies counted, but for lines
    of one visible character and ``},``."""

    lines: int
    repeated: int


@dataclass(frozen=True)
class StrippedLineCounts:
    """Lines that are not blank and their stripped length in code points; and the same of those that
    occur more than once, all copies counted."""

    lines: int
    chars: int
    repeated: int
    repeated_chars: int


def count_lines(data: bytes, ascii_only: bool, seed: int, multiplier: int) -> LineCounts:
    """Count the lines of UTF-8 text; the two numbers seed the hashes (``Source.seeds``)."""
    visible = data.translate(None, _BLANKS)
    if not ascii_only and any(hint in visible for hint in _WIDE_HINTS):
        visible = _WIDE_BLANKS.sub(b"", visible)
    raw = np.frombuffer(visible, np.uint8)
    most = visible.count(b"\n") + 1
    return LineCounts(*_count_lines(raw, np.uint64(multiplier), np.uint64(seed), most))


@njit(cache=True, nogil=True)
def _count_lines(data: U8, multiplier: np.uint64, seed: np.uint64, most: int) -> tuple[int, int]:
    hashes = np.empty(most, np.uint64)
    trivial = np.empty(most, np.bool_)
    lines = 0
    size = len(data)
    start = 0
    while start < size:
        end = start
        while end < size and data[end] != 10:
            end += 1
        if end > start:
            mixed = _hash(data, start, end, multiplier)
            length = end - start
            wide = data[start] >= 0x80
            trivial[lines] = (
                length == 1
                or (length == 2 and data[start] == 125 and data[start + 1] == 44)  # },
                or (wide and length == 2 + (data[start] >= 0xE0) + (data[start] >= 0xF0))
            )
            hashes[lines] = mixed
            lines += 1
        start = end + 1
    names, counts = intern(hashes[:lines], seed)
    repeated = 0
    for i in range(lines):
        repeated += counts[names[i]] > 1 and not trivial[i]
    return lines, repeated


@njit(cache=True, nogil=True)
def _hash(data: U8, start: int, end: int, multiplier: np.uint64) -> np.uint64:
    mixed = np.uint64(end - start)
    at = start
    while at + 8 <= end:
        block = (
            np.uint64(data[at])
            | np.uint64(data[at + 1]) << np.uint64(8)
            | np.uint64(data[at + 2]) << np.uint64(16)
            | np.uint64(data[at + 3]) << np.uint64(24)
            | np.uint64(data[at + 4]) << np.uint64(32)
            | np.uint64(data[at + 5]) << np.uint64(40)
            | np.uint64(data[at + 6]) << np.uint64(48)
            | np.uint64(data[at + 7]) << np.uint64(56)
        )
        mixed = (mixed ^ block) * multiplier
        mixed ^= mixed >> np.uint64(29)
        at += 8
    block = np.uint64(0)
    for offset in range(end - at):
        block |= np.uint64(data[at + offset]) << np.uint64(8 * offset)
    mixed = (mixed ^ block) * multiplier
    return mixed


def count_stripped_lines(
    data: bytes, ascii_only: bool, seed: int, multiplier: int
) -> StrippedLineCounts:
    """Count the lines of UTF-8 text; the two numbers seed the hashes (``Source.seeds``)."""
    raw = np.frombuffer(data, np.uint8)
    most = data.count(b"\n") + 1
    counts = _count_stripped(
        raw, classes_for(ascii_only), np.uint64(multiplier), np.uint64(seed), most
    )
    return StrippedLineCounts(*counts)


@njit(cache=True, nogil=True)
def _count_stripped(
    data: U8, classes: U16, multiplier: np.uint64, seed: np.uint64, most: int
) -> tuple[int, int, int, int]:
    hashes = np.empty(most, np.uint64)
    lengths = np.empty(most, np.int64)
    lines = chars = 0
    size = len(data)
    at = 0
    while at < size:
        # The visible part: where it starts and ends, in bytes, and its length.
        start = stop = -1
        length = points = 0
        while at < size and data[at] != 10:
            byte = data[at]
            end = at + 1
            if byte < 0x80:
                kind = classes[byte] & KIND
            else:
                point, end = decode(data, at)
                kind = classes[point] & KIND
            if kind != SPACE and start < 0:
                start = at
            if start >= 0:
                points += 1
                if kind != SPACE:
                    stop = end
                    length = points
            at = end
        at += 1
        if length:
            hashes[lines] = _hash(data, start, stop, multiplier)
            lengths[lines] = length
            chars += length
            lines += 1
    names, counts = intern(hashes[:lines], seed)
    repeated = repeated_chars = 0
    for i in range(lines):
        if counts[names[i]] > 1:
            repeated += 1
            repeated_chars += lengths[i]
    return lines, chars, repeated, repeated_chars
