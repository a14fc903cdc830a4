"""Signals against published values and the reference's own, verdicts with every reason."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.recipe import Filters
from assets.refinecode import filtered
from assets.refinecode.filters import RULES, RuleError, evaluate, rule_table
from assets.refinecode.filters.signals import SIGNALS
from assets.refinecode.filters.text import Text, natural_language
from tests.assets.refinecode.conftest import document, outcome, words

_ORACLE = Path(__file__).parents[4] / "shared" / "fixtures" / "filter_oracle" / "train.jsonl.gz"
_PYTHON_2 = 'print "hello"\nx = 1\nexec "y=2"\n# a comment\n'
_README = (
    "# Title\n\nSome text here. Is it fine? Yes!\n- item one (http://example.com/a)\n"
    "- item two <b>bold</b>\n• bullet line\nSee more...\n{curly}\nTHE END OF ALL\n0xFF 12345\n"
)


@pytest.mark.parametrize(
    ("content", "path", "expected"),
    [
        ("a a a a a a\n", "x.py", {
            "num_words": 6, "num_chars": 12, "mean_word_length": 1.0, "frac_chars_whitespace": 0.5,
            "size_file_byte": 12, "num_lines": 1, "num_chars_line_max": 12,
            "num_chars_line_mean": 12.0, "frac_chars_alphabet": 1.0, "frac_chars_digital": 0.0}),
        ("", "x.py", {
            "num_words": 0, "mean_word_length": None, "frac_chars_replacement_symbols": None,
            "frac_lines_dupe_lines": None, "frac_chars_digital": 1.0, "frac_chars_whitespace": 1.0,
            "frac_chars_alphabet": 0.0, "num_lines": 0, "num_chars_line_max": 0}),
        (_PYTHON_2, "x.py", {
            "num_words": 9, "mean_word_length": 2.88888889, "frac_chars_digital": 0.06060606,
            "frac_chars_whitespace": 0.23255814, "num_chars_line_max": 14,
            "num_chars_line_mean": 10.75, "frac_chars_alphabet": 0.72727273}),
        (_README, "README.md", {
            "num_words": 31, "num_chars": 159, "num_lines": 10, "mean_word_length": 3.41935484,
            "frac_chars_alphabet": 0.76744186, "frac_chars_digital": 0.04651163,
            "frac_chars_whitespace": 0.18867925}),
    ],
)  # fmt: skip
def test_golden_vectors(content: str, path: str, expected: dict[str, float | None]) -> None:
    signals = evaluate(content, path).signals
    assert {name: signals[name] for name in expected} == pytest.approx(expected, abs=1e-8)


def test_every_rule_that_fires_is_named() -> None:
    verdict = evaluate("", "x.py")
    assert not verdict.kept and verdict.program == "python" and verdict.doc_type == "code"
    assert [hit.rule for hit in verdict.hits] == [
        "code_num_words_min", "code_num_chars_min", "code_digits", "code_whitespace",
        "code_num_lines_min", "code_line_length_mean_min", "code_alphabet",
    ]  # fmt: skip
    assert verdict.reason == "code_num_words_min"
    assert verdict.detail.startswith("code_num_words_min=0<30;code_num_chars_min=0<50;")
    assert [hit.rule for hit in evaluate(_README, "README.md").hits] == ["text_num_words_min"]


@pytest.mark.skipif(not _ORACLE.is_file(), reason=f"no reference values at {_ORACLE}")
def test_signals_equal_the_reference() -> None:
    """All but the shares of repeated code lines (which leave comments out there), and the words
    of Chinese and Japanese text (segmented there)."""
    wrong: list[tuple[str, str]] = []
    compared = 0
    with gzip.open(_ORACLE, "rt") as rows:
        for row in map(json.loads, rows):
            if not row["signals"]:
                continue
            family = "text" if row["doc_type"] == "text" else "code"
            prefix = "qsc_doc_" if family == "text" else "qsc_code_"
            text = Text(row["content"], row["bytes"])
            if family == "text":
                assert natural_language(text) == row["lang"]
            for name, signal in SIGNALS[family].items():
                if (family, name) == ("code", "frac_lines_dupe_lines") or (
                    row["lang"] != "en"
                    and (family == "text" or name in ("num_words", "mean_word_length"))
                ):
                    continue
                compared += 1
                expected, found = row["signals"][prefix + name], signal(text)
                if expected != found and (
                    expected is None or found != pytest.approx(expected, rel=1e-6)
                ):
                    wrong.append((row["path"], name))
    assert compared > 8000 and not wrong


def test_tables_differ_where_the_paper_says() -> None:
    def threshold(name: str, table: str) -> float | None:
        return {rule.name: value for rule, value in rule_table("code", table)}.get(name)

    assert threshold("code_digits", "sql") == 0.3 and threshold("code_digits", "go") == 0.2
    assert threshold("code_num_chars_max", "data") == 5000
    assert threshold("code_num_chars_max", "python") is None
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(rule.signal in SIGNALS[rule.family] for rule in RULES)


def test_thresholds_can_be_changed_and_switched_off() -> None:
    text = "result = collect(first, second)\nother = combine(result, third)\n" * 4
    fired = {hit.rule for hit in evaluate(text, "a.py").hits}
    assert fired == {"code_num_lines_min", "code_dupe_lines"}
    off = {"code_num_lines_min": None, "code_dupe_lines": None}
    assert evaluate(text, "a.py", thresholds=off).kept
    strict = off | {"code_alphabet": 0.99}
    assert evaluate(text, "a.py", thresholds=strict).reason == "code_alphabet"
    with pytest.raises(RuleError, match="'code_num_line_min'; close ones: code_num_lines_min"):
        evaluate(text, "a.py", thresholds={"code_num_line_min": 3})


@pytest.mark.parametrize(
    ("content", "fires"),
    [
        ("QUJD" * 400, True),
        ("x = '" + "QUJD" * 20 + "'\n" + "plain code here, nothing else\n" * 40, False),
        ("1f 2e\n" * 200, True),
        ("0x1f, 0x2e, " * 90, False),
        ("0x1f,0x2e," * 7, True),
        ("0x1f,0x2e," * 7 + "plain words " * 30, False),
        ("\\u00e9\\u00e8" * 100, True),
        ("deadbeef cafe " * 40, False),
        ("ordinary words only\n" * 100, False),
    ],
)
def test_encoded_data(content: str, fires: bool) -> None:
    signal = SIGNALS["code"]["cate_encoded_data"]
    assert signal(Text(content)) == float(fires)


@given(st.text(max_size=400), st.sampled_from(["a.py", "a.md", "a.json", "a.html"]))
@settings(max_examples=80, deadline=None)
def test_any_text_has_a_verdict(content: str, path: str) -> None:
    verdict = evaluate(content, path)
    assert verdict.kept == (not verdict.hits)
    for name, value in verdict.signals.items():
        if name.startswith(("frac_", "cate_")):
            assert value is None or 0 <= value <= 1


@pytest.mark.parametrize(
    "content",
    ["x" * 8_000_000, "ab" + " " * 2_000_000, "ab " * 7 + "é" * 500_000, "\0" * 1_000_000,
     "0x" * 500_000, "ab,\n" * 250_000, "\\u00" * 250_000, "a\n" * 500_000],
    ids=lambda text: repr(text[:10]),
)  # fmt: skip
def test_hostile_text_takes_bounded_time(content: str) -> None:
    started = time.process_time()
    evaluate(content, "a.py")
    evaluate(content, "a.md")
    assert time.process_time() - started < 6


@pytest.mark.spark
def test_stage_records_all_rules(spark: Any, write: Callable[..., Path], tmp_path: Path) -> None:
    names = [f"name_{''.join(c for c in w if c.isalpha())}" for w in words(3, 40)]
    good = document("\n".join(f"def {name}(): return {name}" for name in names) + "\n")
    made = document("# Generated by a tool\n" + good["content"], path="g.py")
    tiny = document("x=1", path="t.py")
    rows = [good, made, tiny]
    filtered.run(tmp_path, documents=write(rows, files=2), params=Filters(), spark=spark)
    kept, judged = outcome(tmp_path, rows, filtered.STAGE)
    assert kept.keys() == {good["doc_id"]}
    assert judged[made["doc_id"]]["detail"] == "code_autogen=1==1"
    assert judged[tiny["doc_id"]]["reason"] == "code_num_words_min"
    assert judged[tiny["doc_id"]]["detail"].count(";") >= 3
    with pytest.raises(RuleError, match="no_such_rule"):
        filtered.run(tmp_path / "x", documents=write(rows), spark=spark,
                     params=Filters(thresholds={"no_such_rule": 1.0}))  # fmt: skip
