"""Repeated lines against a counter of strings."""

from __future__ import annotations

from collections import Counter

from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.lines import (
    LineCounts,
    StrippedLineCounts,
    count_lines,
    count_stripped_lines,
)  # fmt: skip

lines = st.lists(
    st.sampled_from(
        [
            "}",
            "},",
            "} ,",
            "a b",
            "ab",
            "a\tb ",
            " ",
            "",
            "é",
            "é ",
            "\xa0",
            "中",
            "\u2003x",
            "😀",
            "x",
            "\x1c",
            "\x85",
            "return value;",
            "return  value;",
            "éé",
            "12345678",
            "1234567 8",
            "},\r",
        ]
    ),
    max_size=20,
)


@settings(deadline=None, max_examples=150)
@given(lines, st.integers(0, 2**64 - 1))
@example(["12345678\0", "12345678"], 7)
@example([""], 0)
def test_repeated_lines_are_those_of_a_counter(parts: list[str], seed: int) -> None:
    text = "\n".join(parts)
    seen = [line for line in ("".join(part.split()) for part in parts) if line]
    repeated = sum(
        count for line, count in Counter(seen).items()
        if count > 1 and len(line) > 1 and line != "},"
    )  # fmt: skip
    found = count_lines(text.encode(), text.isascii(), seed, seed | 1)
    assert found == LineCounts(len(seen), repeated)


@settings(deadline=None, max_examples=150)
@given(lines, st.integers(0, 2**64 - 1))
@example(["\u2003a b\xa0", "a b", "\u0301 ", "\u0301"], 7)
def test_repeated_stripped_lines_are_those_of_a_counter(parts: list[str], seed: int) -> None:
    text = "\n".join(parts)
    counts = Counter(filter(None, map(str.strip, parts)))
    repeated = {line: count for line, count in counts.items() if count > 1}
    expected = StrippedLineCounts(
        lines=counts.total(),
        chars=sum(len(line) * count for line, count in counts.items()),
        repeated=sum(repeated.values()),
        repeated_chars=sum(len(line) * count for line, count in repeated.items()),
    )
    assert count_stripped_lines(text.encode(), text.isascii(), seed, seed | 1) == expected
