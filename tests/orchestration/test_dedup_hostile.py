"""Corpora that cost quadratic time or merge what is unlike, small; tests/benchmarks/grow_dedup.py
runs them with 50,000 files."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestration.dedup_files import dedup_files, dedup_params
from tests.benchmarks.grow_dedup import hostile, write

FILES = 600
KEPT = {
    "one bucket of 30 %": FILES * 7 // 10 + 1,
    "equal headers": 1,
    "a header in common": FILES,
    "empty and one token": 3 + FILES // 2,  # three kinds of nothing, and every token
}


@pytest.mark.parametrize("name", KEPT)
def test_hostile_corpora(name: str, tmp_path: Path) -> None:
    source = tmp_path / "in.parquet"
    write(hostile(FILES)[name], source)
    summary = dedup_files(source, tmp_path / "out", dedup_params({}))
    assert summary.kept == KEPT[name]
    said = pq.read_table(tmp_path / "out" / "decisions.parquet").to_pylist()
    gone = [row for row in said if row["verdict"] == "dropped"]
    assert len(gone) == summary.rows - summary.kept
    assert all(row["similarity"] >= 0.7 for row in gone)
