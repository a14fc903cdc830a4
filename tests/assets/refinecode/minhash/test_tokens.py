"""The compiled tokeniser against slow, independent statements of what a token is."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.refinecode.minhash.params import Unit
from assets.refinecode.minhash.tokens import TABLE_POINTS, Tokens, code_points

UNITS: tuple[Unit, ...] = ("word", "token", "char")
TEXTS = st.one_of(
    st.text(st.sampled_from("abAB01_ .,-\n\tß—字"), max_size=300),
    st.text(st.one_of(st.sampled_from("aK_1 .\n"), st.characters(codec="utf-8")), max_size=60),
)


def lower(text: str) -> str:
    return "".join(c.lower()[0] for c in text)


def reference(text: str, unit: Unit) -> list[str]:
    if unit == "word":
        return re.findall(r"\w+", lower(text))
    if unit == "token":
        return re.findall(r"\w+|[^\w\s]", text)
    return list(re.sub(r"\s+", " ", lower(text.strip())))


def hashes(pieces: list[bytes], unit: Unit, ngram: int = 1, padding: int = 80) -> list[int]:
    """Shingle hashes of one unit made of these pieces; ``padding`` bytes follow in the buffer."""
    text = np.frombuffer(b"".join(pieces) + b"x" * padding, np.uint8)
    ends = np.cumsum([0, *map(len, pieces)])
    last = np.zeros(len(pieces), np.bool_)
    last[-1] = True
    return Tokens(unit, ngram).add(text, ends, last)[0].tolist()


@pytest.mark.parametrize("unit", UNITS)
@given(TEXTS)
@example("x" * 70 + " " + "y" * 9000 + "Ä" * 3000 + " z")
@example("a" * 8 + " " + "a" * 16 + " " + "a" * 17 + " " + "a" * 24 + " a")
@example("\u212a k K İ i ſ s Σς\x1c\x85\u3000 \U000e0041 \x00")
@settings(max_examples=150, deadline=None)
def test_tokens_are_those_of_the_definition(unit: Unit, text: str) -> None:
    names = reference(text, unit)
    found = hashes([text.encode()], unit)
    assert len(found) == len(names)
    assert len({*zip(names, found, strict=True)}) == len({*names}) == len({*found})
    assert found == hashes([text.encode()], unit, padding=0)  # nothing beyond the end is read


@pytest.mark.parametrize("unit", UNITS)
@given(TEXTS, st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_shingles_are_neighbouring_tokens(unit: Unit, text: str, n: int) -> None:
    names = reference(text, unit)
    grams = [tuple(names[i : i + n]) for i in range(len(names) - n + 1)]
    if not grams and names:
        grams = [tuple(names)]
    found = hashes([text.encode()], unit, n)
    assert len(found) == len(grams)
    assert len({*zip(grams, found, strict=True)}) == len({*grams}) == len({*found})


@pytest.mark.parametrize("unit", UNITS)
@given(st.lists(TEXTS, min_size=1, max_size=5), st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_pieces_of_a_unit_are_lines(unit: Unit, pieces: list[str], n: int) -> None:
    found = hashes([piece.encode() for piece in pieces], unit, n)
    assert found == hashes(["\n".join(pieces).encode()], unit, n)


def test_tokens_do_not_depend_on_where_they_lie() -> None:
    token = "Some_token-Überlänge " + "q" * 200
    alone = hashes([token.encode()], "word")
    for before in range(130):
        assert hashes([(" " * before + token).encode()], "word") == alone
    assert hashes([b" " * 4090 + token.encode()], "word") == alone


def test_units_are_apart() -> None:
    texts = [b"a b c", b"a b c", b"", b"..", b".", b"d e f g h i"]
    text, ends = np.frombuffer(b"".join(texts), np.uint8), np.cumsum([0, *map(len, texts)])
    last = np.array([True, False, True, True, False, True])
    found, stops, content = Tokens("word", 5).add(text, ends, last)
    assert stops.tolist() == [1, 1, 2, 2, 2, 4]
    assert found[0] == found[1]  # both have the one shingle of three tokens
    assert np.flatnonzero(content).tolist() == [3]


def test_a_unit_that_ends_later() -> None:
    for pieces in (["a b", "c d e"], ["a"], ["..", "."], ["a b c d e f"]):
        raw = [piece.encode() for piece in pieces]
        tokens = Tokens("word", 3)
        parts = []
        for piece in raw:
            text = np.frombuffer(piece, np.uint8)
            parts += tokens.add(text, np.array([0, len(text)]), np.zeros(1, np.bool_))[0].tolist()
        end, content = tokens.finish()
        assert [*parts, *end.tolist()] == hashes(raw, "word", 3)
        assert bool(content) == (pieces == ["..", "."])
        assert tokens.finish()[1] != content or not content  # a new unit has begun


@pytest.mark.parametrize("unit", UNITS)
def test_invalid_utf8_stays_in_bounds(unit: Unit) -> None:
    for tail in (b"\xf0", b"\xe2\x82", b"\xc3", b"\xff\xfe", b"\x80", b"\xf7\xbf\xbf\xbf"):
        text = np.frombuffer(b"word " + tail, np.uint8)
        assert Tokens(unit, 1).add(text, np.array([0, len(text)]), np.ones(1, np.bool_))[0].size


def test_no_character_of_interest_lies_beyond_the_table() -> None:
    beyond = [chr(point) for point in range(TABLE_POINTS, sys.maxunicode + 1)]
    assert not any(c.isalnum() or c.isspace() for c in beyond)
    assert all(c.lower() == c for c in beyond)


@pytest.mark.parametrize("unit", UNITS)
def test_ascii_white_space_is_the_same_on_both_paths(unit: Unit) -> None:
    table = code_points(unit)
    assert len(table) == TABLE_POINTS
    for point in range(128):
        fast = hashes([f"a{chr(point)}be".encode()], unit)[:-1]
        slow = hashes([f"a{chr(point)}bé".encode()], unit)[:-1]
        assert fast == slow


def test_hashes_of_similar_tokens_do_not_collide() -> None:
    names = [f"{prefix}{i}" for i in range(20_000) for prefix in ("x", "longer_prefix_than_16_")]
    found = hashes([" ".join(names).encode()], "word")
    assert len({*found}) == len(names)
    low = np.array(found, np.uint64).astype(np.uint32)
    # 40,000 random 32-bit numbers share 0.19 values on average.
    assert len(np.unique(low)) >= len(names) - 4
