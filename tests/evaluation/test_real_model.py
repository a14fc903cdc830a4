"""A real model on real tasks: SmolLM2-135M-Instruct out of its wheel, on CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assets.settings import Settings
from evaluation.run import evaluate


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.usefixtures("benchmark_files")
def test_a_small_real_model_writes_programs(tmp_path: Path) -> None:
    from orchestration.teacher import fetch

    folder = fetch(Settings.from_environment({"COOKBOOK_HOME": str(tmp_path)}))
    scores = evaluate(
        folder,
        ["humaneval", "humaneval+"],
        tmp_path / "run",
        chat=True,
        limit=4,
        max_new_tokens=160,
        cache=tmp_path / "models",
    )
    rows = [json.loads(line) for line in (tmp_path / "run" / "results.jsonl").open()]
    assert len(rows) == 8
    assert all("def " in row["completion"] for row in rows)
    assert any(row["syntax_valid"] for row in rows)
    assert {score.n for score in scores} == {4}
