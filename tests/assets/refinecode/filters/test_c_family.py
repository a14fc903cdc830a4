"""C and C++ signals against plain patterns that may look at a place many times."""

from __future__ import annotations

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.c_family import SIGNALS, count_functions
from assets.refinecode.filters.comments import Split
from assets.refinecode.filters.source import RuleSet, Source

NAME = r"[A-Za-z_]\w*"
FUNCTION = rf"\b(?:{NAME}\s*\**\s+)+\*?\s*{NAME}\([^)]*\)\s*"
INCLUDE = r'^\s*#\s*include\s+[<"][^">]*[>"]'
CLASS = rf"^\s*class\s+{NAME}\s*(?::[^{{]*)?\{{"
SIMPLE_VARIABLE = (
    rf"^\s*(?:unsigned\s+)?(?:int|float|double|char|bool|std::string|auto)\s+{NAME}\s*;"
)
SIMPLE_RETURN = r"""^\s*return(?:\s+(?:\w+|"[^"]*"|'[^']*'))?\s*;\s*$"""
VARIABLE = (
    r"\b\w+\s+(?:\w+\s+)?\**\s*[\w\[\]]+\s*(?:=[^;]*)?"
    r"(?:,\s*\**[\w\[\]]+\s*(?:=[^;]*)?)*;"
)
MAIN = r"\bmain\s*\([^)]*\)\s*\{"
DIRECTIVE = (
    r"#\s*(?:include|define|ifdef|ifndef|if|else|elif|endif|error|pragma|warning|undef|line)"
    r"|struct|using"
)
TOKENS = st.lists(
    st.sampled_from(
        ["a", "_b", "3", "f(", "f (", ")", "()", "{", "}", ";", ":", "=", ",", "[2]", "*", "**",
         " ", "  ", "\t", "\n", "\n\n", "\r", "\f", "class", "class A", "int", "unsigned ",
         "std::string", "auto x", "return", "return 0;", "main", " main(", "main() {", "#",
         "# include", "#include <", '"', "'", ">", "<a.h>", "#if", "#define", "struct", "using",
         "goto", "printf", "cout", "else if", "é", "²", "\u00a0", "\u2028", "\x1c"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


def measured(
    content: str, program: str = "c", extension: str = "", rules: RuleSet = "opencoder"
) -> dict[str, float | None]:
    source = Source(content, program=program, doc_type="code", extension=extension, rules=rules)
    return of(source)


def of(source: Source) -> dict[str, float | None]:
    own = f"qsc_code{source.program}_"
    return {n.removeprefix(own): s(source) for n, s in SIGNALS.items() if n.startswith(own)}


def matches(pattern: str, code: str) -> int:
    return len(regex.findall(pattern, code, regex.MULTILINE))


@settings(deadline=None, max_examples=150)
@given(TOKENS, st.sampled_from(["c", "cpp"]))
def test_counts_are_those_of_plain_patterns(code: str, program: str) -> None:
    source = Source(code, program=program, doc_type="code")
    source.split = Split(code, "")
    found = of(source)
    lines = [line for line in code.split("\n") if line.strip()]

    def share(count: int) -> float | None:
        return round(count / len(lines), 8) if lines else None

    functions = matches(FUNCTION, code)
    simple = (INCLUDE, CLASS, SIMPLE_VARIABLE, SIMPLE_RETURN)
    prints = ("printf", "cout") if program == "cpp" else ("printf",)
    assert found == {
        "frac_lines_func_ratio": share(functions),
        "cate_bitsstdc": 0.0,
        "nums_lines_main": matches(MAIN, code),
        "frac_lines_goto": share(sum("goto" in line for line in lines)),
        "cate_var_zero": float(regex.search(VARIABLE, code) is None),
        "score_lines_no_logic": share(functions + sum(matches(p, code) for p in simple)),
        "frac_lines_print": share(sum(any(p in line for p in prints) for line in lines)),
        "frac_lines_preprocessor_directives": share(
            sum(regex.search(DIRECTIVE, line) is not None for line in lines)
        ),
    }


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("int f(void);", 1),
        ("int *f(void);", 1),
        ("int * f(void);", 1),
        ("int** f(void);", 1),
        ("int* *f(void);", 1),
        ("int** *f(void);", 1),
        ("int **f(void);", 0),
        ("int* **f(void);", 0),
        ("int* * *f(void);", 0),
        ("int*f(void);", 0),
        ("int f (void);", 0),
        ("f(x);", 0),
        ("return f(g(h i(1)));", 1),
        ("return f(x) + g h(x);", 2),
        ("3 f(x); 3a f(x); a3 f(x); a 3f(x)", 1),
        ("} else if(x)", 1),
        ("int f(", 0),
        ("int f(int\n  g(x)\n)", 1),
        ("a\n\n  b()", 1),
    ],
)
def test_what_looks_like_a_function(code: str, count: int) -> None:
    assert count_functions(code.encode()) == count == matches(FUNCTION, code)


STACK = """\
/* Stack of ints.
 * TODO: grow */
#include <stdio.h>
#include "stack.h"
#define CAP 0x10

struct stack { int top; int data[CAP]; };

static int push(struct stack *s, int v)
{
    if (s->top == CAP) goto full;
    s->data[s->top++] = v; // store
    return 0;
full:
    printf("stack is full %d\\n", v);
    return -1;
}

int main(void) {
    struct stack s;
    int n;
    unsigned int flags = 0xFF;
    s.top = 0;
    for (n = 0; n < 20; n++) push(&s, n);
    return 0;
}
"""


def test_a_stack_has_the_values_of_the_released_filter() -> None:
    assert measured(STACK) == {
        "frac_lines_func_ratio": 0.1,
        "cate_bitsstdc": 0.0,
        "nums_lines_main": 1,
        "frac_lines_goto": 0.05,
        "cate_var_zero": 0.0,
        "score_lines_no_logic": 0.3,
        "frac_lines_print": 0.05,
        "frac_lines_preprocessor_directives": 0.3,
    }
    assert measured(STACK, extension="h")["frac_lines_preprocessor_directives"] is None


def test_the_header_of_everything_only_near_the_start() -> None:
    assert measured("\n\n#include <Bits/stdc++.h>\n")["cate_bitsstdc"] == 1.0
    assert measured("int a;\n" * 40 + "#include <bits/stdc++.h>\n")["cate_bitsstdc"] == 0.0


def test_no_code_has_no_shares() -> None:
    found = measured("", "cpp")
    assert (found.pop("nums_lines_main"), found.pop("cate_bitsstdc")) == (0, 0.0)
    assert found.pop("cate_var_zero") == 1.0
    assert set(found.values()) == {None}


@settings(deadline=None)
@given(TOKENS, st.sampled_from(["c", "cpp"]))
def test_a_blank_line_more_changes_nothing(code: str, program: str) -> None:
    assert measured(code + "\n\n", program) == measured(code + "\n", program)
