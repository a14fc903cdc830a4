"""Character classes of Unicode in one table, and counts of them over UTF-8 bytes.

Every kernel of the filters reads UTF-8: ASCII bytes index the table directly, other characters are
decoded on the fly. A class is what Python says of the character (``str.isspace``, ``str.isalnum``,
...), so that counts equal those of string methods and regular expressions (paper appendix A).
"""

from __future__ import annotations

import functools
import re
import string
import sys
import unicodedata
from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

U8 = npt.NDArray[np.uint8]
U16 = npt.NDArray[np.uint16]

# What a character is. Bits 0-1: neither (a sign), white space, or a \w character.
SPACE = 1
WORD = 2
KIND = 3
LETTER = 4
DIGIT = 8
# What becomes of it in normalised text, bits 4-6: a sign (0), a space, a part of a word as it is
# (in ASCII: in lower case), nothing, or something that only the whole text can tell.
NORMAL = 4
DELETED = 3
REWRITTEN = 4
# What ``str.isupper`` looks at: capitals, and other letters that have case.
UPPER = 128
CASED = 256

#: Control characters that normalising deletes.
CONTROLS = frozenset({*range(0x08), *range(0x0E, 0x1B), *range(0x1C, 0x20), 0x202C})
#: Wide signs and thin spaces, and what normalising makes of them (full-width ASCII is in ``WIDE``).
_WIDE_SIGNS = dict(zip("。、《》【】「」“”￥‘’\u2009\u200b", ".,\"\"[]''\"\"¥''  ", strict=True))
WIDE = {chr(0xFF01 + i): chr(0x21 + i) for i in range(94)} | _WIDE_SIGNS
#: No character past this code point is a letter, digit, space or changes when normalised, but for
#: the tags and variation selectors of plane 14 (asserted by a test over all of Unicode).
_LAST_PLAIN = 0x40000
_PLANE_14 = range(0xE0000, 0xE1000)
_LAST_COMPOSED = 0x20000
#: Ideographs, Hangul syllables, private use: if \w at all, then letters, and normal as they are.
_UNIFORM_RANGES = (
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3\ue000-\uf8ff\U00020000-\U0002f7ff\U0002fa20-\U0003ffff"
)
_UNIFORM = re.compile(f"[{_UNIFORM_RANGES}]+")
_VARIED = re.compile(f"[^{_UNIFORM_RANGES}]+")
#: What normalising turns into a space, once the wide signs are narrow.
_BLANKED = frozenset(string.punctuation + " ")
_JAMO = frozenset({*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)})


@functools.cache
def ascii_classes() -> U16:
    """The class of each byte below 128."""
    return _classes(range(128))


@functools.cache
def unicode_classes() -> U16:
    """The class of each code point (about 0.1 s and 2.2 MB, once a process)."""
    table = np.zeros(sys.maxunicode + 1, np.uint16)
    table[:_LAST_PLAIN] = _classes(range(_LAST_PLAIN))
    table[_PLANE_14.start : _PLANE_14.stop] = _classes(_PLANE_14)
    table.flags.writeable = False  # as the small table: kernels are compiled for one kind of array
    return table


def classes_for(ascii_only: bool) -> U16:
    """The table that a kernel needs for a text; for ASCII text the small one."""
    return ascii_classes() if ascii_only else unicode_classes()


def _classes(points: range) -> U16:
    text = "".join(map(chr, points))
    table = array("H", bytes(2 * len(points)))
    for pattern, kind in ((r"\s+", SPACE), (r"\w+", WORD)):
        for match in re.finditer(pattern, text):
            size = match.end() - match.start()
            table[match.start() : match.end()] = array("H", [kind | kind << NORMAL]) * size
    for match in _UNIFORM.finditer(text):
        for index in range(match.start(), match.end()):
            table[index] |= LETTER if table[index] else 0
    others = [
        pair for match in _VARIED.finditer(text) for pair in enumerate(match[0], match.start())
    ]
    for index, character in others:
        if character.isalpha():
            table[index] |= LETTER
        elif character.isdigit():
            table[index] |= DIGIT
        if character.isupper():
            table[index] |= UPPER
        elif character.islower() or character.istitle():
            table[index] |= CASED
    for index, kind in _normal_classes(others):
        table[index] = table[index] & ~(7 << NORMAL) | kind << NORMAL
    return np.frombuffer(table.tobytes(), np.uint16)


