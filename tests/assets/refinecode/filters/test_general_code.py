"""General code signals: golden values of the released filters, edges, bounds."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.general_code import SIGNALS
from assets.refinecode.filters.source import RuleSet, Source

#: Signals that are None or another constant for a text without words, lines or code.
ZERO = dict.fromkeys((name.removeprefix("qsc_code_") for name in SIGNALS), 0.0)


def measure(
    content: str, program: str = "python", rules: RuleSet = "opencoder", language: str = "en"
) -> dict[str, float | None]:
    size = len(content.encode("utf-8", "surrogatepass"))
    source = Source(
        content, program=program, doc_type="code", filename="x", size_bytes=size, rules=rules,
        natural_language=language,
    )  # fmt: skip
    return {name.removeprefix("qsc_code_"): signal(source) for name, signal in SIGNALS.items()}


PRINTS = 'print "hello"\nx = 1\nexec "y=2"\n# a comment\n'
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
STACK = r"""/* Stack of ints.
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
    printf("stack is full %d\n", v);
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
PAGE = """<!DOCTYPE html>
<html><head><title>Hi</title><style>p { color: red }</style>
<script>var secret = "not text";</script></head>
<body><!-- note TODO --><p>Hello <b>world</b>, this is a short paragraph of visible text.</p>
<p>Another line with &amp; entity.</p></body></html>
"""
REPEATS: Mapping[str, float] = {
    "num_words": 6, "num_chars": 12, "mean_word_length": 1.0, "frac_words_unique": 0.16666667,
    "frac_chars_top_2grams": 1.66666667, "frac_chars_top_3grams": 2.0, "frac_chars_top_4grams": 2.0,
    "frac_chars_dupe_5grams": 1.0, "frac_chars_whitespace": 0.5, "size_file_byte": 12,
    "num_lines": 1, "num_chars_line_max": 12, "num_chars_line_mean": 12.0,
    "frac_chars_alphabet": 1.0,
}  # fmt: skip
EMPTY: Mapping[str, float | None] = {
    "mean_word_length": None, "frac_words_unique": None, "frac_chars_replacement_symbols": None,
    "frac_chars_comments": None, "frac_lines_dupe_lines": None, "frac_lines_long_string": None,
    "frac_lines_string_concat": None, "frac_lines_prompt_comments": None,
    "frac_lines_assert": None, "frac_chars_digital": 1.0, "frac_chars_whitespace": 1.0,
}  # fmt: skip
GOLDEN_VALUES: list[tuple[str, str, Mapping[str, float | None]]] = [
    ("python", "a a a a a a\n", REPEATS),
    ("python", "", EMPTY),
    ("python", PRINTS, {
        "num_words": 9, "num_chars": 43, "mean_word_length": 2.88888889, "frac_words_unique": 1.0,
        "frac_chars_digital": 0.06060606, "frac_chars_whitespace": 0.23255814,
        "size_file_byte": 43, "num_lines": 4, "num_chars_line_max": 14,
        "num_chars_line_mean": 10.75, "frac_chars_alphabet": 0.72727273,
        "frac_chars_comments": 0.20930233, "frac_chars_string_length": 0.25,
    }),
    ("python", LEDGER, {
        "num_words": 86, "num_chars": 637, "mean_word_length": 4.19767442,
        "frac_words_unique": 0.62790698, "frac_chars_top_2grams": 0.06648199,
        "frac_chars_top_3grams": 0.06094183, "frac_chars_digital": 0.02004454,
        "frac_chars_whitespace": 0.29513344, "size_file_byte": 637, "num_lines": 39,
        "num_chars_line_max": 39, "num_chars_line_mean": 16.33333333,
        "frac_chars_alphabet": 0.78396437, "frac_chars_comments": 0.18524333,
        "frac_chars_string_length": 0.03373016, "frac_lines_prompt_comments": 0.05128205,
        "frac_lines_assert": 0.04761905,
    }),
    ("c", STACK, {
        "num_words": 79, "num_chars": 473, "mean_word_length": 3.26582278,
        "frac_words_unique": 0.46835443, "frac_chars_top_2grams": 0.12790698,
        "frac_chars_top_3grams": 0.09302326, "frac_chars_top_4grams": 0.11627907,
        "frac_chars_digital": 0.03206997, "frac_chars_whitespace": 0.27484144,
        "size_file_byte": 473, "num_lines": 26, "num_chars_line_max": 42,
        "num_chars_line_mean": 18.19230769, "frac_chars_alphabet": 0.72011662,
        "frac_chars_comments": 0.09090909, "frac_chars_string_length": 0.05813953,
        "frac_chars_hex_words": 0.01860465, "frac_lines_prompt_comments": 0.03846154,
    }),
    ("html", PAGE, {
        "num_words": 45, "num_chars": 273, "mean_word_length": 3.91111111,
        "frac_words_unique": 0.71111111, "frac_chars_whitespace": 0.10989011,
        "size_file_byte": 273, "num_lines": 5, "num_chars_line_max": 94,
        "num_chars_line_mean": 54.6, "frac_chars_alphabet": 0.72427984,
        "frac_chars_comments": 0.06593407, "frac_chars_string_length": 0.03137255,
        "frac_lines_prompt_comments": 0.2,
    }),
]  # fmt: skip


@pytest.mark.parametrize(("program", "content", "expected"), GOLDEN_VALUES)
def test_golden_values(program: str, content: str, expected: Mapping[str, float | None]) -> None:
    found = measure(content, program)
    for name, value in expected.items():
        assert found[name] == value, name
    ngrams = {name for name in ZERO if "grams" in name}
    for name in ZERO.keys() - expected.keys():
        if name not in ngrams or content == REPEATS:
            assert found[name] == 0.0, name


def test_a_program_without_a_lexer_has_no_code_after_the_first_line_comment() -> None:
    found = measure("# c1\ncode one\n// c2\nmore code\n", "assembly")
    assert found["frac_chars_comments"] == 1.0
    names = (
        "frac_lines_dupe_lines", "frac_lines_long_string", "frac_chars_string_length",
        "frac_chars_long_word_length", "frac_lines_string_concat", "frac_chars_hex_words",
        "frac_lines_assert",
    )  # fmt: skip
    assert [found[name] for name in names] == [None] * len(names)


@pytest.mark.parametrize(
    ("head", "generated"),
    [("# Generated by x", 1.0), ("# AutoGen", 1.0), ("x" * 190 + "DO NOT EDIT", 0.0), ("", 0.0)],
)
def test_generated_files_say_so_in_the_first_200_characters(head: str, generated: float) -> None:
    assert measure(head)["cate_autogen"] == generated


def test_xml_declarations_count_at_the_start_only() -> None:
    assert measure("<?xml version='1.0'?>", "xml")["cate_xml_start"] == 1.0
    assert measure(" " * 90 + "<?xml version='1.0'?>", "xml")["cate_xml_start"] == 0.0


def test_lines_count_once_however_often_they_say_it() -> None:
    found = measure("assert x\nassertassert\nPASS = 1\n# todo fixme todo\nmastodon = 1 # Todo\n")
    assert found["frac_lines_assert"] == 0.5
    # The two comments have no line between them.
    assert found["frac_lines_prompt_comments"] == 0.2
    fixed = measure("x = 1 # todo\n# todo fixme todo\n", rules="cookbook")
    assert fixed["frac_lines_prompt_comments"] == 1.0


@pytest.mark.parametrize(
    ("content", "encoded"),
    [
        ("x = 1\n" + "QUJD" * 256, 1.0),
        ("some words, " * 20 + "QUJD" * 20, 0.0),
        ("QUJD" * 20 + " words", 1.0),
        ("x\\x41" + "\\x41" * 400, 1.0),
        ('"' + "\\u00e9" * 9 + '"', 1.0),
    ],
)
def test_encoded_data_is_one_long_run_or_half_of_the_file(content: str, encoded: float) -> None:
    assert measure(content, "text")["cate_encoded_data"] == encoded


def test_strings_of_chinese_files_are_cut_into_words_by_its_tokenizer() -> None:
    pytest.importorskip("jieba")
    content = 's = "' + "我们今天去北京大学学习中文" * 5 + '"\n'
    assert measure(content, language="zh")["frac_lines_long_string"] == 1.0
    assert measure(content, language="en")["frac_lines_long_string"] == 0.0


@settings(deadline=None, max_examples=80)
@given(st.text(st.sampled_from("ab1'\"=+#\n \té中0xF\\u\ud800\x00/*")), st.sampled_from("ab"))
def test_any_text_gives_values_in_range(text: str, which: str) -> None:
    found = measure(text, "c" if which == "a" else "python")
    assert found["num_words"] is not None
    unbounded = re.compile("num|mean|size|top|long_string|comments")
    for name, value in found.items():
        assert value is None or value >= 0, name
        if not unbounded.search(name) and value is not None:
            assert value <= 1, name


HOSTILE = [
    "a " * 500_000, "'" * 10**6, "\n" * 10**6, "x" * 10**6, "'''\"\"\"" * 160_000, "0x" * 500_000,
    "ab, " * 250_000, "= 'a' + " * 125_000, "\x00" * 10**6, "\ud800 " * 300_000,
    "\u0301" * 200_000 + "\u0327" * 200_000, "é\u0301Σ" * 200_000, " \u0301" * 300_000,
    "".join(f"w{i} " for i in range(130_000)),
]  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_megabytes_are_measured_in_a_second(content: str) -> None:
    source = Source(content, program="assembly", doc_type="code", size_bytes=10**6)
    source.code, source.comments = content, content
    start = time.process_time()
    for signal in SIGNALS.values():
        signal(source)
    assert time.process_time() - start < 1.0
