"""Your own tasks: a JSON-lines file in HumanEval's or MBPP's row format.

HumanEval's rows have task_id, prompt, entry_point, canonical_solution and test (a function
`check`); instead of, or beside, `test` they may have `inputs` and `expected`: lists of one length
whose pairs the judge compares outside the model's process (floats within 1e-6, a tuple as the list
that JSON makes of it). MBPP's rows have task_id, text (or prompt), code and test_list. Ask for them
as `file:TASKS.jsonl` where a benchmark's name is expected.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.benchmarks.base import UnavailableError
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.humaneval import HumanEvalFormat
from evaluation.benchmarks.mbpp import MbppFormat
from evaluation.benchmarks.python_functions import profile_of
from evaluation.records import json_lines
from evaluation.sandbox import Compare, Job, Pairs

_HUMANEVAL = ("task_id", "prompt", "entry_point")


def from_file(path: Path) -> GenerativeBenchmark:
    """The tasks of the file as a benchmark named after it.

    Raises UnavailableError when there is no such file, ValueError naming the line of a bad row.
    """
    if not path.is_file():
        raise UnavailableError(f"{path} not found: expected a JSON-lines file of tasks")
    rows = [_checked(path, number, line) for number, line in json_lines(path)]
    if not rows:
        raise ValueError(f"{path}: no tasks; expected one JSON object a line")
    kinds = {"test_list" in row for row in rows}
    if len(kinds) > 1:
        raise ValueError(f"{path}: rows of HumanEval's and of MBPP's format mixed; use two files")
    ids = [str(row["task_id"]) for row in rows]
    if doubled := {task_id for task_id in ids if ids.count(task_id) > 1}:
        raise ValueError(f"{path}: task_id {min(doubled)!r} appears twice")
    return OwnMbpp(path, rows) if kinds == {True} else OwnHumanEval(path, rows)


class OwnHumanEval(HumanEvalFormat):
    """Tasks of a file in HumanEval's format, with `test`, or `inputs` and `expected`, or both."""

    def __init__(self, path: Path, rows: Sequence[dict[str, Any]]) -> None:
        self.name = _name(path)
        self.description = f"{len(rows)} tasks of {path.name}"
        self._tasks = [Task(str(row["task_id"]), row["prompt"], row) for row in rows]

    def missing(self, heldout: Path | None = None) -> str | None:
        return None

    def tasks(self) -> list[Task]:
        return list(self._tasks)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        jobs = list(super().checks(task, source)) if task.data.get("test") else []
        if "inputs" in task.data:
            jobs.append(
                Pairs(
                    source=source,
                    entry_point=task.data["entry_point"],
                    inputs=[tuple(arguments) for arguments in task.data["inputs"]],
                    expected=list(task.data["expected"]),
                    compare=Compare(atol=0.0, oracle="as_json"),
                    limits=self.limits,
                    profile=profile_of(source),
                )
            )
        return jobs

    def canonical(self, task: Task) -> str | None:
        return super().canonical(task) if task.data.get("canonical_solution") else None


class OwnMbpp(MbppFormat):
    """Tasks of a file in MBPP's format."""

    def __init__(self, path: Path, rows: Sequence[dict[str, Any]]) -> None:
        self.name = _name(path)
        self.description = f"{len(rows)} tasks of {path.name}"
        self._tasks = [
            Task(str(row["task_id"]), row.get("text") or row.get("prompt", ""), row) for row in rows
        ]

    def missing(self, heldout: Path | None = None) -> str | None:
        return None

    def tasks(self) -> list[Task]:
        return list(self._tasks)

    def canonical(self, task: Task) -> str | None:
        return task.data.get("code")


def _name(path: Path) -> str:
    return f"file:{path.name.removesuffix('.gz').removesuffix('.jsonl')}"


def _checked(path: Path, number: int, line: str) -> dict[str, Any]:
    where = f"{path} line {number}"
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not JSON ({error})") from error
    if not isinstance(row, dict) or "task_id" not in row:
        raise ValueError(f"{where}: expected an object with task_id, found {line[:80]!r}")
    if "test_list" in row:
        if not row["test_list"] or not (row.get("text") or row.get("prompt")):
            raise ValueError(f"{where}: MBPP's format needs text and a test_list that is not empty")
        return row
    if absent := [name for name in _HUMANEVAL if not isinstance(row.get(name), str)]:
        if "task_id" in absent and isinstance(row["task_id"], int):
            absent.remove("task_id")
        if absent:
            raise ValueError(
                f"{where}: expected the texts {', '.join(_HUMANEVAL)} (or MBPP's test_list), "
                f"missing {', '.join(absent)}"
            )
    pairs = ("inputs" in row, "expected" in row)
    if pairs == (False, False) and not row.get("test"):
        raise ValueError(f"{where}: nothing to check with: give test, or inputs and expected")
    if pairs != (False, False):
        fits = all(pairs) and isinstance(row["inputs"], list) and isinstance(row["expected"], list)
        if not fits or len(row["inputs"]) != len(row["expected"]) or not row["inputs"]:
            raise ValueError(
                f"{where}: inputs and expected must be lists of one length above 0, inputs of "
                "argument lists"
            )
        if not all(isinstance(arguments, list) for arguments in row["inputs"]):
            raise ValueError(f"{where}: each of inputs must be the list of a call's arguments")
    return row
