"""Append-only rows: torn ends are cut, finished keys are skipped, damage is an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.records import RecordFile

KEY = ("task", "sample")


def test_rows_survive_reopening_and_are_never_doubled(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    RecordFile(path, KEY).append([{"task": "a", "sample": 0, "x": 1}])
    again = RecordFile(path, KEY)
    again.append([{"task": "a", "sample": 0, "x": 2}, {"task": "a", "sample": 1, "x": 3}])
    assert len(path.read_text().splitlines()) == 2
    assert RecordFile(path, KEY).get(task="a", sample=0) == {"task": "a", "sample": 0, "x": 1}
    assert again.get(task="b", sample=0) is None


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    records = RecordFile(path, KEY)
    records.append([{"task": "a", "sample": 0}])
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"task": "b", "sam')
    RecordFile(path, KEY).append([{"task": "c", "sample": 0}])
    assert path.read_bytes() == whole + b'{"sample": 0, "task": "c"}\n'


def test_damage_elsewhere_names_file_and_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"task": "a", "sample": 0}\nnonsense\n{"task": "b", "sample": 0}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl line 2"):
        RecordFile(path, KEY)
