"""Words made from bytes against the plain definition on strings."""

from __future__ import annotations

import re
import string
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.source import Source
from assets.refinecode.filters.words import normalise, word_hashes, word_statistics, wordpunct

#: Characters on which the steps of normalising depend on each other.
TRICKY = (
    "aZ09_ \t\n\r\x00\x08\x0b\x0e\x1b\x1c\x7f.,'-é\u0301\u0327ΣσςİKßſ。、＿Ａａ！【】“”￥¥"
    "\u2009\u200b\u202c\u2028"
    "\xa0\x85\ufeff½…ﬁ℡①가\u1100\u1161\u11a8中\u3099か゛\ud800\U0001d400\U00020000٣𝟘"
)
texts = st.text(st.sampled_from(TRICKY), max_size=40) | st.text(max_size=40)


def plain_words(text: str) -> list[str]:
    """The definition, step by step and line by line."""
    wide = {0xFF01 + i: chr(0x21 + i) for i in range(94)}
    wide |= dict(zip(map(ord, "。、=《》【】「」“”￥‘’"), ".,=\"\"[]''\"\"¥''", strict=True))
    words = []
    for line in text.split("\n"):
        line = re.sub("[\x00-\x07\x0e-\x1a\x1c-\x1f\u202c]", "", line)
        line = re.sub("[\u2009\u200b]", " ", line).translate(wide)
        line = line.translate({ord(sign): " " for sign in string.punctuation}).lower().strip()
        line = unicodedata.normalize("NFKC", re.sub(r"\s+", " ", line))
        words += re.findall(r"\w+|[^\w\s]+", line)
    return words


def check(text: str) -> None:
    expected = plain_words(text)
    data = text.encode("utf-8", "surrogatepass")
    hashes, lengths = word_hashes(text, data, text.isascii(), 0x9E3779B97F4A7C15)
    assert lengths.tolist() == list(map(len, expected))
    # One hash for each word, one word for each hash.
    assert len(set(zip(expected, hashes.tolist(), strict=True))) == len(set(expected))
    assert len(set(hashes.tolist())) == len(set(expected))
    assert wordpunct(normalise(text)) == expected


@settings(deadline=None, max_examples=80)
@given(texts)
@example("ΑΣ ΑΣ\u200bΑΣ.Σ")
@example("a\x1bb _x\x7f")
@example("e\u202c\u0301 e\x00\u0301")
@example("\u0301 中\n\u0301")
def test_words_are_those_of_the_definition(text: str) -> None:
    check(text)


@settings(deadline=None, max_examples=80)
@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_and_unicode_paths_agree(text: str) -> None:
    one = word_hashes(text, text.encode(), True, 12345678901234567)
    two = word_hashes(text, text.encode(), False, 12345678901234567)
    assert one[0].tolist() == two[0].tolist()
    assert one[1].tolist() == two[1].tolist()
    check(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("snake_case CamelCase x2", ["snake", "case", "camelcase", "x2"]),
        ("a+b\n--c", ["a", "b", "c"]),
        ("ＦＵＬＬ，ｗｉｄｔｈ", ["full", "width"]),
        ("½ …", ["1", "⁄", "2", "..."]),
        ("", []),
    ],
)
def test_examples(text: str, words: list[str]) -> None:
    assert wordpunct(normalise(text)) == words
    check(text)


def test_statistics_do_not_depend_on_how_words_are_named() -> None:
    source = Source("b a b a\nb a c", program="c", doc_type="code")
    statistics = word_statistics(source)
    assert (statistics.words, statistics.unique, statistics.chars) == (7, 3, 7)
    assert statistics.top == {2: 2 * 3, 3: 3 * 2, 4: 4 * 2}
    assert word_statistics(source) is statistics
