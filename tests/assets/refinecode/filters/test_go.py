"""Go signals against plain patterns that may look at a place many times."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.comments import Split
from assets.refinecode.filters.go import SIGNALS
from assets.refinecode.filters.source import RuleSet, Source

FUNCTION = r"^func\s+(?:\(\s*\w+\s+\*?\w+\s*\)\s*)?\w+\s*\([^)]*\)\s*(?:\([^)]*\)|[\w\[\]]*)"
TYPE = r"^\s*type\s+\w+\s+(?:struct|interface)\s*\{[^}]*\}"
RETURN = r"^\s*return.*;?\s*$"
SIMPLE_VARIABLE = r"^\s*var\s+\w+\s+\w+\s*$"
IMPORT = r'import\s+"[^"]*"'
TOKENS = st.lists(
    st.sampled_from(
        ["a", "_b", "3", "f(", "f (", ")", "()", "(", "{", "}", ";", "=", ":=", ",", "[]", "*", ".",
         " ", "  ", "\t", "\n", "\n\n", "\r", "func ", "func (s *S) ", "func(", "type ", "type A ",
         "struct {", "interface{", "import ", "import (", 'import "a"', 'import m "a"', '"', "var ",
         "var a int", "const ", "return", "return nil", "fmt.Print", "é", "\u00a0", "\x0b"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


def measured(
    content: str, rules: RuleSet = "opencoder", filename: str = "pair"
) -> dict[str, float | None]:
    return of(Source(content, program="go", doc_type="code", filename=filename, rules=rules))


def of(source: Source) -> dict[str, float | None]:
    return {n.removeprefix("qsc_codego_"): s(source) for n, s in SIGNALS.items()}


def matches(pattern: str, code: str) -> int:
    return len(regex.findall(pattern, code, regex.MULTILINE))


@settings(deadline=None, max_examples=150)
@given(TOKENS)
def test_counts_are_those_of_plain_patterns(code: str) -> None:
    source = Source(code, program="go", doc_type="code", rules="opencoder")
    source.split = Split(code, "")
    lines = [line for line in code.split("\n") if line.strip()]

    def share(count: int) -> float | None:
        return round(count / len(lines), 8) if lines else None

    functions = matches(FUNCTION, code)
    said = [line.strip() for line in lines]
    imports = sum(s == "import (" or regex.fullmatch(IMPORT, s) is not None for s in said)
    simple = sum(matches(p, code) for p in (TYPE, RETURN, SIMPLE_VARIABLE))
    assert of(source) == {
        "cate_testfile": 0.0,
        "frac_lines_func_ratio": share(functions),
        "cate_var_zero": 0.0,
        "score_lines_no_logic": share(functions + imports + simple),
        "frac_lines_print": share(sum("fmt.Print" in line for line in lines)),
    }


PAIR = """\
package demo

import (
	"fmt"
	"os"
)

import "strings"

// Pair holds two ints.
type Pair struct {
	A int
	B int
}

var total int

const limit = 10

func (p *Pair) Sum() int {
	s := p.A + p.B
	return s
}

func Report(names []string) (string, error) {
	if len(names) > limit {
		return "", fmt.Errorf("too many %d", len(names))
	}
	fmt.Println(strings.Join(names, ","))
	os.Stdout.Sync()
	return "ok", nil
}
"""


def test_a_pair_has_the_values_of_the_released_filter() -> None:
    assert measured(PAIR, filename="pair_test.go") == {
        "cate_testfile": 1.0,
        "frac_lines_func_ratio": 0.08333333,
        "cate_var_zero": 0.0,
        "score_lines_no_logic": 0.375,
        "frac_lines_print": 0.04166667,
    }
    assert measured(PAIR, filename="pair_TEST.GO")["cate_testfile"] == 1.0
    assert measured(PAIR)["cate_testfile"] == 0.0


def test_our_rules_count_each_import_of_a_block() -> None:
    assert measured(PAIR, "cookbook")["score_lines_no_logic"] == round(10 / 24, 8)
    block = 'import (\n\tm "math"\n\t. "os"\n\n\t_ `io`\n)\nimport f "fmt"\n'
    assert measured(block, "cookbook")["score_lines_no_logic"] == round(4 / 6, 8)
    assert measured(block, "opencoder")["score_lines_no_logic"] == round(1 / 6, 8)


@pytest.mark.parametrize(
    ("code", "declared"),
    [
        ("package demo\n\ntype Sizer interface { Size() int }\n", False),
        ("func f() int {\n\treturn a == b\n}\n", False),
        ("func f() {\n\ta, b := g()\n}\n", True),
        ("var a int\n", True),
        ("const (\n\tA = iota\n\tB\n)\n", True),
        ("var (\n)\n", False),
    ],
)
def test_only_our_rules_see_that_there_is_no_variable(code: str, declared: bool) -> None:
    assert measured(code, "cookbook")["cate_var_zero"] == float(not declared)
    assert measured(code, "opencoder")["cate_var_zero"] == 0.0


def test_functions_stand_in_the_first_column() -> None:
    assert measured("func F[T any](x T) {\n")["frac_lines_func_ratio"] == 0.0
    assert measured("\tfunc f() {\n")["frac_lines_func_ratio"] == 0.0
    assert measured("func f() {\n")["frac_lines_func_ratio"] == 1.0
    assert measured("func (s []S) f() {\n")["frac_lines_func_ratio"] == 0.0


def test_no_code_has_no_shares() -> None:
    assert set(measured("").values()) == {None, 0.0}


@settings(deadline=None)
@given(TOKENS)
def test_a_blank_line_more_changes_nothing(code: str) -> None:
    assert measured(code + "\n\n") == measured(code + "\n")