def _normal_classes(characters: list[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """(index, class) of the characters whose class in normalised text is another."""
    composing = _composing()
    for index, character in characters:
        if ord(character) in CONTROLS:
            yield index, DELETED
        elif WIDE.get(character, character) in _BLANKED:
            yield index, SPACE
        elif character > "\x7f" and not character.isspace():
            lower = character.lower()
            if (
                character in composing
                or lower != character
                or unicodedata.combining(character)
                or unicodedata.normalize("NFKC", character) != character
            ):
                yield index, REWRITTEN


@functools.cache
def _composing() -> frozenset[str]:
    """Characters that may join the one before them when text is composed, and wide letters."""
    found = set(map(chr, _JAMO)) | WIDE.keys()
    for point in range(0xC0, _LAST_COMPOSED):
        parts = unicodedata.decomposition(chr(point)).split(" ")
        if len(parts) == 2 and parts[0][0] != "<":
            found.add(chr(int(parts[1], 16)))
    return frozenset(found)


@njit(cache=True, nogil=True)
def decode(data: U8, at: int) -> tuple[np.int64, int]:
    """(code point, position after it) of the character at ``at`` of valid UTF-8 (surrogates may
    stand alone)."""
    first = np.int64(data[at])
    if first < 0x80:
        return first, at + 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | np.int64(data[at + 1]) & 0x3F, at + 2
    middle = np.int64(data[at + 1]) & 0x3F
    if first < 0xF0:
        return (first & 0x0F) << 12 | middle << 6 | np.int64(data[at + 2]) & 0x3F, at + 3
    low = (np.int64(data[at + 2]) & 0x3F) << 6 | np.int64(data[at + 3]) & 0x3F
    return (first & 0x07) << 18 | middle << 12 | low, at + 4


@dataclass(frozen=True)
class CharacterCounts:
    """Counts over a text, in code points; the longest line counts its line break."""

    spaces: int
    letters: int
    digits: int
    replacements: int
    longest_line: int


def count_characters(data: bytes, ascii_only: bool) -> CharacterCounts:
    """Counts of a text given as UTF-8, in one pass."""
    raw = np.frombuffer(data, np.uint8)
    counts = _count_ascii(raw, ascii_classes()) if ascii_only else _count(raw, unicode_classes())
    return CharacterCounts(*counts)


@njit(cache=True, nogil=True)
def _count_ascii(data: U8, classes: U16) -> tuple[int, int, int, int, int]:
    # Equal bytes in a row would wait for each other in one array.
    even = np.zeros(256, np.int64)
    odd = np.zeros(256, np.int64)
    size = len(data)
    for at in range(0, size - 1, 2):
        even[data[at]] += 1
        odd[data[at + 1]] += 1
    if size & 1:
        even[data[size - 1]] += 1
    spaces = letters = digits = 0
    for byte in range(128):
        number = even[byte] + odd[byte]
        spaces += number * (classes[byte] & SPACE)
        letters += number * (classes[byte] >> 2 & 1)
        digits += number * (classes[byte] >> 3 & 1)
    longest = 0
    start = 0
    for at in range(size):
        if data[at] == 10:
            longest = max(longest, at + 1 - start)
            start = at + 1
    return spaces, letters, digits, 0, max(longest, size - start)


@njit(cache=True, nogil=True)
def _count(data: U8, classes: U16) -> tuple[int, int, int, int, int]:
    spaces = letters = digits = replacements = longest = 0
    length = 0
    at = 0
    size = len(data)
    while at < size:
        byte = data[at]
        if byte < 0x80:
            kind = classes[byte]
            at += 1
        else:
            point, at = decode(data, at)
            kind = classes[point]
            replacements += point == 0xFFFD
        spaces += kind & SPACE
        letters += (kind & LETTER) >> 2
        digits += (kind & DIGIT) >> 3
        length += 1
        if byte == 10:
            longest = max(longest, length)
            length = 0
    return spaces, letters, digits, replacements, max(longest, length)
