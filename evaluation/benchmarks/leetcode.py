"""LeetCode: 180 contest problems of July 2023 to January 2024, as OpenCodeEval has them (paper
5.2).

The tests call a method of the class that the answer defines. They are turned into pairs of
arguments and expected results that the judge compares outside the model's process; the few whose
arguments are linked lists stay one program with the answer. Tasks are dated: --since and --until
choose.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.python_functions import (
    STOP,
    STOP_CHAT,
    completed,
    profile_of,
    program,
    standalone,
)
from evaluation.sandbox import Job, Pairs, Program

DATA = DataFile(
    name="LeetCode-20240121-Jul.jsonl",
    sha256="7630417651034cfef749d2b21b47163921e1199e078b39ecbc218b4e7c73fbfc",
    how_to_get="download OpenCodeEval/src/data/20240121-Jul.jsonl from "
    "https://github.com/OpenCoder-llm/OpenCoder-llm under this name",
)


@cache
def load_tasks() -> tuple[Task, ...]:
    """The 180 tasks in file order."""
    return tuple(
        Task(
            task_id=row["task_id"],
            prompt=row["prompt"],
            data={"instruction": row["prompt_sft"], "test": row["test"]},
            date=datetime.fromtimestamp(row["start_time"], UTC).date().isoformat(),
        )
        for row in DATA.rows()
    )


class LeetCode(GenerativeBenchmark):
    """See the module."""

    name = "leetcode"
    description = "180 contest problems of 2023-07 to 2024-01, by date; executed tests"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())

    def instruction(self, task: Task) -> str:
        return str(task.data["instruction"])

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else (*STOP, "\ndef ", "\nclass ", "\nassert", '\n"""', "\n```")

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat:
            raw, sanitised = standalone(completion, "Solution")
        else:
            raw, sanitised = completed(task.prompt, completion)
        return program(raw), program(sanitised)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        pairs = as_pairs(task.data["test"])
        if pairs is None:
            test = task.data["test"]
            return [Program(source, test, limits=self.limits, profile=profile_of(source))]
        method, inputs, expected = pairs
        call = f"\n\n\ndef call_solution(arguments):\n    return Solution().{method}(**arguments)\n"
        return [
            Pairs(
                source=source + call,
                entry_point="call_solution",
                inputs=[(arguments,) for arguments in inputs],
                expected=expected,
                limits=self.limits,
                profile=profile_of(source),
            )
        ]


def as_pairs(test: str) -> tuple[str, list[dict[str, Any]], list[Any]] | None:
    """Method, keyword arguments and results of a test made of such pairs alone, else None."""
    methods: set[str] = set()
    inputs: list[dict[str, Any]] = []
    expected: list[Any] = []
    for statement in ast.parse(test).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            if statement.targets[0].id == "my_solution":
                continue
            try:
                inputs.append(ast.literal_eval(statement.value))
            except ValueError:
                return None
        elif isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
            call = statement.test.left
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute)):
                return None
            methods.add(call.func.attr)
            try:
                expected.append(ast.literal_eval(statement.test.comparators[0]))
            except ValueError:
                return None
        else:
            return None
    if len(methods) != 1 or len(inputs) != len(expected):
        return None
    return methods.pop(), inputs, expected


BENCHMARKS = (LeetCode(),)
