"""The prepared text: lines, lazy parts, what the natural language changes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters import comments
from assets.refinecode.filters.source import Source


def source(content: str, program: str = "python", **more: str) -> Source:
    return Source(content, program=program, doc_type="code", **more)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=80)
@given(st.text(st.sampled_from("a\n\r \x0b\x85\u2028é")))
def test_lines_end_at_line_feeds_only(text: str) -> None:
    pieces = re.findall(r"[^\n]*\n|[^\n]+", text)
    prepared = source(text)
    assert prepared.lines == [piece.removesuffix("\n") for piece in pieces]
    assert prepared.num_lines == len(pieces)


@settings(deadline=None, max_examples=80)
@given(st.text(st.sampled_from("a#'\n \t\u2003\x85é\"")))
def test_number_of_code_lines_is_that_of_the_lines(text: str) -> None:
    prepared = source(text)
    assert prepared.num_code_lines == len(prepared.code_lines)
    assert all(line.strip() for line in prepared.code_lines + prepared.comment_lines)


def test_each_part_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, ...]] = []
    split = comments.split
    monkeypatch.setattr(comments, "split", lambda *args: (calls.append(args), split(*args))[1])
    prepared = source("x = 1  # one\n", rules="opencoder")
    assert (prepared.code, prepared.comments, prepared.num_code_lines) == ("x = 1  \n", "# one", 1)
    assert calls == [("x = 1  # one\n", "python", "opencoder")]
    assert prepared.memo("key", lambda: len(calls)) == 1
    assert prepared.memo("key", lambda: 6) == 1
    assert len(calls) == 1


def test_tree_is_that_of_the_program_or_none() -> None:
    assert source("x = 1").tree is not None
    assert source("x = = 1").tree is None
    assert source("x", program="c").tree is None


def test_words_and_bytes_of_any_text() -> None:
    prepared = source("Foo_bar \ud800 (ＡＢ)")
    assert prepared.raw_words == ["Foo_bar", "\ud800", "(", "ＡＢ", ")"]
    assert prepared.words == ["foo", "bar", "\ud800", "ab"]
    assert prepared.data.decode("utf-8", "surrogatepass") == prepared.content


def test_seeds_follow_the_text() -> None:
    assert source("a").seeds == source("a").seeds != source("b").seeds
    assert source("").seeds[1] % 2 == 1
