"""Data written as text: base64, hex pairs, ``\\u`` escapes, hexadecimal numbers, by their runs.

Each of these is a regular language whose matches can be found in one pass over UTF-8 bytes, where a
regular expression would start again at every character of an almost-match. Lengths are in code
points; all characters of a match but white space are ASCII (paper appendix A, table 11).
"""

from __future__ import annotations

import numpy as np
from numba import njit

from assets.refinecode.filters.characters import KIND, SPACE, U8, U16, WORD, classes_for, decode

#: A run of base64 counts from this length on, the others from this number of repeats.
_MIN_BASE64 = 64
_MIN_PAIRS = 8
_MIN_ESCAPES = 8


def _ascii_set(characters: str) -> U8:
    table = np.zeros(256, np.uint8)
    table[list(characters.encode())] = 1
    return np.frombuffer(table.tobytes(), np.uint8)


_HEX = _ascii_set("0123456789abcdefABCDEF")
_BASE64 = _ascii_set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n")


def encoded_runs(data: bytes, ascii_only: bool) -> tuple[int, int]:
    """(longest, sum of the lengths) of the runs of encoded data in UTF-8 text: 64 or more base64
    characters or line breaks; 8 or more hex pairs, each with or without ``0x`` or ``\\x`` and
    followed by a comma or by white space or another sign; 8 or more ``\\uXXXX``."""
    raw = np.frombuffer(data, np.uint8)
    longest, total = _base64_runs(raw, _BASE64)
    pairs = _pair_runs(raw, _HEX, classes_for(ascii_only))
    escapes = _escape_runs(raw, _HEX) if b"\\u" in data else (0, 0)
    return max(longest, pairs[0], escapes[0]), total + pairs[1] + escapes[1]


def chars_in_hex_numbers(data: bytes, ascii_only: bool) -> int:
    """Code points in whole words ``0x...`` or ``0X...`` of hexadecimal digits."""
    return _hex_numbers(np.frombuffer(data, np.uint8), _HEX, classes_for(ascii_only))


@njit(cache=True, nogil=True)
def _base64_runs(data: U8, inside: U8) -> tuple[int, int]:
    longest = total = 0
    size = len(data)
    start = 0
    while start + _MIN_BASE64 <= size:
        # Nothing can start before the last byte outside among the next 64: look from there back.
        at = start + _MIN_BASE64 - 1
        while at >= start and inside[data[at]]:
            at -= 1
        if at >= start:
            start = at + 1
            continue
        end = start + _MIN_BASE64
        while end < size and inside[data[end]]:
            end += 1
        longest = max(longest, end - start)
        total += end - start
        start = end
    return longest, total


@njit(cache=True, nogil=True)
def _escape_runs(data: U8, hexadecimal: U8) -> tuple[int, int]:
    longest = total = 0
    size = len(data)
    at = 0
    while at + 6 <= size:
        end = at
        while (
            end + 6 <= size
            and data[end] == 92  # \u
            and data[end + 1] == 117
            and hexadecimal[data[end + 2]]
            and hexadecimal[data[end + 3]]
            and hexadecimal[data[end + 4]]
            and hexadecimal[data[end + 5]]
        ):
            end += 6
        if end - at >= 6 * _MIN_ESCAPES:
            longest = max(longest, end - at)
            total += end - at
        at = max(end, at + 1)
    return longest, total


@njit(cache=True, nogil=True)
def _is_word_before(data: U8, at: int, classes: U16) -> bool:
    """Whether the character that ends at ``at`` is a ``\\w`` character."""
    if at == 0:
        return False
    start = at - 1
    while data[start] & 0xC0 == 0x80:
        start -= 1
    point, _ = decode(data, start)
    return classes[point] & KIND == WORD


@njit(cache=True, nogil=True)
def _is_word_at(data: U8, at: int, classes: U16) -> bool:
    if at >= len(data):
        return False
    point, _ = decode(data, at)
    return classes[point] & KIND == WORD


@njit(cache=True, nogil=True)
def _pair_end(data: U8, at: int, hexadecimal: U8, classes: U16) -> tuple[int, int]:
    """(end, code points) of the hex pair at ``at`` with what separates it from the next one;
    (-1, 0) if there is none."""
    size = len(data)
    first = data[at]
    if _is_word_before(data, at, classes) == (first != 92):  # a word boundary; 92 is the backslash
        return -1, 0
    digits = at
    if at + 1 < size and (first == 92 or first == 48) and data[at + 1] == 120:  # \x, 0x
        digits = at + 2
    end = digits + 2
    if end > size or not (hexadecimal[data[digits]] and hexadecimal[data[digits + 1]]):
        return -1, 0
    length = end - at
    if end < size and data[end] == 44:
        return end + 1, length + 1
    if _is_word_at(data, end, classes):
        return -1, 0
    while end < size:
        point, after = decode(data, end)
        if classes[point] & KIND != SPACE:
            break
        end = after
        length += 1
    return end, length


@njit(cache=True, nogil=True)
def _pair_runs(data: U8, hexadecimal: U8, classes: U16) -> tuple[int, int]:
    longest = total = 0
    size = len(data)
    at = 0
    while at + 1 < size:
        # Nearly all bytes fail here: a pair starts with two digits, 0x or \x, and but for \x not
        # inside a word.
        first = data[at]
        if not hexadecimal[first] and first != 92:
            at += 1
            continue
        second = data[at + 1]
        if second != 120 and not hexadecimal[second]:
            at += 1
            continue
        if first != 92 and at > 0 and data[at - 1] < 0x80 and classes[data[at - 1]] & KIND == WORD:
            at += 1
            continue
        pairs = length = 0
        end = at
        while end < size:
            after, points = _pair_end(data, end, hexadecimal, classes)
            if after < 0:
                break
            end = after
            length += points
            pairs += 1
        if pairs >= _MIN_PAIRS:
            longest = max(longest, length)
            total += length
        # A shorter run has no long one inside: all its pairs start where they were tried.
        at = max(end, at + 1)
    return longest, total


@njit(cache=True, nogil=True)
def _hex_numbers(data: U8, hexadecimal: U8, classes: U16) -> int:
    total = 0
    size = len(data)
    at = 1
    while at < size:
        if data[at] | 32 != 120 or data[at - 1] != 48:  # x, 0
            at += 1
            continue
        end = at + 1
        while end < size and hexadecimal[data[end]]:
            end += 1
        if (
            end > at + 1
            and not _is_word_at(data, end, classes)
            and not _is_word_before(data, at - 1, classes)
        ):
            total += end - at + 1
        at = end
    return total
