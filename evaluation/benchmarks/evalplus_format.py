"""Shared by EvalPlus' benchmarks: outputs compared with the canonical solution's, outside the
model.

The expected outputs are computed once, by running the canonical solutions in the sandbox, and
cached by the hash of the data. Base and plus inputs are two checks; an answer must pass both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from evaluation.benchmarks.generative import GenerativeBenchmark, Runs, Task
from evaluation.judging import evalplus
from evaluation.sandbox import Job


class EvalPlusJudged(GenerativeBenchmark):
    """Set `dataset`; tasks carry rows of EvalPlus' own form, with inputs and tolerances."""

    dataset: Literal["humaneval", "mbpp"]

    def __init__(self) -> None:
        self._problems: dict[str, tuple[Any, Any]] = {}

    def set_up(self, tasks: Sequence[Task], runs: Runs) -> None:
        new = [task for task in tasks if task.task_id not in self._problems]
        problems = [evalplus.problem(dict(task.data), dataset=self.dataset) for task in new]
        truth = evalplus.ground_truth(runs.sandbox, problems, cache=runs.cache)
        self._problems |= {p.task_id: (p, truth[p.task_id]) for p in problems}

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        problem, truth = self._problems[task.task_id]
        return evalplus.jobs(problem, truth, source)
