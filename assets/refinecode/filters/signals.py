"""Quality signals: one function each, from a prepared text to a number or None (not defined).

The definitions are those of the paper's released filter (paper appendix A); fractions are rounded
to 8 digits as there. What a signal is for is in the rule table.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from assets.refinecode.filters.text import Text

Signal = Callable[[Text], float | None]

_AUTOGEN = ("generate", "autogen", "auto-generated", "do not edit")
#: Characters of a base64 block; the line break is one of them.
_BASE64 = np.zeros(256, np.bool_)
_BASE64[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\n")] = True
#: Characters that a run of hex pairs is made of (any other than ASCII might be white space).
_PAIR_CHARS = np.arange(256) >= 128
_PAIR_CHARS[list(b"0123456789abcdefABCDEFx\\, \t\n\r\f\v\x1c\x1d\x1e\x1f")] = True
_HEX_PAIRS = re.compile(r"(?:\b(?:0x|\\x)?+[0-9a-fA-F]{2}(?:,|\b\s*+)){8,}+")
_UNICODE_ESCAPES = re.compile(r"(?:\\u[0-9a-fA-F]{4}){8,}+")


def num_words(text: Text) -> float:
    """Number of normalised words, >= 0."""
    return len(text.words)


def num_chars(text: Text) -> float:
    """Length in code points, >= 0."""
    return len(text.content)


def mean_word_length(text: Text) -> float | None:
    """Mean code points of a normalised word, >= 1; None without words."""
    words = text.words
    return round(sum(map(len, words)) / len(words), 8) if words else None


def frac_chars_replacement_symbols(text: Text) -> float | None:
    """Share of U+FFFD among all characters, 0-1; None if empty."""
    if not text.content:
        return None
    return round(text.content.count("\ufffd") / len(text.content), 8)


def frac_chars_alphabet(text: Text) -> float:
    """Share of letters (``str.isalpha``) among visible characters, 0-1; 0 if nothing is visible."""
    return round(text.num_letters / text.num_visible, 8) if text.num_visible else 0.0


def frac_chars_digital(text: Text) -> float:
    """Share of digits (``str.isdigit``) among visible characters, 0-1; 1 if nothing is visible."""
    return round(text.num_digits / text.num_visible, 8) if text.num_visible else 1.0


def frac_chars_whitespace(text: Text) -> float:
    """Share of white space among all characters, 0-1; 1 if empty."""
    size = len(text.content)
    return round((size - text.num_visible) / size, 8) if size else 1.0


def size_file_byte(text: Text) -> float | None:
    """Size of the file in bytes, >= 0; None where not given."""
    return text.size_bytes


def num_lines(text: Text) -> float:
    """Number of lines, blank ones included, >= 0."""
    return len(text.lines)


def num_chars_line_max(text: Text) -> float:
    """Code points of the longest line, line break included, >= 0."""
    if not text.lines:
        return 0
    lengths = [len(line) + 1 for line in text.lines]
    if not text.content.endswith("\n"):
        lengths[-1] -= 1
    return max(lengths)


def num_chars_line_mean(text: Text) -> float:
    """Mean code points of a line, line break included, >= 0; 0 if empty."""
    return round(len(text.content) / len(text.lines), 8) if text.lines else 0


def cate_xml_start(text: Text) -> float:
    """1 if an XML declaration stands in the first 100 characters, else 0."""
    return float("<?xml version=" in text.content[:100])


def cate_autogen(text: Text) -> float:
    """1 if the first 200 characters say that the file is generated, else 0."""
    head = text.content[:200].lower()
    return float(any(phrase in head for phrase in _AUTOGEN))


def cate_encoded_data(text: Text) -> float:
    """1 if runs of base64, hex pairs or ``\\u`` escapes have one match of more than 1024
    characters, or make up more than half of the text; else 0."""
    half = 0.5 * len(text.content)
    lengths = _runs(text, _BASE64, 64)
    if "\\u" in text.content:
        lengths += [m.end() - m.start() for m in _UNICODE_ESCAPES.finditer(text.content)]
    # The pattern of hex pairs is dear: it only runs where its characters alone could be enough.
    pairs = _runs(text, _PAIR_CHARS, 16)
    if pairs and (max(pairs) > 1024 or sum(pairs) + sum(lengths) > half):
        lengths += [m.end() - m.start() for m in _HEX_PAIRS.finditer(text.content)]
    return float(bool(lengths) and (max(lengths) > 1024 or sum(lengths) > half))


def _runs(text: Text, inside: npt.NDArray[np.bool_], shortest: int) -> list[int]:
    """Lengths, in bytes, of the runs of these bytes that are at least ``shortest`` long."""
    mask = np.zeros(len(text.data) + 2, np.bool_)
    np.take(inside, np.frombuffer(text.data, np.uint8), out=mask[1:-1])
    edges = np.flatnonzero(mask[1:] != mask[:-1])
    lengths = edges[1::2] - edges[::2]
    return [int(length) for length in lengths[lengths >= shortest]]


def frac_lines_dupe_lines_code(text: Text) -> float | None:
    """Share of non-blank lines, white space removed, that occur more than once, 0-1; lines of one
    character and ``},`` count as unique. None without such lines. Comments are lines here too."""
    lines = ["".join(parts) for line in text.lines if (parts := line.split())]
    if not lines:
        return None
    repeated = sum(
        count for line, count in Counter(lines).items()
        if count > 1 and len(line) > 1 and line != "},"
    )  # fmt: skip
    return round(repeated / len(lines), 8)


def frac_lines_dupe_lines_text(text: Text) -> float | None:
    """Share of stripped non-blank lines that occur more than once, 0-1; None without such lines."""
    counts = Counter(filter(None, map(str.strip, text.lines)))
    total = counts.total()
    repeated = sum(count for count in counts.values() if count > 1)
    return round(repeated / total, 8) if total else None


def frac_chars_dupe_lines(text: Text) -> float | None:
    """The same share weighted by the length of the lines, 0-1; None if there are none."""
    counts = Counter(filter(None, map(str.strip, text.lines)))
    total = sum(len(line) * count for line, count in counts.items())
    repeated = sum(len(line) * count for line, count in counts.items() if count > 1)
    return round(repeated / total, 8) if total else None


def _named(*functions: Signal) -> dict[str, Signal]:
    return {function.__name__: function for function in functions}


_SHARED = _named(
    num_words, num_chars, mean_word_length, frac_chars_replacement_symbols, frac_chars_digital,
    frac_chars_whitespace, num_lines, frac_chars_alphabet,
)  # fmt: skip
#: The signals of each family, in the order in which they are computed.
SIGNALS: Mapping[str, Mapping[str, Signal]] = MappingProxyType(
    {
        "code": _SHARED
        | _named(
            size_file_byte, num_chars_line_max, num_chars_line_mean, cate_xml_start, cate_autogen,
            cate_encoded_data,
        )
        | {"frac_lines_dupe_lines": frac_lines_dupe_lines_code},
        "text": _SHARED
        | _named(frac_chars_dupe_lines)
        | {"frac_lines_dupe_lines": frac_lines_dupe_lines_text},
    }
)  # fmt: skip
