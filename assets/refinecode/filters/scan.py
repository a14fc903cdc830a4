"""Counting declarations with patterns, in linear time: what the C, C#, Go and Java signals share.

The idea: the code is brought into a form of one ASCII byte a character, in which a character is
still what patterns see in it (word character, white space, sign), and lines have no indentation. A
pattern then starts with a line break or a rare word, its repeats give nothing back, and none looks
for a closing bracket that is not there (paper appendix A).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import regex
from numba import njit

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Source

#: Ends a pattern for the end of a line; the line break itself is left to the next line.
LINE_END = rb"(?=[^\S\n]*+(?:\n|\Z))"

U8 = npt.NDArray[np.uint8]

_BEYOND_WORD = regex.compile(r"[^\W\x00-\x7f]")
_BEYOND_SPACE = regex.compile(r"[^\S\x00-\x7f]")
_BEYOND_ASCII = regex.compile(r"[^\x00-\x7f]")


def plain_code(source: Source) -> bytes:
    """A line break, then the code with each character as one ASCII byte of its kind.

    The character at ``i`` of the code is at ``i + 1`` here.
    """
    return source.memo("scan.plain_code", lambda: b"\n" + to_ascii(source.code))


def statements(source: Source) -> bytes:
    """``plain_code`` without blank lines and indentation: each line follows a line break. White
    space at the end of a line stays."""
    return source.memo("scan.statements", lambda: without_indentation(plain_code(source)))


def without_indentation(text: bytes) -> bytes:
    """Drop the white space after each line break, further line breaks included.

    >>> without_indentation(b"\\n\\n  a \\n\\tb\\n")
    b'\\na \\nb\\n'
    """
    out = np.empty(len(text), np.uint8)
    return out[: _without_indentation(np.frombuffer(text, np.uint8), out)].tobytes()


@njit(cache=True, nogil=True)
def _without_indentation(text: U8, out: U8) -> int:
    size = 0
    in_front = False
    for byte in text:
        if in_front and (byte == 32 or 9 <= byte <= 13):
            continue
        out[size] = byte
        size += 1
        in_front = byte == 10
    return size


def to_ascii(text: str) -> bytes:
    """The text with a digit for each word character beyond ASCII (it begins no identifier), a
    vertical tab for each white space, and some sign that no pattern names for any other.

    >>> to_ascii("größe == 1\\u00a0€")
    b'gr00e == 1\\x0b\\x7f'
    """
    if text.isascii():
        return text.encode("ascii")
    # Lone surrogates become "?", a sign as well; only UTF-8 does that fast.
    whole = text.encode("utf-8", "replace").decode("utf-8")
    points = np.frombuffer(whole.encode("utf-32-le"), "<u4")
    table = np.zeros(int(points.max()) + 1, np.uint8)
    table[points] = 1
    seen = np.flatnonzero(table)
    signs = "".join(map(chr, seen))
    signs = _BEYOND_SPACE.sub("\v", _BEYOND_WORD.sub("0", signs))
    signs = _BEYOND_ASCII.sub("\x7f", signs)
    table[seen] = np.frombuffer(signs.encode("ascii"), np.uint8)
    return table[points].tobytes()


def count(pattern: re.Pattern[bytes], text: bytes) -> int:
    """How many matches there are, none of which overlap."""
    return len(pattern.findall(text))


def up_to_last(text: bytes, *ends: bytes) -> bytes:
    """The text up to the last of these signs (each one byte), which is kept; empty without any.

    What opens before it is closed in it, so that a pattern that looks for the close finds it.
    """
    return text[: max(map(text.rfind, ends)) + 1]


def lines_with(text: bytes, needle: bytes) -> Iterator[int]:
    """Where each line that contains ``needle`` ends."""
    at = text.find(needle)
    while at >= 0:
        end = text.find(b"\n", at)
        if end < 0:
            end = len(text)
        yield end
        at = text.find(needle, end)


def share_of_lines(source: Source, *needles: bytes) -> float | None:
    """Code lines that contain one of the needles over all code lines, in [0, 1]; None without."""
    text = statements(source)
    return per_code_line(source, len({end for n in needles for end in lines_with(text, n)}))


def per_code_line(source: Source, number: int) -> float | None:
    """``number`` over the code lines, 8 digits; None without code lines."""
    lines = source.num_code_lines
    return round(number / lines, 8) if lines else None
