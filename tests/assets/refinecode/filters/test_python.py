"""Python signals on known files, and comments against the tokenizer of the interpreter."""

from __future__ import annotations

import ast
import io
import sys
import time
import tokenize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.python import SIGNALS, comment_text, parse
from assets.refinecode.filters.source import Source

LEDGER = '''# -*- coding: utf-8 -*-
"""Tiny ledger module.

TODO: add currency support
"""
import math  # maths helpers
import os

# TODO one
# FIXME two
RATE = 0.25


class Ledger(object):
    """Holds entries."""
    limit = 100
    name: str = "main"

    def __init__(self, path):
        self.path = path
        self.rows = []

    def add(self, amount):
        if amount > self.limit:
            pass
        self.rows.append(amount)
        return amount

    def total(self):
        return sum(self.rows)


def password_hint(user):
    print("hint for", user)
    return os.path.join("hints", user)


for i in range(3):
    assert i < 3
'''


def source_of(content: str) -> Source:
    return Source(content, program="python", doc_type="code", rules="opencoder")


def measured(content: str) -> dict[str, float | None]:
    source = source_of(content)
    return {name.removeprefix("qsc_codepython_"): s(source) for name, s in SIGNALS.items()}


def test_known_file() -> None:
    assert measured(LEDGER) == {
        "cate_ast": 1.0,
        "frac_lines_func_ratio": 0.19047619,
        "cate_var_zero": False,
        "frac_lines_pass": 0.0952381,
        "frac_lines_import": 0.0952381,
        "frac_lines_simplefunc": 1 / 21,
        "score_lines_no_logic": 0.57142857,
        "frac_lines_print": 0.04761905,
    }


def test_empty_file_parses_and_has_no_lines() -> None:
    assert measured("") == {
        "cate_ast": 1.0,
        "frac_lines_func_ratio": None,
        "cate_var_zero": True,
        "frac_lines_pass": 0.0,
        "frac_lines_import": 0.0,
        "frac_lines_simplefunc": None,
        "score_lines_no_logic": None,
        "frac_lines_print": None,
    }


def test_python_2_does_not_parse_but_its_lines_count() -> None:
    found = measured('print "hello"\nx = 1\nexec "y=2"\n# a comment\n')
    assert found["cate_ast"] == 0.0
    assert found["frac_lines_print"] == 0.33333333
    assert found["frac_lines_func_ratio"] is None
    assert found["cate_var_zero"] is None
    assert found["score_lines_no_logic"] is None


@pytest.mark.parametrize(
    ("code", "is_zero"),
    [
        ("a = 1", False),
        ("a, b = 1, 2", True),
        ("a: int = 1", True),
        ("a += 1", True),
        ("a.b = c[0] = 1", True),
        ("for x in y: pass", False),
        ("for x, z in y: pass", True),
        ("print([x for x in y])", True),
        ("def f(a): pass", False),
        ("def f(*, a, **b): pass", True),
        ("def f(a, /): pass", True),
        ("async def f(a): pass", True),
        ("print(lambda a: 0)", True),
        ("try:\n  pass\nexcept E:\n  with b:\n    a = 1", False),
        ("match b:\n  case 1:\n    a = 1", False),
        ("try:\n  pass\nfinally:\n  a = 1", False),
        ("while b:\n  pass\nelse:\n  a = 1", False),
    ],
)
def test_names_that_are_variables(code: str, is_zero: bool) -> None:
    assert measured(code)["cate_var_zero"] is is_zero


def test_functions_are_found_at_any_depth_but_class_names_only_outside_classes() -> None:
    code = (
        "if a:\n  def f(): return 1\n  async def g():\n    def h(): return 2\n"
        "class A:\n  x = y = 1\n  class B:\n    z = 1\n    def i(self):\n      return 3\n"
    )
    found = measured(code)
    assert found["frac_lines_func_ratio"] == 0.3
    assert found["frac_lines_simplefunc"] == 3 / 10
    assert found["score_lines_no_logic"] == 0.8  # 3 functions, 2 classes, x and y, 1 line "return"


def test_docstrings_then_comments() -> None:
    expected = (
        "Holds entries.\nTiny ledger module.\n\nTODO: add currency support\n"
        " -*- coding: utf-8 -*- maths helpers TODO one FIXME two"
    )
    assert comment_text(source_of(LEDGER)) == expected


def tokenizer_comments(text: str) -> str:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    except (tokenize.TokenError, IndentationError):
        return ""
    return "".join(token.string for token in tokens if token.type == tokenize.COMMENT)


PIECES = st.lists(
    st.sampled_from(
        ['"""', "'''", '"', "'", "\\", "\\\n", "#", "# c\n", "(", ")", "[", "{", "}", "\n", " ",
         "  ", "\t", "\f", "\r", "\r\n", "x", "f", "rb", "1", "=", ":", "if x:\n", "é", "\0"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="compares with the tokenizer of 3.11")
@settings(deadline=None, max_examples=200)
@given(PIECES)
def test_comments_are_those_of_the_tokenizer(text: str) -> None:
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        docstring = ""
    else:
        docstring = ast.get_docstring(module) or ""
    expected = (docstring + "\n" + tokenizer_comments(text).replace("#", "")).strip()
    assert comment_text(source_of(text)) == expected


@settings(deadline=None, max_examples=200)
@given(st.text() | PIECES)
def test_any_text_gives_values_in_range(text: str) -> None:
    for name, value in measured(text).items():
        assert value is None or value >= 0
        if name.startswith("frac_lines_") and name != "frac_lines_func_ratio":
            assert value is None or value <= 1


@settings(deadline=None, max_examples=200)
@given(PIECES.map(lambda text: text + "\n") | st.just(LEDGER))
def test_a_blank_line_changes_nothing(text: str) -> None:
    if parse(source_of(text)) is None:
        return
    assert measured(text + "\n") == measured(text)


def test_a_text_of_too_many_tokens_counts_as_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.refinecode.filters.python.MAX_PARSED_TOKENS", 100)
    assert parse(source_of("a=b\n" * 25)) is not None
    assert parse(source_of("a=b\n" * 26)) is None
    assert parse(source_of("a = b_1.c1  # word\n" * 11)) is not None  # nine tokens a line
    assert parse(source_of("a = b_1.c1  # word\n" * 12)) is None


@pytest.mark.parametrize(
    "text",
    [
        "(" * 300_000,
        "[" * 100,
        "a+" * 200_000 + "a",
        "a" + ".b" * 200_000,
        "-" * 300_000 + "1",
        "lambda:" * 60_000 + "1",
        "not " * 90_000 + "a",
        "'''" * 111_111,
        "\\'" * 200_000,
        'x="\\"' * 80_000,
        "x = '" + "a" * 300_000,
        "\r" * 150_000 + "#",
        "a,\n" * 450_000,
        "\0",
        "\ud800",
    ],
)
def test_hostile_texts_are_soon_done(text: str) -> None:
    started = time.process_time()
    source = source_of(text)
    tree = parse(source)
    comment_text(source)
    assert tree is None or isinstance(tree, ast.Module)
    assert time.process_time() - started < 3
