"""Java signals against plain patterns that may look at a place many times."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.comments import Split
from assets.refinecode.filters.java import SIGNALS
from assets.refinecode.filters.source import RuleSet, Source

FUNCTION = (
    r"^\s*((?:(?:public|protected|private|static)\s+)*"
    r"(?!\s*(?:public|private|protected|else|if))\s*(?:<\w+>)?\s*\w+\s+\w+\s*\([^)]*\))"
)
TYPED = (
    r"^\s*((?:(?:public|protected|private|final|static)\s+)*"
    r"(?:int|float|boolean|char|double|String|[A-Z]\w*(?:<\w+>)?)\s+\w+\s*"
)
VARIABLE = TYPED + r"(?:=[^;]*)?;)"
SIMPLE_VARIABLE = TYPED + r";)"
IMPORT = r"^\s*import\s+[\w.*]+\s*;\s*$"
RETURN = r'^\s*return(?:;$|\s+(?:\w+|"[^"]*")\s*;)'
CLASS = (
    r"^\s*(?:(?:public|private|protected)\s+)?(?:(?:final|abstract)\s+)?class\s+(\w+(?:<[^>]*>)?)"
)
TOKENS = st.lists(
    st.sampled_from(
        ["a", "B", "_b", "3", "f(", "f (", ")", "()", "{", ";", "=", ",", " ", "  ", "\t", "\n",
         "\n\n", "\r", "public ", "private\n", "protected ", "static ", "static\n", "final ",
         "final\n", "abstract ", "if", "else", "<T>", "<", ">", "class ", "class A", "class Añ<",
         "import ", "import a.*;", "return", "return;", "return x;", '"', "int ", "int x;",
         "String s", "List<T> l", "T f(", "Édit", "System.out.print", "é", "\u00a0"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


def measured(content: str, rules: RuleSet = "opencoder") -> dict[str, float | None]:
    return of(Source(content, program="java", doc_type="code", rules=rules))


def of(source: Source) -> dict[str, float | None]:
    return {n.removeprefix("qsc_codejava_"): s(source) for n, s in SIGNALS.items()}


def matches(pattern: str, code: str) -> list[str]:
    return regex.findall(pattern, code, regex.MULTILINE)


@settings(deadline=None, max_examples=150)
@given(TOKENS)
def test_counts_are_those_of_plain_patterns(code: str) -> None:
    source = Source(code, program="java", doc_type="code", rules="opencoder")
    source.split = Split(code, "")
    lines = [line for line in code.split("\n") if line.strip()]
    functions, variables = matches(FUNCTION, code), matches(VARIABLE, code)
    classes = matches(CLASS, code)
    simple = sum(len(matches(p, code)) for p in (IMPORT, SIMPLE_VARIABLE, RETURN))

    def share(count: int, total: int = len(lines)) -> float | None:
        return round(count / total, 8) if total else None

    def fit(texts: list[str], second: str) -> float | None:
        return share(sum(bool(regex.match(second, t[1:])) for t in texts), len(texts))

    open_to = sum(bool(regex.search("public|protected|private", text)) for text in functions)
    legal = sum(bool(regex.fullmatch("[A-Z][A-Za-z0-9]*", name)) for name in classes)
    assert of(source) == {
        "cate_var_zero": float(not variables),
        "frac_lines_func_ratio": share(len(functions)),
        "score_lines_no_logic": share(len(functions) + len(classes) + simple),
        "frac_words_no_modifier": share(open_to, len(functions) + len(classes)),
        "frac_words_legal_var_name": fit(variables, "[a-z$]"),
        "frac_words_legal_func_name": fit(functions, "[A-Za-z$]"),
        "frac_words_legal_class_name": share(legal, len(classes)),
        "frac_lines_print": share(sum("System.out.print" in line for line in lines)),
    }


@pytest.mark.parametrize(
    ("code", "functions"),
    [
        ("public static void main(String[] args) {", 1),
        ("public <T> void f(T x) {", 1),
        ("List<T> f() {", 0),
        ("int[] f() {", 0),
        ("public Box(String label) {", 0),
        ("static Box(String label) {", 1),
        ("public static Box(String label) {", 1),
        ("return f(x);", 1),
        ("} else if (x) {", 0),
        ("else if (x) {", 0),
        ("privateer f(x)", 0),
        ("static\nfinal\nint f()", 1),
        ("public\nstatic\nfinal x f()", 0),
        ("int f(", 0),
    ],
)
def test_what_looks_like_a_method(code: str, functions: int) -> None:
    assert measured(code)["frac_lines_func_ratio"] == round(functions / len(code.split("\n")), 8)
    assert len(matches(FUNCTION, code)) == functions


BOX = """\
package demo;

import java.util.List;
import java.util.ArrayList;

/** A box. */
public class Box<T> {
    private final List<T> items = new ArrayList<>();
    private int size;
    String label;

    public Box(String label) {
        this.label = label;
    }

    public void add(T item) {
        items.add(item);
        size = size + 1;
        System.out.println("size " + size);
    }

    int getSize() throws IllegalStateException {
        if (size < 0) {
            throw new IllegalStateException("bad");
        }
        return size;
    }
}
"""


def test_a_box_has_the_values_of_the_released_filter() -> None:
    assert measured(BOX) == {
        "cate_var_zero": 0.0,
        "frac_lines_func_ratio": 0.09090909,
        "score_lines_no_logic": 0.36363636,
        "frac_words_no_modifier": 0.33333333,
        "frac_words_legal_var_name": 1.0,
        "frac_words_legal_func_name": 1.0,
        "frac_words_legal_class_name": 0.0,
        "frac_lines_print": 0.04545455,
    }


def test_our_rules_look_at_names_and_at_missing_access_words() -> None:
    code = BOX.replace("String label;", "String LABEL;").replace(" add(", " Add(")
    found = measured(code, "cookbook")
    assert found["frac_words_no_modifier"] == round(1 / 3, 8)
    assert found["frac_words_legal_var_name"] == round(2 / 3, 8)
    assert found["frac_words_legal_func_name"] == 0.5
    assert found["frac_words_legal_class_name"] == 1.0
    assert measured("void f(Key privateKey) {", "cookbook")["frac_words_no_modifier"] == 1.0


def test_no_code_has_no_shares() -> None:
    found = measured("")
    assert found.pop("cate_var_zero") == 1.0
    assert set(found.values()) == {None}


@settings(deadline=None)
@given(TOKENS)
def test_a_blank_line_more_changes_nothing(code: str) -> None:
    assert measured(code + "\n\n") == measured(code + "\n")
