"""The form of code that patterns read, and the time that C, C#, Go and Java signals take."""

from __future__ import annotations

import time

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.comments import Split
from assets.refinecode.filters.registry import signals_of
from assets.refinecode.filters.scan import (
    lines_with,
    plain_code,
    statements,
    to_ascii,
    up_to_last,
    without_indentation,
)
from assets.refinecode.filters.source import RuleSet, Signal, Source

PROGRAMS = ("c", "cpp", "csharp", "go", "java")
TEXTS = st.text(
    st.characters(exclude_categories=[])
    | st.sampled_from("aZ0_ \t\n\r\f\x1c\u00a0\u2028é字²\u0301*(){}<>\"';:=")
)


def kinds(character: str) -> tuple[bool, bool, bool, bool]:
    return (
        bool(regex.fullmatch(r"\w", character)),
        bool(regex.fullmatch(r"\s", character)),
        character == "\n",
        bool(regex.fullmatch("[A-Za-z_]", character)),
    )


@settings(deadline=None)
@given(TEXTS)
def test_each_character_becomes_one_byte_of_its_kind(text: str) -> None:
    plain = to_ascii(text).decode("ascii")
    assert list(map(kinds, plain)) == list(map(kinds, text))
    assert all(a == b for a, b in zip(plain, text, strict=True) if b.isascii())


@settings(deadline=None)
@given(TEXTS)
def test_statements_are_the_lines_without_indentation(text: str) -> None:
    plain = b"\n" + to_ascii(text)
    bare = without_indentation(plain)
    white = b" \t\n\r\f\v"
    said = [line.lstrip(white) for line in plain.split(b"\n") if line.strip(white)]
    assert bare.startswith(b"\n") and b"\n\n" not in bare
    assert [line for line in bare.split(b"\n") if line] == said
    assert without_indentation(bare) == bare


def test_both_forms_of_a_source() -> None:
    source = Source("int é;\n\n  x = 1; // one\n", program="cpp", doc_type="code")
    assert plain_code(source)[1:] == source.code.replace("é", "0").encode()
    assert statements(source).split() == [b"int", b"0;", b"x", b"=", b"1;"]


def test_lines_with_a_word_are_found_once_each() -> None:
    text = b"\na b a\nb\n\na"
    assert list(lines_with(text, b"a")) == [6, len(text)]
    assert list(lines_with(text, b"c")) == []


def test_text_up_to_its_last_bracket() -> None:
    assert up_to_last(b"f(a) g(b", b")") == b"f(a)"
    assert up_to_last(b"<a> 'b", b">", b'"') == b"<a>"
    assert up_to_last(b"f(a", b")") == b""


HOSTILE = {
    "open calls": "a(",
    "calls": "f g(",
    "calls of main": "main(",
    "words": "int ",
    "long word": "a",
    "stars": "x *",
    "spaced stars": "a * * ",
    "spaces": " ",
    "line breaks": "\n",
    "indented blank lines": "\n  ",
    "classes": "class ",
    "classes with bases": "\nclass A : B",
    "generic classes": "class A<",
    "assignments": ":=",
    "names": "a, ",
    "names on lines": "\na, ",
    "modifiers": "static public ",
    "modifiers on lines": "static\n",
    "access on lines": "public\n",
    "constants on lines": "final\nstatic\n",
    "types": "List<T>\n",
    "directives": "#if",
    "spaced directives": "#    ",
    "includes": "\n#include <",
    "strings": '\nreturn "',
    "methods": "\nfunc (",
    "structs": "\ntype A struct {",
    "imports": "\nimport (",
    "declarations": "var a ",
    "typed names": "string string ",
    "brackets": "a [",
    "beyond ASCII": "aé\u2003\ud800",
}


@pytest.mark.parametrize("end", ["", ')};>"'])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_code_is_read_in_linear_time(name: str, end: str) -> None:
    """What looks again from each place needs far more than a second for this."""
    code = HOSTILE[name] * (50_000 // len(HOSTILE[name])) + end
    for program in PROGRAMS:
        source = Source(code, program=program, doc_type="code")
        source.split = Split(code, "")
        measured = _specific(program).values()
        started = time.process_time()
        for signal in measured:
            signal(source)
        assert time.process_time() - started < 1, program


@settings(deadline=None)
@given(st.sampled_from(PROGRAMS), TEXTS, st.sampled_from(["opencoder", "cookbook"]))
def test_any_text_has_values_in_range(program: str, text: str, rules: RuleSet) -> None:
    source = Source(text, program=program, doc_type="code", rules=rules)
    for name, signal in _specific(program).items():
        value = signal(source)
        if value is None:
            continue
        assert value >= 0
        if "_cate_" in name:
            assert value in (0.0, 1.0)
        elif "_frac_" in name and not name.endswith("func_ratio"):
            assert value <= 1


def _specific(program: str) -> dict[str, Signal]:
    own = f"qsc_code{program}_"
    return {n: s for n, s in signals_of(program, "code").items() if n.startswith(own)}
