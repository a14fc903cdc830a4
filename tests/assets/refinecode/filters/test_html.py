"""HTML signals: what counts as visible text, on pages as they are and as they should not be."""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.refinecode.filters import html
from assets.refinecode.filters.html import SIGNALS, Page, parse
from assets.refinecode.filters.source import RuleSet, Source

PAGE = """<!DOCTYPE html>
<html><head><title>Hi</title><style>p { color: red }</style>
<script>var secret = "not text";</script></head>
<body><!-- note TODO --><p>Hello <b>world</b>, this is a short paragraph of visible text.</p>
<p>Another line with &amp; entity.</p></body></html>
"""


def source_of(content: str, rules: RuleSet = "opencoder") -> Source:
    return Source(content, program="html", doc_type="code", rules=rules)


def visible(content: str) -> int:
    page = parse(source_of(content))
    assert page is not None
    return page.text_chars


def test_known_page() -> None:
    source = source_of(PAGE)
    assert {name.removeprefix("qsc_codehtml_"): s(source) for name, s in SIGNALS.items()} == {
        "cate_ast": 1.0,
        "frac_words_text": 0.32600733,
        "num_chars_text": 89.0,
    }


def test_empty_file() -> None:
    source = source_of("")
    assert [signal(source) for signal in SIGNALS.values()] == [1.0, None, 0.0]


@pytest.mark.parametrize(
    ("page", "chars"),
    [
        ("a <b>c</b>", 3),
        ("<p> \n\t </p>", 1),  # blanks only: one
        ("<pre> \n\t </pre>", 4),
        ("<textarea>  </textarea>", 2),
        ("<script>if (a < b) x()</script>y", 1),
        ("<script>never closed <p>text</p>", 0),
        ("<style>a</style >b", 1),
        ("<template><p>a</p></template>b", 1),
        ("<ruby>a<rp>(</rp><rt>b</rt></ruby>", 1),
        ("<div><template><p>a</div>b", 1),  # the end of div ends what is open in it
        ("<!-- a -->b<!-- c", 7),  # an unfinished comment is text
        ("<![CDATA[ab]]>", 2),
        ("<![CDATA[]]>", 1),
        ("<![if IE]>a<![endif]>", 1),
        ("<?php a ?>b", 1),
        ("&lt;&#65;&#x42;", 3),
        ("&NotEqualTilde;", 2),
        ("&nope;", 5),  # the semicolon goes
        ("&amp", 4),  # nothing after it: not a reference
        ("a & b", 5),
        ("a < b", 5),
        ("<a", 2),
        ("<a href='x", 10),
        ("<a href='>'>x</a>", 1),
        ("<br/>a<br>b</br>c", 3),
        ("</>a</ >b", 2),
        ("&#; &#; <b>a</b>", 16),  # after the second odd reference all is text
        ("<b\0>", 4),
        ("<p a=b/>x", 1),
    ],
)
def test_visible_text(page: str, chars: int) -> None:
    assert visible(page) == chars


def test_an_unknown_marked_section_ends_the_parse_only_under_the_published_rules() -> None:
    page = "<p>text</p><![else_if x]>more"
    assert parse(source_of(page)) is None
    source = source_of(page)
    assert [signal(source) for signal in SIGNALS.values()] == [0.0, None, None]
    assert parse(source_of(page, "cookbook")) == Page(8)


PIECES = st.lists(
    st.sampled_from(
        ["<", ">", "</", "/>", "<!--", "-->", "&", "&#", "&#65;", "&amp;", "&lt", "&nope;", ";",
         "<a ", "<b>", "</b>", "<br>", "</br>", "<pre>", "</pre>", "<script>", "</script>",
         "<template>", "</template>", "<![CDATA[", "]]>", "<!", "<?", '"', "'", "=", "a='b'", " ",
         "\n", "\0", "text", "é", "\ud800"]
    ),
    max_size=25,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=200)
@given(PIECES | st.text(), st.sampled_from(["opencoder", "cookbook"]))
def test_any_text_gives_values_in_range(text: str, rules: RuleSet) -> None:
    source = source_of(text, rules)
    page = parse(source)
    if page is not None:
        assert 0 <= page.text_chars <= 2 * len(text)
    else:
        assert rules == "opencoder"


@settings(
    deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(PIECES, st.sampled_from(["opencoder", "cookbook"]), st.integers(1, 20))
def test_both_ways_to_read_tags_agree(
    monkeypatch: pytest.MonkeyPatch, text: str, rules: RuleSet, chars: int
) -> None:
    found = parse(source_of(text, rules))
    with monkeypatch.context() as patch:
        patch.setattr(html, "TIDY_CHARS", chars)
        assert parse(source_of(text, rules)) == found


@settings(deadline=None, max_examples=200)
@given(PIECES)
def test_text_alone_is_counted_as_it_is(text: str) -> None:
    plain = text.translate({ord("<"): "x", ord("&"): "y"})
    if plain.strip(" \n\t\f\r"):
        assert visible(plain) == len(plain)


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 5))
def test_blank_lines_between_tags_are_one_blank(blank_lines: int) -> None:
    assert visible("<p>a</p>" + "\n" * blank_lines + "<p>b</p>") == 3


@pytest.mark.parametrize(
    "unit",
    ["<", "<a ", "<a b='", "<a b=", "<a x='>' ", "<a x='>' b=", "<!--", "<![CDATA[", "<!x",
     "</a ", "&#", "&a;", "<a>", "<br></br>", '<a"\0', "<script>", "</script", "] ", "- ", "--"],
)  # fmt: skip
def test_hostile_pages_are_read_in_linear_time(unit: str) -> None:
    started = time.process_time()
    visible(unit * (300_000 // len(unit)))
    assert time.process_time() - started < 2


def test_ampersands_that_begin_no_reference_are_text() -> None:
    assert visible("<p>a && b &amp; c & d</p>") == len("a && b & c & d")


def test_a_reference_may_end_at_a_tag() -> None:
    assert visible("<p>a&amp<b>c&#65</b>&foo<i>d&</i></p>") == len("a&cA&food&")
