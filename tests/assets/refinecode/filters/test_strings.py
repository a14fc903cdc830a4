"""Strings found by one pass against the regular expressions that say what a string is."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.characters import unicode_classes
from assets.refinecode.filters.strings import (
    lines_with_concatenation,
    long_pieces,
    quoted,
    string_lengths,
)  # fmt: skip
from assets.refinecode.filters.words import wordpunct

ACROSS = re.compile(r"'''(.*?)'''|\"\"\"(.*?)\"\"\"|'(.*?)'|\"(.*?)\"", re.DOTALL)
WITHIN = re.compile(r"'''(.*?)'''|\"\"\"(.*?)\"\"\"|'([^\n]*?)'|\"([^\n]*?)\"", re.DOTALL)
TRIPLE_WITHIN = re.compile(r"'''((?:.|\n)*?)'''|\"\"\"((?:.|\n)*?)\"\"\"|'([^\n]*?)'|\"([^\n]*?)\"")
CONCATENATION = re.compile(r"=\s*[\"'].+[\"']\s*\+\s*[\"'].+[\"']")
texts = st.lists(
    st.sampled_from(
        [
            "'",
            '"',
            "'''",
            '"""',
            "\n",
            " ",
            "a",
            "é",
            "\u2003",
            "=",
            "+",
            "x" * 21,
            ".",
            "\\",
            "中",
            "http://",
            "https://",
            "http://x" + "y" * 20,
        ]
    ),
    max_size=30,
).map("".join)


def bodies(text: str, pattern: re.Pattern[str]) -> list[str]:
    return [body for match in pattern.finditer(text) for body in match.groups() if body]


def found(text: str, across_lines: bool) -> list[str]:
    data = text.encode()
    starts, ends = quoted(data, across_lines)
    return [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]


@settings(deadline=None, max_examples=150)
@given(texts)
def test_strings_are_those_of_the_patterns(text: str) -> None:
    assert found(text, True) == bodies(text, ACROSS)
    assert found(text, False) == bodies(text, WITHIN) == bodies(text, TRIPLE_WITHIN)


@settings(deadline=None, max_examples=150)
@given(texts)
def test_what_is_in_strings_is_counted_as_string_methods_would(text: str) -> None:
    data = text.encode()
    raw = np.frombuffer(data, np.uint8)
    words = [word for body in bodies(text, WITHIN) for word in body.split()]
    long_words = [w for w in words if len(w) > 20 and not re.search(r"https?://\S", w)]
    total = sum(map(len, bodies(text, WITHIN)))
    lengths = string_lengths(raw, *quoted(data, False), unicode_classes(), 20)
    assert lengths == (total, sum(map(len, long_words)))
    lines = [line for body in bodies(text, ACROSS) for line in body.split("\n")]
    expected = sum(len(wordpunct(line)) > 3 for line in lines)
    assert long_pieces(raw, *quoted(data, True), unicode_classes(), 3) == expected


@settings(deadline=None, max_examples=150)
@given(texts)
def test_concatenations_are_those_of_the_pattern(text: str) -> None:
    expected = sum(bool(CONCATENATION.search(line)) for line in text.split("\n"))
    assert lines_with_concatenation(text) == expected


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("x = 'a' + \"b\"", 1),
        ("f('a' + 'b')", 0),
        ("x = '' + 'b'", 0),
        ("x = 'it' + y + 'b' + 'c'", 1),
        ("x = 'a' +\n'b'", 0),
    ],
)
def test_concatenation_examples(line: str, count: int) -> None:
    assert lines_with_concatenation(line) == count


@pytest.mark.parametrize(
    "text",
    [
        "'" * 10**6,
        "'\"" * 500000,
        "''' \"\"\" '" * 100000,
        "'a\n" * 333333,
        "='+" * 333333,
        "'''" + "\"'\n" * 333333,
        "= 'a' + " * 125000,
        "+ " * 500000,
    ],
)
def test_hostile_quotes_take_linear_time(text: str) -> None:
    start = time.process_time()
    quoted(text.encode(), True)
    quoted(text.encode(), False)
    lines_with_concatenation(text)
    assert time.process_time() - start < 1.0
