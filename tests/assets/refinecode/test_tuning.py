"""Threshold tuning on a planted corpus: counts, bands, samples, and the page a person reads."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.documents import DOCUMENT_SCHEMA, read_table, write_table
from assets.refinecode import tuning
from assets.refinecode.tuning_report import read_page
from assets.refinecode.tuning_tables import (
    ALL,
    Cut,
    SignalColumn,
    SignalError,
    distribution,
    histogram,
    read_signal,
    threshold_effects,
)
from tests.assets.refinecode.conftest import document
from training.bits_per_byte import DocumentBits

SIGNAL = "qsc_code_frac_chars_top_2grams"
OTHER = "qsc_code_num_words"
SIGNALS_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()), ("repository", pa.string()), ("path", pa.string()),
        ("language", pa.string()), ("doc_type", pa.string()), ("size_bytes", pa.int64()),
        ("kept", pa.bool_()), ("rules", pa.list_(pa.string())),
        ("signals", pa.map_(pa.string(), pa.float64())),
    ]
)  # fmt: skip


def planted(count: int = 200) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Documents, and what a filter that drops above 0.2 says of them: values 0, 0.002, 0.004..."""
    documents, verdicts = [], []
    for i in range(count):
        value = i / 500
        language = "python" if i % 4 else "rust"
        row = document(f"line {i}\n" * (i + 1), path=f"src/{i}.x", language=language)
        rules = ([SIGNAL] if value > 0.2 else []) + ([OTHER] if i % 10 == 0 else [])
        documents.append(row)
        verdicts.append(
            {name: row[name] for name in ("doc_id", "repository", "path", "language", "doc_type",
                                          "size_bytes")}
            | {"kept": not rules, "rules": rules,
               "signals": [(SIGNAL, value), (OTHER, float(i)), ("qsc_code_cate_autogen", 0.0)]}
        )  # fmt: skip
    return documents, verdicts


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The signals table and the documents that the filter judged."""
    documents, verdicts = planted()
    folder = tmp_path_factory.mktemp("corpus")
    write_table(folder / "signals", pa.Table.from_pylist(verdicts, SIGNALS_SCHEMA))
    write_table(folder / "documents", pa.Table.from_pylist(documents, DOCUMENT_SCHEMA))
    return folder / "signals", folder / "documents"


@pytest.fixture(scope="module")
def made(corpus: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of the rule's own threshold."""
    return run(corpus, tmp_path_factory.mktemp("made") / "out")


def constant_cost(texts: Sequence[str]) -> list[DocumentBits]:
    """Texts of higher line numbers cost more."""
    sizes = [len(text.encode()) for text in texts]
    return [DocumentBits(size * (2.0 + len(text.split("\n", 1)[0]) / 100), size)
            for size, text in zip(sizes, texts, strict=True)]  # fmt: skip


def run(corpus: tuple[Path, Path], out: Path, **asked: Any) -> Path:
    out.mkdir()
    tuning.run(
        out,
        signals=corpus[0],
        documents=corpus[1],
        asked=tuning.Tuning(**{"signal": SIGNAL, **asked}),
        rules={"python": (Cut(">", 0.2),), "others": (Cut(">", 0.2),), "data": (Cut(">", 0.9),)},
        cost=constant_cost,
    )
    return out


def column(values: Sequence[float], others: Sequence[bool] | None = None) -> SignalColumn:
    n = len(values)
    return SignalColumn(
        SIGNAL, ALL, [f"{i:04}" for i in range(n)], np.array(["python"] * n), np.full(n, 10),
        np.array(values, float), np.array(others if others is not None else [False] * n, bool),
    )  # fmt: skip


def test_the_rule_s_threshold_counts_what_it_drops_and_drops_alone(made: Path) -> None:
    rows = read_table(made / "thresholds").to_pylist()
    current = next(r for r in rows if r["table"] == ALL and r["threshold"] == 0.2)
    assert current["origin"] == "rule"
    assert current["files"] == 99  # values above 0.2: number 101 to 199
    assert current["alone_files"] == 99 - 9  # 110, 120, ... 190 fall to another rule anyway
    assert current["share_of_files"] == pytest.approx(99 / 200)
    assert {r["table"] for r in rows} == {ALL, "python", "others"}
    parts = [r for r in rows if r["threshold"] == 0.2 and r["table"] != ALL]
    assert sum(r["files"] for r in parts) == 99
    assert sum(r["bytes"] for r in parts) == current["bytes"]


