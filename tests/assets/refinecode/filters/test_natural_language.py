"""Natural-language signals: golden values of the released filters, plain references, bounds."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.natural_language import SIGNALS
from assets.refinecode.filters.source import Source

README = """# Title

Some text here. Is it fine? Yes!
- item one (http://example.com/a)
- item two <b>bold</b>
• bullet line
See more...
{curly}
THE END OF ALL
0xFF 12345
"""


def prepare(content: str, language: str = "en", filename: str = "README") -> Source:
    return Source(
        content, program="markdown", doc_type="text", filename=filename, natural_language=language
    )


def measure(
    content: str, language: str = "en", filename: str = "README"
) -> dict[str, float | None]:
    source = prepare(content, language, filename)
    return {name.removeprefix("qsc_doc_"): signal(source) for name, signal in SIGNALS.items()}


def test_golden_values() -> None:
    expected = {
        "frac_chars_curly_bracket": 0.01257862, "frac_words_redpajama_stop": 0.20408163,
        "num_sentences": 6, "num_words": 31, "num_chars": 159, "num_lines": 10,
        "mean_word_length": 3.41935484, "frac_lines_end_with_readmore": 0.1,
        "frac_lines_start_with_bullet": 0.1, "frac_words_unique": 0.93548387,
        "entropy_unigram": 3.34454886, "frac_words_all_caps": 0.08163265,
        "cate_code_related_file_name": 1.0, "num_chars_sentence_length_mean": 7.88888889,
        "frac_chars_hyperlink_html_tag": 0.18238994, "frac_chars_alphabet": 0.76744186,
        "frac_chars_digital": 0.04651163, "frac_chars_whitespace": 0.18867925,
        "frac_chars_hex_words": 0.02515723,
    }  # fmt: skip
    found = measure(README)
    assert len(found) == 32
    assert {name: value for name, value in found.items() if value} == expected
    assert set(found.values()) - set(expected.values()) == {0.0}


def test_nothing_is_defined_for_an_empty_text() -> None:
    found = measure("")
    none = {name for name, value in found.items() if value is None}
    assert none == {
        "mean_word_length", "frac_words_full_bracket", "frac_lines_end_with_readmore",
        "frac_lines_start_with_bullet", "frac_words_unique", "entropy_unigram",
        "frac_words_all_caps", "frac_lines_dupe_lines", "frac_chars_dupe_lines",
        "frac_chars_replacement_symbols", "frac_chars_hyperlink_html_tag", "frac_chars_hex_words",
    }  # fmt: skip
    assert (found["frac_chars_digital"], found["frac_chars_whitespace"]) == (1.0, 1.0)
    assert found["frac_chars_alphabet"] == found["frac_words_redpajama_stop"] == 0.0


@settings(deadline=None, max_examples=150)
@given(
    st.text(st.sampled_from("ab .!?。\n(<>)/ é>")).map(lambda text: text.replace("/", "(http://"))
)
def test_links_and_tags_are_those_of_the_patterns(text: str) -> None:
    found = measure(text)
    links = re.findall(r"\(https?://\S+\)", text) + re.findall(r"<.*?>", text)
    expected = round(sum(map(len, links)) / len(text), 8) if text else None
    assert found["frac_chars_hyperlink_html_tag"] == expected
    pieces = re.split(r"[.?!\n]", text)
    mean = round(sum(map(len, pieces)) / len(pieces), 8)
    assert found["num_chars_sentence_length_mean"] == mean


def test_links_end_at_the_last_parenthesis_before_white_space() -> None:
    text = "(https://a.b/(c))x (http://) (http://no end (http://a)"
    length = len("(https://a.b/(c))") + len("(http://a)")
    assert measure(text)["frac_chars_hyperlink_html_tag"] == round(length / len(text), 8)


@pytest.mark.parametrize(
    ("line", "more"),
    [
        ("and so on ...", 1.0),
        ("[查看更多]  ", 1.0),
        ("more", 0.0),
        ("もっと読む", 1.0),
        ("…)>", 1.0),
    ],
)
def test_lines_that_promise_more(line: str, more: float) -> None:
    assert measure(line)["frac_lines_end_with_readmore"] == more


def test_bullets_are_characters_not_dashes() -> None:
    assert measure("• a\n - b\n * c\n\u25d7 d")["frac_lines_start_with_bullet"] == 0.25


def test_repeated_lines_count_with_all_copies() -> None:
    found = measure("ab\n ab \n\ncdef\n")
    assert found["frac_lines_dupe_lines"] == round(2 / 3, 8)
    assert found["frac_chars_dupe_lines"] == 0.5


@pytest.mark.parametrize(
    ("filename", "related"),
    [("ReadMe.md", 1.0), ("dev-requirements.txt", 1.0), ("read.me", 0.0), ("mytodo", 0.0)],
)
def test_names_of_files_about_code(filename: str, related: float) -> None:
    assert measure("x", filename=filename)["cate_code_related_file_name"] == related


def test_what_depends_on_the_language() -> None:
    german = measure("der Hund und die Katze", "de")
    assert german["frac_words_redpajama_stop"] == 0.6
    assert german["frac_chars_alphabet"] is None
    assert measure("der Hund", "xx")["frac_words_redpajama_stop"] is None
    assert measure(" \n", "de")["frac_chars_alphabet"] == 0.0


def test_full_brackets_are_words_of_their_own() -> None:
    assert measure("【a】 】【 b")["frac_words_full_bracket"] == 0.4


@settings(deadline=None, max_examples=80)
@given(st.text() | st.text(st.sampled_from("aB 。<>(\n【…•\ud800\x00")), st.sampled_from("ej"))
def test_any_text_gives_values_in_range(text: str, which: str) -> None:
    found = measure(text, "en" if which == "e" else "ja")
    unbounded = re.compile("num|mean|entropy|top|hyperlink")
    for name, value in found.items():
        assert value is None or value >= 0, name
        if not unbounded.search(name) and value is not None:
            assert value <= 1, name


HOSTILE = [
    "(http://" * 125_000, "<" * 10**6, "<\n" * 500_000, "a." * 500_000, "." * 10**6,
    "\u0301" * 200_000 + "\u0327" * 200_000,
    "【】" * 160_000, " " * 10**6, "\n" * 10**6, "• \n" * 250_000, "A " * 500_000,
    ")" * 10**6, "(http://" + ")" * 10**6, "".join(f"w{i} " for i in range(130_000)),
]  # fmt: skip


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_megabytes_are_measured_in_a_second(content: str) -> None:
    source = prepare(content)
    start = time.process_time()
    for signal in SIGNALS.values():
        signal(source)
    assert time.process_time() - start < 1.0
