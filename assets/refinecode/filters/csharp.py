"""C# signals: counts of what looks like a method, declaration or directive (paper appendix A).

The idea: regular expressions over the code, no parser. A method is two plain words and brackets at
the start of a line, so ``return Find(x)`` is one and a method with a generic result is not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from assets.refinecode.filters.scan import (
    count,
    per_code_line,
    share_of_lines,
    statements,
    up_to_last,
)

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Signal, Source

#: Modifiers are tried as such first, then as the type of the result.
_FUNCTION = re.compile(
    rb"\n(?:(?:public|protected|private|internal)\s++)?"
    rb"(?:(?:static|virtual|override|abstract|async)\s++)?"
    rb"(?!public|private|protected|if|else)"
    rb"(?:<\w++>\s*+)?+\w++\s++\w++\s*+\([^)]*+\)"
)
_USING = re.compile(rb"\nusing\s++[\w.]++\s*+;")
_CLASS = re.compile(rb"class\s++\w++")
_SIMPLE_RETURN = re.compile(rb"\nreturn[^;\n]*+;")
#: No word boundary before the type: ``Point p;`` ends in ``int p;``. So sbyte, ushort, uint and
#: ulong are found by their ends.
_SIMPLE_VARIABLE = re.compile(
    rb"(?:int|float|double|char|string|bool|byte|short|long|decimal)\s++\w++\s*+;"
)
_VARIABLE = re.compile(
    rb"\b(?:int|float|double|char|string|var|bool|s?byte|u?short|uint|u?long|decimal)\s++\w"
)


def frac_lines_func_ratio(source: Source) -> float | None:
    """What looks like a method (or a call after a word) at the start of a line, per code line,
    >= 0; None without code lines."""
    return per_code_line(source, _counts(source).functions)


def cate_var_zero(source: Source) -> float:
    """1.0 if no variable or parameter of a built-in type is declared, else 0.0."""
    if source.rules == "opencoder":
        return 0.0  # the released filter compares a list with zero
    return float(_VARIABLE.search(statements(source)) is None)


def score_lines_no_logic(source: Source) -> float | None:
    """Methods, ``using`` lines, classes, variables without a value and returns per code line,
    >= 0; None without code lines."""
    counts = _counts(source)
    return per_code_line(source, counts.functions + counts.plain_lines)


def frac_lines_print(source: Source) -> float | None:
    """Share of code lines that contain ``Console.WriteLine``, in [0, 1]; None without code
    lines."""
    return share_of_lines(source, b"Console.WriteLine")


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "qsc_codecsharp_frac_lines_func_ratio": frac_lines_func_ratio,
        "qsc_codecsharp_cate_var_zero": cate_var_zero,
        "qsc_codecsharp_score_lines_no_logic": score_lines_no_logic,
        "qsc_codecsharp_frac_lines_print": frac_lines_print,
    }
)


@dataclass(frozen=True)
class _Counts:
    """``plain_lines``: ``using`` lines, classes, variables without a value, returns."""

    functions: int
    plain_lines: int


def _counts(source: Source) -> _Counts:
    return source.memo("csharp.counts", lambda: _count(statements(source)))


def _count(text: bytes) -> _Counts:
    return _Counts(
        functions=count(_FUNCTION, up_to_last(text, b")")),
        plain_lines=count(_USING, text)
        + count(_CLASS, text)
        + count(_SIMPLE_VARIABLE, text)
        + count(_SIMPLE_RETURN, text),
    )
