"""The table of character classes against Python's own opinion of every code point."""

from __future__ import annotations

import re
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.characters import (
    CASED,
    DIGIT,
    LETTER,
    NORMAL,
    REWRITTEN,
    SPACE,
    UPPER,
    WORD,
    CharacterCounts,
    ascii_classes,
    count_characters,
    unicode_classes,
)  # fmt: skip
from assets.refinecode.filters.words import normalise, wordpunct

#: Beyond the first three planes there is nothing but the variation selectors of plane 14.
POINTS = [*range(0x33000), *range(0xE0000, 0xE1000)]


def test_table_says_what_python_says_of_every_character() -> None:
    classes = unicode_classes().tolist()
    assert len(classes) == sys.maxunicode + 1
    assert classes[:128] == ascii_classes().tolist()
    for point in POINTS:
        character = chr(point)
        kind = SPACE if character.isspace() else WORD if character.isalnum() else 0
        letter = LETTER if character.isalpha() else 0
        digit = DIGIT if character.isdigit() else 0
        if character == "_":
            kind = WORD
        upper = UPPER if character.isupper() else 0
        cased = CASED if character.islower() or (character.istitle() and not upper) else 0
        found = classes[point] & ~(7 << NORMAL)
        assert found == kind | letter | digit | upper | cased, hex(point)


def test_a_character_that_is_not_rewritten_makes_the_words_its_class_says() -> None:
    classes = unicode_classes().tolist()
    for point in POINTS:
        normal = classes[point] >> NORMAL & 7
        if normal == REWRITTEN:
            continue
        character = chr(point)
        expected = [normalise(character)] if normal in (0, WORD) else []
        assert wordpunct(normalise(character)) == expected, hex(point)
        if point > 127 and expected:
            assert expected == [character]
            assert not unicodedata.combining(character)


def test_the_other_planes_are_signs_that_nothing_changes() -> None:
    others = sorted(set(range(sys.maxunicode + 1)) - set(POINTS))
    assert not unicode_classes()[others].any()
    text = "".join(map(chr, others))
    assert re.search(r"[\w\s]", text) is None
    assert text.lower() == text == unicodedata.normalize("NFKC", text)


@settings(deadline=None, max_examples=80)
@given(st.text())
def test_counts_are_those_of_string_methods(text: str) -> None:
    lines = text.split("\n")
    expected = CharacterCounts(
        spaces=sum(map(str.isspace, text)),
        letters=sum(map(str.isalpha, text)),
        digits=sum(map(str.isdigit, text)),
        replacements=text.count("\ufffd"),
        longest_line=max([len(line) + 1 for line in lines[:-1]] + [len(lines[-1])]),
    )
    assert count_characters(text.encode("utf-8", "surrogatepass"), False) == expected


@settings(deadline=None, max_examples=80)
@given(st.text(st.characters(max_codepoint=127)))
def test_both_ways_of_counting_agree_on_ascii(text: str) -> None:
    assert count_characters(text.encode(), True) == count_characters(text.encode(), False)


@pytest.mark.parametrize("text", ["", "\n", "a", "\ud800", "\U0010ffff\n\x00"])
def test_edges(text: str) -> None:
    count_characters(text.encode("utf-8", "surrogatepass"), text.isascii())