def test_bands_are_nearest_first_and_stay_on_their_side(made: Path) -> None:
    bands = read_table(made / "bands").to_pylist()
    kept = [b for b in bands if b["side"] == "kept"]
    dropped = [b for b in bands if b["side"] == "dropped"]
    assert [b["band"] for b in kept] == [b["band"] for b in dropped] == [1, 2, 3, 4, 5]
    assert sum(b["files"] for b in kept) == sum(b["files"] for b in dropped) == 20
    assert kept[0]["high"] == 0.2 and dropped[0]["low"] == 0.202
    assert all(b["high"] <= 0.2 for b in kept) and all(b["low"] > 0.2 for b in dropped)
    assert all(near["low"] > far["high"] for near, far in itertools.pairwise(kept))
    assert all(b["bits_low"] <= b["bits_per_byte"] <= b["bits_high"] for b in bands)


def test_samples_hold_what_was_charged(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    out = run(corpus, tmp_path / "out", sample_bytes=20_000, excerpt_bytes=500)
    samples = read_table(out / "samples").to_pylist()
    bands = read_table(out / "bands").to_pylist()
    assert len(samples) == sum(b["sampled_files"] for b in bands) > 10
    assert sum(len(s["excerpt"].encode()) for s in samples) <= 20_000
    for sample in samples:
        assert len(sample["excerpt"].encode()) <= 500
        assert (sample["value"] > 0.2) == (sample["side"] == "dropped")
        number = int(sample["path"].removeprefix("src/").removesuffix(".x"))
        assert set(sample["excerpt"].splitlines()[:-1]) == {f"line {number}"}


def test_the_same_question_gives_the_same_artifact(
    made: Path, corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    one, two = made, run(corpus, tmp_path / "two")
    files = sorted(p.relative_to(one) for p in one.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(two) for p in two.rglob("*") if p.is_file())
    assert [(one / f).read_bytes() for f in files] == [(two / f).read_bytes() for f in files]


def test_page_shows_plot_tables_and_samples_of_both_sides(made: Path) -> None:
    page = read_page(made)
    assert all(file.is_file() for file in page.files)
    assert page.files[0].read_bytes().startswith(b"\x89PNG")
    assert "bits per byte" in page.headline and f"{SIGNAL} > 0.2" in page.headline
    assert set(page.metrics) == {"bits_per_byte_kept", "bits_per_byte_dropped"}
    assert page.metrics["bits_per_byte_kept"] < page.metrics["bits_per_byte_dropped"]
    text = (made / "report.md").read_text()
    assert "Samples just kept" in text and "Samples just dropped" in text
    assert "<pre>line " in (made / "report.html").read_text()


def test_samples_cannot_break_out_of_the_page(tmp_path: Path, write: Any) -> None:
    evil = "</pre><script>alert(1)</script>\n```\n````\n# not a title\n"
    rows = [document(evil + "x" * i, path=f"{i}.py") for i in range(20)]
    verdicts = [
        {n: r[n] for n in ("doc_id", "repository", "path", "language", "doc_type", "size_bytes")}
        | {"kept": i < 10, "rules": [] if i < 10 else [SIGNAL], "signals": [(SIGNAL, i / 20)]}
        for i, r in enumerate(rows)
    ]
    write_table(tmp_path / "signals", pa.Table.from_pylist(verdicts, SIGNALS_SCHEMA))
    out = run((tmp_path / "signals", write(rows)), tmp_path / "out", comparison=">", threshold=0.45)
    assert "<script>" not in (out / "report.html").read_text()
    assert "`````text" in (out / "report.md").read_text()


def test_a_rule_table_and_a_threshold_of_one_s_own(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    out = run(corpus, tmp_path / "out", table="others", comparison="<", threshold=0.05)
    facts = json.loads((out / "summary.json").read_text())
    assert (facts["comparison"], facts["threshold"], facts["rule"]) == ("<", 0.05, False)
    spread = read_table(out / "distribution").to_pylist()
    assert [row["table"] for row in spread] == ["others"] and spread[0]["files"] == 50
    assert spread[0]["dropped_files"] == sum(i / 500 < 0.05 for i in range(0, 200, 4))


def test_nothing_on_one_side_is_said_and_not_an_error(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    out = run(corpus, tmp_path / "out", comparison=">", threshold=7.0)
    page = read_page(out)
    assert "no file on the dropped side" in page.headline
    assert "bits_per_byte_dropped" not in page.metrics


def test_unknown_names_are_answered_with_close_ones(corpus: tuple[Path, Path]) -> None:
    with pytest.raises(SignalError, match=SIGNAL):
        read_signal(corpus[0], "frac_chars_top_2grams")
    with pytest.raises(SignalError, match=r"rule table 'go'.*others, python"):
        read_signal(corpus[0], SIGNAL, "go")
    with pytest.raises(SignalError, match="qsc_code_frac_chars_top_2grams"):
        tuning.current_cuts("cookbook", {}, "qsc_code_frac_char_top_2gram")


def test_documents_of_another_run_are_refused(
    corpus: tuple[Path, Path], tmp_path: Path, write: Any
) -> None:
    with pytest.raises(LookupError, match="same run of the filter"):
        run((corpus[0], write([document("else")])), tmp_path / "out")


def test_cuts_come_from_the_rule_table_and_the_recipe() -> None:
    cuts = tuning.current_cuts("cookbook", {}, "qsc_code_num_chars")
    assert cuts["python"] == (Cut("<", 50),)
    assert set(cuts["data"]) == {Cut("<", 50), Cut(">", 5000)}
    changed = tuning.current_cuts("cookbook", {SIGNAL: 0.5}, SIGNAL)
    assert changed["python"] == (Cut(">", 0.5),)
    assert "en" not in changed


def test_of_two_bounds_the_one_that_drops_more_is_looked_at() -> None:
    rules = {"python": (Cut("<", 2), Cut(">", 10))}
    asked = tuning.Tuning(SIGNAL)
    assert tuning.choose_cut(column([1, 1, 5, 6, 11]), rules, asked) == Cut("<", 2)
    assert tuning.choose_cut(column([1, 5, 6, 11, 12]), rules, asked) == Cut(">", 10)
    below = tuning.Tuning(SIGNAL, comparison="<")
    assert tuning.choose_cut(column([1, 5, 6, 11, 12]), rules, below) == Cut("<", 2)


def test_a_yes_or_no_signal_has_one_band_a_side() -> None:
    yes_no = column([0.0] * 90 + [1.0] * 10)
    bands = tuning.near_bands(yes_no, Cut("==", 1), tuning.Tuning(SIGNAL, window=0.5))
    assert [(b.side, b.number, len(b.rows)) for b in bands] == [("kept", 1, 50), ("dropped", 1, 10)]
    effects = threshold_effects(yes_no, Cut("==", 1), [1.0])
    assert [(r["threshold"], r["files"]) for r in effects] == [(0.0, 90), (1.0, 10)]


def test_excerpts_start_at_a_line_and_never_split_a_character() -> None:
    text = "".join(f"строка {i}\n" for i in range(1_000))
    piece = tuning.excerpt(text, "id", 300)
    assert 200 < len(piece.encode()) <= 300 and piece.startswith("строка ")
    one_line = tuning.excerpt("щ" * 5_000, "id", 301)
    assert set(one_line) == {"щ"} and len(one_line.encode()) <= 301
    assert tuning.excerpt("short", "id", 300) == "short"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 1e6, allow_nan=False, allow_subnormal=False), min_size=1, max_size=60),
    st.sampled_from(["<", ">", "=="]),
    st.floats(0, 1e6, allow_nan=False),
)
def test_counts_hold_for_any_distribution(values: list[float], side: Any, level: float) -> None:
    rows = column(values, [i % 3 == 0 for i in range(len(values))])
    cut = Cut(side, level)
    assert sum(b["files"] for b in histogram(rows)) == len(values)
    effects = threshold_effects(rows, cut)
    assert all(0 <= r["alone_files"] <= r["files"] <= len(values) for r in effects)
    assert any(r["origin"] == "asked" and r["threshold"] == level for r in effects)
    bands = tuning.near_bands(rows, cut, tuning.Tuning(SIGNAL))
    seen = [int(row) for band in bands for row in band.rows]
    assert len(set(seen)) == len(seen)
    dropped = {int(row) for b in bands if b.side == "dropped" for row in b.rows}
    assert all(cut.drops(rows.values)[row] == (row in dropped) for row in seen)
    assert distribution(rows, cut)[0]["files"] == len(values)
    if side != "==":
        counts = [r["files"] for r in effects]
        assert counts == sorted(counts, reverse=side == ">")
