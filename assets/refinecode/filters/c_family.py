"""C and C++ signals: counts of what looks like a declaration, call or directive (paper appendix A).

The idea: one regular expression for each thing that stands at the start of a line, and for what
looks like a function (two words and a bracket, anywhere) a small automaton over the bytes, which
reads each byte once. Both languages have the same signals; C++ also prints with ``cout``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from numba import njit

from assets.refinecode.filters.scan import (
    LINE_END,
    count,
    lines_with,
    per_code_line,
    share_of_lines,
    statements,
    up_to_last,
)

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Signal, Source

U8 = npt.NDArray[np.uint8]

#: Headers are made of directives: their share says nothing there.
HEADER_EXTENSIONS = frozenset({"h", "hpp", "hxx", "hh", "h++"})
_NAME = rb"[A-Za-z_]\w*+"
_INCLUDE = re.compile(rb'\n#\s*+include\s++[<"][^">]*+[">]')
_CLASS = re.compile(rb"\nclass\s++" + _NAME + rb"\s*+(?::[^{]*+)?+\{")
_SIMPLE_VARIABLE = re.compile(
    rb"\n(?:unsigned\s++)?+(?:int|float|double|char|bool|std::string|auto)\s++" + _NAME + rb"\s*+;"
)
_SIMPLE_RETURN = re.compile(rb"""\nreturn(?:\s++(?:\w++|"[^"]*+"|'[^']*+'))?+\s*+;""" + LINE_END)
_VARIABLE = re.compile(
    rb"\b\w++\s++(?:(?:\w++\s++)?+\**+\s*+[\w\[\]]++|\**+\s*+[\w\[\]]++)\s*+"
    rb"(?:,\s*+\**+[\w\[\]]++\s*+)*+[=;]"
)
#: A ``main`` without a body is matched too: none with a body begins inside its brackets.
_MAIN = re.compile(rb"main(?<=\Wmain)\s*+\([^)]*+(\)\s*+\{)?+")
#: The rest of its line belongs to a directive, so that each line is found once.
_DIRECTIVE = re.compile(
    rb"#[^\S\n]*+(?:include|define|if|else|elif|endif|error|pragma|warning|undef|line)[^\n]*+"
)


def frac_lines_func_ratio(source: Source) -> float | None:
    """What looks like a function (definition, prototype or call after a word) per code line, >= 0;
    None without code lines."""
    return per_code_line(source, _counts(source).functions)


def cate_bitsstdc(source: Source) -> float:
    """1.0 if the first 200 characters of the code name the header of everything, else 0.0."""
    return float("bits/stdc++.h" in source.code.lstrip()[:200].lower()[:200])


def nums_lines_main(source: Source) -> int:
    """Number of ``main`` functions with a body, >= 0."""
    return sum(map(bool, _MAIN.findall(statements(source))))


def frac_lines_goto(source: Source) -> float | None:
    """Share of code lines that contain ``goto``, in [0, 1]; None without code lines."""
    return share_of_lines(source, b"goto")


def cate_var_zero(source: Source) -> float:
    """1.0 if nothing looks like a declaration or assignment after a type, else 0.0."""
    return float(_VARIABLE.search(up_to_last(statements(source), b";")) is None)


def score_lines_no_logic(source: Source) -> float | None:
    """Functions, includes, classes, variables without a value and returns of one word per code
    line, >= 0; None without code lines."""
    counts = _counts(source)
    return per_code_line(source, counts.functions + counts.plain_lines)


def frac_lines_print(source: Source) -> float | None:
    """Share of code lines that contain ``printf``, in [0, 1]; None without code lines."""
    return share_of_lines(source, b"printf")


def frac_lines_print_cpp(source: Source) -> float | None:
    """Share of code lines that contain ``printf`` or ``cout``, in [0, 1]; None without code
    lines."""
    return share_of_lines(source, b"printf", b"cout")


