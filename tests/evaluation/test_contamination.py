"""A planted task is found in the training text, and the score is split by it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from evaluation.contamination import overlaps, task_runs, training_texts, with_and_without

TASKS = {
    "a": "Return the sum of all even numbers in a list of whole numbers, ignoring the rest of it.",
    "b": "Count the words of a sentence that begin with a vowel and end with a consonant letter.",
    "short": "add two numbers",
}

RUNS = task_runs({task: (text, "") for task, text in TASKS.items()})


def test_only_the_planted_task_is_touched() -> None:
    leaked = "# " + TASKS["a"].upper().replace(" ", "\n", 3) + "\ndef f(): ..."
    found = overlaps(RUNS, ["nothing here", leaked, "add two numbers " * 9])
    assert found == {"a": 1.0, "b": 0.0, "short": 0.0}
    half = " ".join(TASKS["a"].split()[:12])
    assert 0 < overlaps(RUNS, [half])["a"] < 1


def test_runs_do_not_cross_documents() -> None:
    words = TASKS["a"].split()
    assert overlaps(RUNS, [" ".join(words[:9]), " ".join(words[9:])])["a"] == 0.0


def test_what_the_tasks_of_a_benchmark_share_touches_none_of_them() -> None:
    opening = "import java util import java math import java io class Problem Please complete this"
    tasks = {**TASKS, "c": "Draw a circle.", "d": "Draw a square."}
    runs = task_runs({task: (f"{opening} {text}",) for task, text in tasks.items()})
    found = overlaps(runs, [f"{opening} something else", f"{opening} {TASKS['b']}"])
    assert found["a"] == 0.0
    assert found["b"] == 1.0


def test_training_text_is_read_from_any_of_its_columns(tmp_path: Path) -> None:
    parquet.write_table(
        pa.table({"content": ["x", None], "other": ["no", "no"]}), tmp_path / "a.parquet"
    )
    (tmp_path / "deep").mkdir()
    parquet.write_table(
        pa.table({"instruction": ["i"], "output": ["o"]}), tmp_path / "deep" / "b.parquet"
    )
    assert list(training_texts(tmp_path)) == ["x", "", "i\no"]
    turns = [[{"role": "user", "content": "q"}, {"role": "assistant", "content": "r"}]]
    (tmp_path / "chat").mkdir()
    table = pa.table({"messages": turns, "prompt": ["p"], "solution": [None]})
    parquet.write_table(table, tmp_path / "chat" / "c.parquet")
    assert list(training_texts(tmp_path / "chat")) == ["p\nuser\nq\nassistant\nr"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="content or text"):
        list(training_texts(tmp_path / "none"))


def test_the_score_is_told_with_and_without_touched_tasks() -> None:
    rows = [{"task_id": f"t{n}", "passed": n < 6} for n in range(10)]
    table = with_and_without("x", rows, {"t0": 0.4, "t1": 1.0, "t9": 0.0}, seed=0)
    assert [(row["tasks"], row["n"], row["value"]) for row in table] == [
        ("all", 10, 0.6),
        ("untouched", 8, 0.5),
        ("touched", 2, 1.0),
    ]
    assert all(row["low"] <= row["value"] <= row["high"] for row in table)
    two = [{"task_id": f"t{n // 2}", "passed": False} for n in range(20)]
    (none,) = with_and_without("x", two, {}, seed=0)[1:]
    assert none["value"] == none["low"] == 0 < none["high"]
