"""Go signals: counts of what looks like a declaration, import or return (paper appendix A).

The idea: regular expressions over the code, no parser. Functions stand in the first column, all
else at the start of a line; a receiver or result of a generic type is not recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from assets.refinecode.filters.scan import (
    LINE_END,
    count,
    per_code_line,
    plain_code,
    share_of_lines,
    statements,
    up_to_last,
)

if TYPE_CHECKING:
    from assets.refinecode.filters.source import RuleSet, Signal, Source

#: In the first column: for the code with its indentation.
_FUNCTION = re.compile(rb"\nfunc\s++(?:\(\s*+\w++\s++\*?+\w++\s*+\)\s*+)?+\w++\s*+\([^)]*+\)")
_TYPE = re.compile(rb"\ntype\s++\w++\s++(?:struct|interface)\s*+\{[^}]*+\}")
_RETURN = re.compile(rb"\nreturn")
_SIMPLE_VARIABLE = re.compile(rb"\nvar\s++\w++\s++\w++" + LINE_END)
_IMPORT_LINE = re.compile(rb'\nimport(?: \(|\s++"[^"\n]*+")' + LINE_END)
_IMPORT = re.compile(rb'\nimport\s++(?:(?:\w++|[.])\s++)?+["`]')
_IMPORT_BLOCK = re.compile(rb"\nimport\s*+\(([^)]*+)\)")
_IMPORT_PATH = re.compile(rb'"[^"\n]*+"|`[^`\n]*+`')
#: ``var a``, ``const (`` with a name in it, or ``a, b :=`` at the start of a line.
_VARIABLE = re.compile(
    rb"\n(?:(?:var|const)(?:\s++|\s*+\(\s*+)\w|\w++(?:[ \t]*+,[ \t]*+\w++)*+[ \t]*+:=)"
)


def cate_testfile(source: Source) -> float:
    """1.0 if the file is named ``*_test.go`` (in any case), else 0.0."""
    return float(source.filename.lower().endswith("_test.go"))


def frac_lines_func_ratio(source: Source) -> float | None:
    """Functions and methods per code line, >= 0; None without code lines."""
    return per_code_line(source, _counts(source).functions)


def cate_var_zero(source: Source) -> float:
    """1.0 if no line declares a variable or constant, else 0.0."""
    if source.rules == "opencoder":
        return 0.0  # the released filter compares a list with zero
    return float(_VARIABLE.search(statements(source)) is None)


def score_lines_no_logic(source: Source) -> float | None:
    """Functions, imports, struct and interface types, variables without a value and returns per
    code line, >= 0; None without code lines."""
    counts = _counts(source)
    return per_code_line(source, counts.functions + counts.plain_lines)


def frac_lines_print(source: Source) -> float | None:
    """Share of code lines that contain ``fmt.Print``, in [0, 1]; None without code lines."""
    return share_of_lines(source, b"fmt.Print")


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "qsc_codego_cate_testfile": cate_testfile,
        "qsc_codego_frac_lines_func_ratio": frac_lines_func_ratio,
        "qsc_codego_cate_var_zero": cate_var_zero,
        "qsc_codego_score_lines_no_logic": score_lines_no_logic,
        "qsc_codego_frac_lines_print": frac_lines_print,
    }
)


@dataclass(frozen=True)
class _Counts:
    """``plain_lines``: imports, types, variables without a value, returns."""

    functions: int
    plain_lines: int


def _counts(source: Source) -> _Counts:
    return source.memo("go.counts", lambda: _count(source))


def _count(source: Source) -> _Counts:
    text = statements(source)
    return _Counts(
        functions=count(_FUNCTION, up_to_last(plain_code(source), b")")),
        plain_lines=count_imports(text, source.rules)
        + count(_TYPE, up_to_last(text, b"}"))
        + count(_SIMPLE_VARIABLE, text)
        + count(_RETURN, text),
    )


def count_imports(text: bytes, rules: RuleSet) -> int:
    """Imports of a text in the form of ``scan.statements``.

    Under ``opencoder`` a block counts once, whatever it holds, as the released filter forgets at
    each line that it is in one, and an import under another name is not seen.

    >>> block = b'\\nimport (\\n"fmt"\\nm "math"\\n)'
    >>> count_imports(block, "opencoder"), count_imports(block, "cookbook")
    (1, 2)
    """
    if rules == "opencoder":
        return count(_IMPORT_LINE, text)
    blocks = _IMPORT_BLOCK.findall(up_to_last(text, b")"))
    return count(_IMPORT, text) + sum(count(_IMPORT_PATH, block) for block in blocks)