def frac_lines_preprocessor_directives(source: Source) -> float | None:
    """Share of code lines that contain a directive, ``struct`` or ``using``, in [0, 1]; None for
    headers and without code lines."""
    if source.extension in HEADER_EXTENSIONS:
        return None
    text = statements(source)
    ends = {match.end() for match in _DIRECTIVE.finditer(text)}
    ends.update(lines_with(text, b"struct"), lines_with(text, b"using"))
    return per_code_line(source, len(ends))


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "qsc_codec_frac_lines_func_ratio": frac_lines_func_ratio,
        "qsc_codec_cate_bitsstdc": cate_bitsstdc,
        "qsc_codec_nums_lines_main": nums_lines_main,
        "qsc_codec_frac_lines_goto": frac_lines_goto,
        "qsc_codec_cate_var_zero": cate_var_zero,
        "qsc_codec_score_lines_no_logic": score_lines_no_logic,
        "qsc_codec_frac_lines_print": frac_lines_print,
        "qsc_codec_frac_lines_preprocessor_directives": frac_lines_preprocessor_directives,
        "qsc_codecpp_frac_lines_preprocessor_directives": frac_lines_preprocessor_directives,
        "qsc_codecpp_frac_lines_func_ratio": frac_lines_func_ratio,
        "qsc_codecpp_cate_bitsstdc": cate_bitsstdc,
        "qsc_codecpp_nums_lines_main": nums_lines_main,
        "qsc_codecpp_frac_lines_goto": frac_lines_goto,
        "qsc_codecpp_cate_var_zero": cate_var_zero,
        "qsc_codecpp_score_lines_no_logic": score_lines_no_logic,
        "qsc_codecpp_frac_lines_print": frac_lines_print_cpp,
    }
)


@dataclass(frozen=True)
class _Counts:
    """``plain_lines``: includes, classes, variables without a value, returns of one word."""

    functions: int
    plain_lines: int


def _counts(source: Source) -> _Counts:
    return source.memo("c_family.counts", lambda: _count(statements(source)))


def _count(text: bytes) -> _Counts:
    return _Counts(
        functions=count_functions(text),
        plain_lines=count(_INCLUDE, up_to_last(text, b'"', b">"))
        + count(_CLASS, up_to_last(text, b"{"))
        + count(_SIMPLE_VARIABLE, text)
        + count(_SIMPLE_RETURN, text),
    )


def count_functions(text: bytes) -> int:
    """How often two names and an opening bracket follow each other, outside such a bracket.

    Between the names is white space, with one ``*`` anywhere after its first character or several
    followed by white space; the bracket touches the second name, and a closing one must come.

    >>> count_functions(b"static int f(int (a)) { return g(f(1)); }")
    2
    """
    return int(_count_functions(np.frombuffer(text, np.uint8), _CLASSES, _GAPS, text.rfind(b")")))


# The automaton. A byte is a letter, another word character, white space, a star, or none of these.
_LETTER, _DIGIT, _SPACE, _STAR, _OTHER = range(5)
_CLASSES = np.full(256, _OTHER, np.uint8)
_CLASSES[list(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_")] = _LETTER
_CLASSES[list(b"0123456789")] = _DIGIT
_CLASSES[list(b" \t\n\r\f\v")] = _SPACE
_CLASSES[ord("*")] = _STAR
# What has come since a name that may begin a function (s: space, +: one or more): nothing (0), s+
# (1), stars without a space after them (2), s+ and one star (3), one star at most and s+ (4), the
# same and a star more (5), and s+ (6). From 7 there is no way. A second name may follow 1, 3, 4, 5
# and 6. Rows: the next byte is a space, is a star.
_NOTHING, _NO_NAME = 0, 7
_GAPS = np.array([[1, 1, 4, 4, 4, 6, 6, 7], [2, 3, 2, 2, 5, 7, 7, 7]], np.uint8)


@njit(cache=True, nogil=True)
def _count_functions(text: U8, classes: U8, gaps: U8, last_close: int) -> int:
    found = 0
    gap = _NO_NAME
    at = 0
    while at < last_close:
        kind = classes[text[at]]
        if kind in (_SPACE, _STAR):
            gap = gaps[kind - _SPACE, gap]
            at += 1
        elif kind == _OTHER:
            gap = _NO_NAME
            at += 1
        else:
            second = kind == _LETTER and (gap == 1 or 3 <= gap <= 6)
            while at < last_close and classes[text[at]] <= _DIGIT:
                at += 1
            gap = _NOTHING if kind == _LETTER else _NO_NAME
            if second and text[at] == 40:  # a bracket opens
                found += 1
                gap = _NO_NAME
                while text[at] != 41:
                    at += 1
                at += 1
    return found
