"""Raw words and sentences against string methods and the pattern of a sentence."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.prose import ProseCounts, count_prose, stop_words
from assets.refinecode.filters.words import wordpunct

SENTENCE = re.compile(r"\b[^.!?。！？؟]+[.!?。！？؟]*")
pieces = st.sampled_from(
    [
        "the",
        "The ",
        "THE",
        " and ",
        "y'all",
        "ß",
        "É",
        "ǅ",
        "Ⅷ",
        "Ⓐ",
        "_",
        "1",
        "\n",
        " ",
        ".",
        "!?",
        "。",
        "؟",
        "【",
        "】",
        "【】",
        "(",
        "\ud800",
        "́",
        "中文",
        "is",
        " of",
        "-",
        "Σ",
    ]
)


@settings(deadline=None, max_examples=150)
@given(st.lists(pieces, max_size=30).map("".join) | st.text(max_size=30))
@example("a")
@example(". a. b")
def test_counts_are_those_of_strings(text: str) -> None:
    words = wordpunct(text)
    expected = ProseCounts(
        words=len(words),
        stop=sum(word in stop_words("en") for word in words),
        capitals=sum(map(str.isupper, words)),
        full_brackets=words.count("【") + words.count("】"),
        sentences=len(SENTENCE.findall(text)),
    )
    data = text.encode("utf-8", "surrogatepass")
    assert count_prose(data, text.isascii(), "en") == expected
    assert count_prose(data, False, "en") == expected


@pytest.mark.parametrize(
    ("language", "size"), [("en", 570), ("fr", 606), ("es", 577), ("it", 619), ("de", 596)]
)
def test_every_stop_word_is_found(language: str, size: int) -> None:
    listed = stop_words(language)
    assert len(listed) == size
    single = [word for word in sorted(listed) if wordpunct(word) == [word]]
    counts = count_prose("\n".join(single).encode(), False, language)
    assert counts.stop == counts.words == len(single)


def test_a_language_without_a_list_has_no_stop_words() -> None:
    assert stop_words("xx") == frozenset()
    assert count_prose(b"the", True, "xx").stop == 0
