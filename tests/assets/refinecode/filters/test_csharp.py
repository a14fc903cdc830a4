"""C# signals against plain patterns that may look at a place many times."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.comments import Split
from assets.refinecode.filters.csharp import SIGNALS
from assets.refinecode.filters.source import RuleSet, Source

FUNCTION = (
    r"^\s*(?:(?:public|protected|private|internal)\s+)?"
    r"(?:(?:static|virtual|override|abstract|async)\s+)?"
    r"(?!\s*(?:public|private|protected|if|else))\s*(?:<\w+>)?\s*\w+\s+\w+\s*\([^)]*\)"
)
USING = r"^\s*using\s+[\w.]+\s*;"
CLASS = r"(?:(?:public|private|protected|internal|static|abstract|sealed)\s+)?class\s+\w+"
RETURN = r"^\s*return.*;"
TYPE = r"(?:int|float|double|char|string|bool|byte|sbyte|short|ushort|uint|long|ulong|decimal)"
SIMPLE_VARIABLE = rf"{TYPE}\s+\w+\s*;"
VARIABLE = rf"\b(?:var|{TYPE})\s+\w"
TOKENS = st.lists(
    st.sampled_from(
        ["a", "_b", "3", "F(", "F (", ")", "()", "{", ";", "=", ".", " ", "  ", "\t", "\n", "\n\n",
         "\r", "public ", "protected", "private ", "internal ", "static ", "async ", "override\n",
         "if", "else", "<T>", "<", ">", "class", "class ", "subclass A", "sealed ", "using ",
         "using System.Linq;", "return", "return ", "returned", "int ", "int x;", "Point p;",
         "uint", "string s", "var v", "é", "Console.WriteLine", "\u00a0", "\x1c"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


def measured(content: str, rules: RuleSet = "opencoder") -> dict[str, float | None]:
    return of(Source(content, program="csharp", doc_type="code", rules=rules))


def of(source: Source) -> dict[str, float | None]:
    return {n.removeprefix("qsc_codecsharp_"): s(source) for n, s in SIGNALS.items()}


def matches(pattern: str, code: str) -> int:
    return len(regex.findall(pattern, code, regex.MULTILINE))


@settings(deadline=None, max_examples=150)
@given(TOKENS)
def test_counts_are_those_of_plain_patterns(code: str) -> None:
    source = Source(code, program="csharp", doc_type="code")
    source.split = Split(code, "")
    lines = [line for line in code.split("\n") if line.strip()]

    def share(count: int) -> float | None:
        return round(count / len(lines), 8) if lines else None

    functions = matches(FUNCTION, code)
    simple = (USING, CLASS, RETURN, SIMPLE_VARIABLE)
    assert of(source) == {
        "frac_lines_func_ratio": share(functions),
        "cate_var_zero": float(regex.search(VARIABLE, code) is None),
        "score_lines_no_logic": share(functions + sum(matches(p, code) for p in simple)),
        "frac_lines_print": share(sum("Console.WriteLine" in line for line in lines)),
    }


@pytest.mark.parametrize(
    ("code", "functions"),
    [
        ("public static void Main(string[] args) {", 1),
        ("void F()", 1),
        ("public override string ToString() => s;", 1),
        ("public async Task<int> F()", 0),
        ("List<int> F()", 0),
        ("public <T> T F(T x)", 1),
        ("return Find(x);", 1),
        ("else if (x)", 0),
        ("iffy F(x)", 0),
        ("public Point(int x)", 0),
        ("internal Point(int x)", 1),
        ("static F(x)", 1),
        ("x = F(new G(1));", 0),
        ("int\n  F(int a,\n int b)", 1),
        ("int F(", 0),
    ],
)
def test_what_looks_like_a_method(code: str, functions: int) -> None:
    lines = len(code.split("\n"))
    assert measured(code)["frac_lines_func_ratio"] == round(functions / lines, 8)


def test_a_small_class() -> None:
    """Of variables without a value, ``Point corner`` is one too: it ends in ``int corner``."""
    code = """\
using System;
using static System.Math;

namespace Demo
{
    public sealed class Box
    {
        private int size;
        Point corner;
        public int Size() { return size; }
        int Twice()
        {
            Console.WriteLine("twice");
            return 2 * size;
        }
    }
}
"""
    assert measured(code) == {
        "frac_lines_func_ratio": round(2 / 16, 8),
        "cate_var_zero": 0.0,
        "score_lines_no_logic": round((2 + 1 + 1 + 1 + 2) / 16, 8),
        "frac_lines_print": round(1 / 16, 8),
    }


def test_only_our_rules_see_that_there_is_no_variable() -> None:
    code = "enum Color { Red, Green }\n"
    assert measured(code, "opencoder")["cate_var_zero"] == 0.0
    assert measured(code, "cookbook")["cate_var_zero"] == 1.0
    assert measured(code + "var c = Color.Red;", "cookbook")["cate_var_zero"] == 0.0


def test_no_code_has_no_shares() -> None:
    assert set(measured("").values()) == {None, 0.0}


@settings(deadline=None)
@given(TOKENS)
def test_a_blank_line_more_changes_nothing(code: str) -> None:
    assert measured(code + "\n\n") == measured(code + "\n")
