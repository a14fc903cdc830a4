"""Runs of encoded data against the regular expressions that define them."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.encoded import chars_in_hex_numbers, encoded_runs

PATTERNS = [
    re.compile(r"[a-zA-Z0-9+/=\n]{64,}"),
    re.compile(r"(?:\b(?:0x|\\x)?[0-9a-fA-F]{2}(?:,|\b\s*)){8,}"),
    re.compile(r"(?:\\u[0-9a-fA-F]{4}){8,}"),
]
HEX_WORD = re.compile(r"\b0[xX][0-9a-fA-F]+\b")
pieces = st.sampled_from(
    [
        "0x1f,",
        "\\x41",
        "ab ",
        "12\n",
        "7",
        "f",
        "\\u00e9",
        "\\u00e9" * 9,
        "A" * 60,
        "=\n",
        " ",
        "g",
        "é",
        "\u2003",
        ",",
        "0xAB ",
        "0X",
        "_",
        "\\",
        "x",
        "de ad be ef ",
        "00,11,22,33,44,55,",
    ]
)
texts = st.lists(pieces, max_size=40).map("".join)


def expected_runs(text: str) -> tuple[int, int]:
    lengths = [len(match[0]) for pattern in PATTERNS for match in pattern.finditer(text)]
    return max(lengths, default=0), sum(lengths)


@settings(deadline=None, max_examples=150)
@given(texts)
@example("a" + "\\x41" * 9)
@example("0x12\u200312 " * 4 + "é12" * 9)
@example("12,34,56,78,90,ab,cd,ef12 " * 3)
def test_runs_are_those_of_the_patterns(text: str) -> None:
    data = text.encode()
    assert encoded_runs(data, text.isascii()) == expected_runs(text)
    assert encoded_runs(data, False) == expected_runs(text)
    numbers = sum(len(match[0]) for match in HEX_WORD.finditer(text))
    assert chars_in_hex_numbers(data, text.isascii()) == numbers


@pytest.mark.parametrize(
    ("text", "runs"),
    [("A" * 63, (0, 0)), ("A" * 64, (64, 64)), ("ab " * 8, (24, 24)), ("0xab," * 7, (0, 0))],
)
def test_shortest_runs(text: str, runs: tuple[int, int]) -> None:
    assert encoded_runs(text.encode(), True) == runs


@pytest.mark.parametrize(
    "piece", ["12 ", "\\x", "0x", "\\u12", "A" * 63 + " ", "ab,", "0xf", "12" + " " * 999]
)
def test_hostile_runs_take_linear_time(piece: str) -> None:
    data = (piece * (10**6 // len(piece))).encode()
    encoded_runs(data, True)
    start = time.process_time()
    encoded_runs(data, True)
    chars_in_hex_numbers(data, True)
    assert time.process_time() - start < 0.5
