"""Quoted strings of code, found without knowing its language, and what is in them.

A string opens at any quote (three in a row first) and closes at the next of its kind; there are no
escapes. Two readings are in use: one where any string may span lines, so that a lone apostrophe
pairs with the next one lines later, and one where only triple quotes may. Both are one pass: a kind
of quote that was once not found again is never looked for again (paper appendix A, table 11).
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt
from numba import njit

from assets.refinecode.filters.characters import KIND, SPACE, U8, U16, decode

I32 = npt.NDArray[np.int32]

_QUOTE, _APOSTROPHE, _BREAK = 34, 39, 10
_JOINED = re.compile(r"\+[^\S\n]*[\"']")
_ASSIGNED = re.compile(r"=\s*[\"']")
_JOIN = re.compile(r"[\"']\s*\+\s*[\"']")


def quoted(data: bytes, across_lines: bool) -> tuple[I32, I32]:
    """(starts, ends), in bytes, of the bodies of the non-empty strings of UTF-8 text.

    ``across_lines`` lets strings in single-character quotes span lines.
    """
    starts = np.empty(len(data) // 2, np.int32)
    ends = np.empty(len(data) // 2, np.int32)
    count = _quoted(np.frombuffer(data, np.uint8), across_lines, starts, ends)
    return starts[:count], ends[:count]


@njit(cache=True, nogil=True)
def _quoted(data: U8, across_lines: bool, starts: I32, ends: I32) -> int:
    size = len(data)
    count = 0
    # From where on a quote, an apostrophe, three quotes, three apostrophes are looked for in vain.
    none_from = np.full(4, size, np.int64)
    at = 0
    while at < size:
        sign = data[at]
        if sign != _QUOTE and sign != _APOSTROPHE:
            at += 1
            continue
        kind = 0 if sign == _QUOTE else 1
        if at + 2 < size and data[at + 1] == sign and data[at + 2] == sign:
            end = at + 3
            if end < none_from[2 + kind]:
                while end + 2 < size and not (
                    data[end] == sign and data[end + 1] == sign and data[end + 2] == sign
                ):
                    end += 1
                if end + 2 < size:
                    if end > at + 3:
                        starts[count] = at + 3
                        ends[count] = end
                        count += 1
                    at = end + 3
                    continue
                none_from[2 + kind] = at + 3
        end = at + 1
        found = False
        if end < none_from[kind]:
            while end < size and data[end] != sign and (across_lines or data[end] != _BREAK):
                end += 1
            found = end < size and data[end] == sign
            if end >= size:
                none_from[kind] = at + 1
        if found:
            if end > at + 1:
                starts[count] = at + 1
                ends[count] = end
                count += 1
            at = end + 1
        else:
            at += 1
    return count


@njit(cache=True, nogil=True)
def long_pieces(data: U8, starts: I32, ends: I32, classes: U16, most_words: int) -> int:
    """Number of lines of strings with more than ``most_words`` words and runs of signs."""
    pieces = 0
    for i in range(len(starts)):
        words = 0
        previous = SPACE
        at = np.int64(starts[i])
        while at < ends[i]:
            byte = data[at]
            if byte < 0x80:
                kind = classes[byte] & KIND
                at += 1
            else:
                point, at = decode(data, at)
                kind = classes[point] & KIND
            if kind != previous:
                words += kind != SPACE
                previous = kind
            if byte == _BREAK:
                pieces += words > most_words
                words = 0
        pieces += words > most_words
    return pieces


@njit(cache=True, nogil=True)
def string_lengths(
    data: U8, starts: I32, ends: I32, classes: U16, long_word: int
) -> tuple[int, int]:
    """(code points in strings, those of them in words longer than ``long_word`` that have no URL);
    words are what white space separates."""
    total = 0
    in_long = 0
    for i in range(len(starts)):
        length = 0
        first = at = np.int64(starts[i])
        end = np.int64(ends[i])
        while at < end:
            here = at
            byte = data[at]
            if byte < 0x80:
                kind = classes[byte] & KIND
                at += 1
            else:
                point, at = decode(data, at)
                kind = classes[point] & KIND
            total += 1
            if kind == SPACE:
                if length > long_word and not _has_url(data, first, here):
                    in_long += length
                length = 0
                first = at
            else:
                length += 1
        if length > long_word and not _has_url(data, first, end):
            in_long += length
    return total, in_long


@njit(cache=True, nogil=True)
def _has_url(data: U8, start: int, end: int) -> bool:
    """Whether ``http://`` or ``https://`` stands in these bytes with something after it."""
    for at in range(start + 4, end - 3):
        if data[at] == 58 and data[at + 1] == 47 and data[at + 2] == 47:  # ://
            stop = at - 1 if data[at - 1] == 115 and at > start + 4 else at  # s
            if (
                data[stop - 1] == 112  # p, t, t, h
                and data[stop - 2] == 116
                and data[stop - 3] == 116
                and data[stop - 4] == 104
            ):
                return True
    return False


def lines_with_concatenation(code: str) -> int:
    """Number of lines where two quoted strings are joined by ``+`` right of an ``=``.

    The line has ``=`` and a quote; at least one character later a quote, ``+`` and a quote; and at
    least one character later a quote (white space may stand between, kinds of quotes may differ).
    """
    lines = 0
    at = 0
    while (joined := _JOINED.search(code, at)) is not None:
        start = code.rfind("\n", at, joined.start()) + 1 or at
        end = code.find("\n", joined.end())
        end = len(code) if end < 0 else end
        lines += _concatenates(code[start:end])
        at = end
    return lines


def _concatenates(line: str) -> bool:
    assigned = _ASSIGNED.search(line)
    if assigned is None:
        return False
    join = _JOIN.search(line, assigned.end() + 1)
    return join is not None and max(line.rfind('"'), line.rfind("'")) > join.end()
