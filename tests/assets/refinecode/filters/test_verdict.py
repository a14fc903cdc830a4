"""Verdicts: every rule named, failures isolated, draws repeatable, any text judged in bounds."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import time
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters import RULE_SETS, FilterVerdict, RuleError, evaluate, verdict
from assets.refinecode.filters.batch import VERDICT_SCHEMA, evaluate_batch
from assets.refinecode.filters.program import file_kind, natural_language
from assets.refinecode.filters.source import Source
from assets.refinecode.filters.verdict import draw

PATHS = ("a.py", "a.c", "a.cpp", "a.cs", "a.java", "a.js", "a.go", "a.html", "a.md", "a.json",
         "a.sh", "a.rs", "a.pl", "a.sql")  # fmt: skip
_EMPTY_PYTHON = [
    "qsc_code_num_words", "qsc_code_num_chars", "qsc_code_num_lines",
    "qsc_code_num_chars_line_mean", "qsc_code_frac_chars_alphabet",
    "qsc_code_frac_chars_digital", "qsc_code_frac_chars_whitespace", "qsc_codepython_cate_var_zero",
]  # fmt: skip
_LEDGER = (
    "import os\n\n\nclass Ledger:\n    limit = 100\n    name = 'main'\n\n"
    "    def first(self, path):\n        return path\n\n"
    "    def second(self, other):\n        amount = other + 1\n        return amount\n"
)


def _rules(found: FilterVerdict) -> list[str]:
    return [hit.rule for hit in found.hits]


@pytest.mark.parametrize("rules", RULE_SETS)
def test_every_rule_that_fires_is_named(rules: Any) -> None:
    found = evaluate("", "x.py", rules)
    assert not found.kept and (found.program, found.doc_type) == ("python", "code")
    assert _rules(found) == _EMPTY_PYTHON
    assert found.reason == "qsc_code_num_words"
    assert found.detail.startswith("qsc_code_num_words=0<30;qsc_code_num_chars=0<50;")
    assert found.signals["qsc_code_mean_word_length"] is None and not found.errors


def test_published_page_has_the_published_hits() -> None:
    page = (
        "<!DOCTYPE html>\n"
        "<html><head><title>Hi</title><style>p { color: red }</style>\n"
        '<script>var secret = "not text";</script></head>\n'
        "<body><!-- note TODO --><p>Hello <b>world</b>, this is a short paragraph of visible text."
        "</p>\n<p>Another line with &amp; entity.</p></body></html>\n"
    )
    found = evaluate(page, "x.html", "opencoder")
    assert _rules(found) == ["qsc_code_num_lines", "qsc_codehtml_num_chars_text"]
    assert found.signals["qsc_codehtml_frac_words_text"] == 0.32600733


@pytest.mark.parametrize(("path", "kind"), [("a.svg", "excluded"), ("a.PY", "unknown")])
def test_files_without_rules_are_dropped_unmeasured(path: str, kind: str) -> None:
    found = evaluate("text", path)
    assert found.doc_type == kind and not found.kept and not found.kept_with(False)
    assert not found.signals and not found.hits
    assert (found.reason, found.detail) == ("doc_type", f"doc_type={kind}")


def test_one_failing_signal_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = verdict.signals_of("python", "code")

    def broken(source: Source) -> float:
        raise RecursionError("too deep")

    harmed = MappingProxyType(dict(whole) | {"qsc_code_num_words": broken})
    monkeypatch.setattr(verdict, "signals_of", lambda program, doc_type: harmed)
    found = evaluate("", "x.py")
    assert found.signals["qsc_code_num_words"] is None
    assert found.errors == {"qsc_code_num_words": "RecursionError: too deep"}
    assert _rules(found) == _EMPTY_PYTHON[1:] and found.signals.keys() == whole.keys()


def test_garbage_collection_is_as_it_was() -> None:
    evaluate("", "a.py")
    assert gc.isenabled()
    gc.disable()
    try:
        evaluate("", "a.py")
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_rule_with_a_probability_draws_by_content() -> None:
    only = dict.fromkeys(["qsc_code_num_words", "qsc_code_frac_lines_prompt_comments"])
    fired = []
    for number in range(400):
        text = f"{_LEDGER}# {number} {'word ' * 30}\n"
        found = evaluate(text, "a.py", thresholds=only)
        (hit,) = (h for h in found.hits if h.rule == "qsc_codepython_score_lines_no_logic")
        assert hit.probability == 0.8 and hit.fires == (draw(text, hit.rule) < 0.8)
        assert evaluate(text, "b.py", thresholds=only).hits == found.hits
        assert found.kept == (not any(h.fires for h in found.hits))
        assert not found.kept_with(True)
        fired.append(hit.fires)
        if len(found.hits) == 1:
            assert found.kept_with(False) and found.kept != hit.fires
            assert (found.reason == "") == (not hit.fires)
    assert 0.72 < statistics.mean(fired) < 0.88


def test_draws_are_uniform_and_apart_for_each_rule() -> None:
    drawn = [draw(str(i), "rule") for i in range(2000)]
    assert all(0 <= x < 1 for x in drawn) and abs(statistics.mean(drawn) - 0.5) < 0.03
    assert draw("x", "one") != draw("x", "two") and draw("\ud800", "r") == draw("\ud800", "r")


def test_thresholds_can_be_changed_and_switched_off() -> None:
    fired = set(_rules(evaluate(_LEDGER, "a.py")))
    assert "qsc_codepython_score_lines_no_logic" in fired
    assert evaluate(_LEDGER, "a.py", thresholds=dict.fromkeys(fired)).kept
    strict = dict.fromkeys(fired) | {"qsc_code_frac_chars_alphabet": 0.99}
    assert evaluate(_LEDGER, "a.py", thresholds=strict).reason == "qsc_code_frac_chars_alphabet"
    with pytest.raises(RuleError, match="close ones"):
        evaluate("", "a.md", thresholds={"qsc_code_num_line": 3})
    with pytest.raises(RuleError, match="no rule set"):
        evaluate("", "a.svg", "best")  # type: ignore[arg-type]


def test_rule_sets_read_a_file_name_differently() -> None:
    assert file_kind("x/CMakeLists.txt").program == "cmake"
    assert file_kind("x/CMakeLists.txt", "opencoder").program == "text"
    assert file_kind("x/Makefile", "opencoder").program == "makefile"
    assert file_kind("pair_test.go").filename == "pair_test.go"
    assert file_kind("pair_test.go", "opencoder").filename == "pair_test"
    go = "package demo\n\nfunc A() int {\n\ts := 1\n\treturn s\n}\n"
    assert evaluate(go, "a_test.go").signals["qsc_codego_cate_testfile"] == 1
    assert evaluate(go, "a_test.go", "opencoder").signals["qsc_codego_cate_testfile"] == 0


def test_natural_language_is_told_from_scripts() -> None:
    assert natural_language("") == natural_language("plain é") == "en"
    assert natural_language("中文" * 3 + "a" * 20) == "zh"
    assert natural_language("中文" + "a" * 20) == "en"
    assert natural_language("かな漢字漢字" + "a" * 10) == "ja"
    assert natural_language("中文 \n \t" + " " * 500) == "zh"


_PIECES = st.sampled_from(
    ["\n", "\r\n", " ", "\t", "'", '"', "'''", "/*", "*/", "//", "#", "{", "}", "(", ")", "<", ">",
     "=", ";", "def f(x):", "return x", "import a", "function", "=>", "class A", "\0", "\ud800",
     "中文", "かな", "\ufffd", "0x1f,", "\\u00e9", "<script>", "</script>", "`${", "func (", "TODO"]
)  # fmt: skip
_TEXTS = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=300),
    st.lists(_PIECES, max_size=60).map("".join),
)


@given(_TEXTS, st.one_of(st.sampled_from(PATHS), st.text(max_size=20)), st.sampled_from(RULE_SETS))
@settings(max_examples=150, deadline=None)
def test_any_text_under_any_name_has_a_verdict(content: str, path: str, rules: Any) -> None:
    found = evaluate(content, path, rules)
    assert not found.errors
    assert found.kept == (not found.fired and found.doc_type in ("code", "data", "text"))
    assert not found.kept_with(True) or found.kept_with(False)
    for name, value in found.signals.items():
        if value is not None:
            assert value >= 0
            if "_cate_" in name:
                assert value in (0, 1)
            elif "_frac_" in name and not _may_exceed_one(name):
                assert value <= 1, name


def _may_exceed_one(name: str) -> bool:
    """Shares of overlapping things, or of things that need not lie in what they are divided by."""
    return any(part in name for part in ("top_", "func_ratio", "long_string", "hyperlink",
                                         "comments", "simplefunc", "words_text"))  # fmt: skip


@given(st.lists(_PIECES, max_size=50).map("".join), st.sampled_from(PATHS[:7]))
@settings(max_examples=100, deadline=None)
def test_a_blank_line_at_the_end_changes_no_count_of_a_language(text: str, path: str) -> None:
    """But for HTML, where it is one more character of visible text."""
    text += "\n"
    before, after = evaluate(text, path).signals, evaluate(text + "\n", path).signals
    for name in before:
        if not name.startswith("qsc_code_"):
            assert before[name] == after[name], name


#: A pattern and what to end it with; repeated to the size of a test.
_HOSTILE = {
    "one line": ("x", ""), "blanks": (" ", "ab"), "hex pairs": ("ab ", "é"), "NULs": ("\0", ""),
    "0x": ("0x", ""), "escapes": ("\\u00", ""), "short lines": ("a\n", ""),
    "open brackets": ("(", ""), "open braces": ("{", ""), "closed braces": ("{}", ""),
    "quotes": ("'", ""), "mixed quotes": ("\"'''\"", ""), "open comments": ("/*", ""),
    "tags": ("<a", ""), "nested tags": ("<b>", ""), "includes": ("#include ", ""),
    "names": ("int a ", ""), "calls": ("f (", ""), "blank lines": ("\n", "x"),
    "surrogates": ("\ud800", ""), "templates": ("`${", ""), "strings": ("a = 'b' + ", ""),
    "returns": ("return ", ""), "arrays": ("[", "]"), "entities": ("&amp", ""),
    "assignments": ("= '' +", ""), "hyperlinks": ("(http://", ""), "sentences": ("a. ", ""),
    "functions": ("func (a b) ", ""), "generics": ("List<", ">"), "wide": ("中", ""),
    "attributes": ("<a b=", ""), "exports": ("module.exports.a=b;", ""),
    "unary": ("!", "1"), "lambdas": ("lambda:", "1"), "members": ("a.", "b"),
}  # fmt: skip


def _hostile(name: str, size: int) -> str:
    """That many bytes."""
    pattern, end = _HOSTILE[name]
    return pattern * (size // len(pattern.encode("utf-8", "surrogatepass"))) + end


def _seconds(name: str, path: str, rules: Any, size: int) -> float:
    evaluate("x = 'a'\n" + "中文" * 50, path, rules)  # what is loaded once a process is not counted
    content = _hostile(name, size)
    started = time.process_time()
    found = evaluate(content, path, rules)
    assert not found.errors
    return time.process_time() - started


@pytest.mark.parametrize("name", _HOSTILE)
def test_hostile_text_takes_no_quadratic_time(name: str) -> None:
    """Small enough for every run, large enough that anything quadratic takes many seconds."""
    seconds = {path: _seconds(name, path, "cookbook", 40_000) for path in PATHS}
    assert {path: took for path, took in seconds.items() if took > 1.5} == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", _HOSTILE)
@pytest.mark.parametrize("rules", RULE_SETS)
def test_a_hostile_megabyte_takes_a_second_at_most(name: str, rules: Any) -> None:
    """Twice that here, as test machines are shared."""
    seconds = {path: _seconds(name, path, rules, 1_000_000) for path in PATHS}
    assert {path: took for path, took in seconds.items() if took > 2} == {}


def test_a_batch_has_the_verdict_of_each_row() -> None:
    texts = {"a.py": _LEDGER, "b.py": "", "c.svg": "<svg/>", "d.md": "# Title\n" * 20, "e.c": None}
    batch = pa.RecordBatch.from_pylist(
        [{"content": text, "path": path} for path, text in texts.items()]
    )
    made = evaluate_batch(batch)
    assert made.schema == VERDICT_SCHEMA and made.num_rows == len(texts)
    for row, (path, text) in zip(made.to_pylist(), texts.items(), strict=True):
        alone = evaluate(text or "", path)
        assert (row["kept"], row["reason"], row["detail"]) == (
            alone.kept, alone.reason, alone.detail)  # fmt: skip
        assert dict(row["signals"]) == {k: float(v) for k, v in alone.signals.items()
                                        if v is not None}  # fmt: skip
        assert row["rules"] == [hit.rule for hit in alone.fired]
    off = evaluate_batch(batch, enabled=False)
    assert off.column("kept").to_pylist() == [True] * len(texts)
    assert set(map(len, off.column("signals").to_pylist())) == {0}


def test_a_batch_trusts_the_columns_of_documents_but_under_opencoder_rules() -> None:
    row = {"content": "x\n", "path": "CMakeLists.txt", "language": "cmake", "doc_type": "code",
           "size_bytes": 5_000_000}  # fmt: skip
    batch = pa.RecordBatch.from_pylist([row])
    ours = evaluate_batch(batch).to_pylist()[0]
    assert ours["program"] == "cmake" and "qsc_code_size_file_byte" in ours["rules"]
    released = evaluate_batch(batch, "opencoder").to_pylist()[0]
    assert (released["program"], released["doc_type"]) == ("text", "text")


def test_a_file_of_c_loads_no_parser_of_another_language() -> None:
    program = (
        "import sys; from assets.refinecode.filters import evaluate\n"
        "assert 'numba' not in sys.modules and 'pygments' not in sys.modules\n"
        "evaluate('int a;', 'a.c')\n"
        "print([m for m in ('tree_sitter', 'jieba', 'zhconv', 'pyspark') if m in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True,
                          check=True)  # fmt: skip
    assert done.stdout.strip() == "[]"
