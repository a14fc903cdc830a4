"""The execution oracle and EvalPlus's data, where present: ../shared beside the checkout."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.judging.evalplus import Dataset, Problem, problem

SHARED = Path(__file__).resolve().parents[4] / "shared"
_FILES = {"humaneval": "HumanEvalPlus.jsonl.gz", "mbpp": "MbppPlus-evalplus.jsonl.gz"}
# EvalPlus switches these calls off inside the program; here a program may write in its own folder
# and start processes, and nobody is harmed
ALLOWED_HERE = ("chdir_write", "subprocess")


def rows(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        pytest.skip(f"needs {path.name} of the shared folder beside the checkout")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def problems(dataset: Dataset) -> dict[str, Problem]:
    found = [problem(row, dataset) for row in rows(SHARED / "benchmarks" / _FILES[dataset])]
    return {item.task_id: item for item in found}


def samples(dataset: Dataset) -> list[dict[str, Any]]:
    found = rows(SHARED / "fixtures" / "eval_oracle" / f"{dataset}_samples.jsonl.gz")
    return [row for row in found if row["variant"] not in ALLOWED_HERE]
