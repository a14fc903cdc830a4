"""HumanEval+ (EvalPlus): HumanEval's problems with 80 times the inputs; wrong answers that
HumanEval lets pass are found here (paper 5.1).

An answer passes when it gives the canonical solution's output on all base and plus inputs, with
EvalPlus' tolerances; outputs are compared in the judge's process.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.evalplus_format import EvalPlusJudged
from evaluation.benchmarks.generative import Task
from evaluation.benchmarks.humaneval import HumanEvalFormat

DATA = DataFile(
    name="HumanEvalPlus.jsonl",
    sha256="42526ec0e7d5f3ee0b06d6ced98f8c8bae3d76519151bfb3d36f79010645bd7f",
    how_to_get="download HumanEvalPlus.jsonl.gz v0.1.10 from "
    "https://github.com/evalplus/humanevalplus_release/releases",
)


@cache
def load_tasks() -> tuple[Task, ...]:
    """The 164 tasks in file order."""
    return tuple(Task(row["task_id"], row["prompt"], row) for row in DATA.rows())


class HumanEvalPlus(EvalPlusJudged, HumanEvalFormat):
    """See the module."""

    name = "humaneval+"
    dataset = "humaneval"
    description = "HumanEval with EvalPlus' inputs, about 80 times as many"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())


BENCHMARKS = (HumanEvalPlus(),)
