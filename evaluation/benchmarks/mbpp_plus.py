"""MBPP+ (EvalPlus v0.2.0): 378 of MBPP's tasks, repaired, with 35 times the inputs (paper 5.1).

Judged as HumanEval+ is: outputs are compared with the canonical solution's outside the model's
process.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.evalplus_format import EvalPlusJudged
from evaluation.benchmarks.generative import Task
from evaluation.benchmarks.python_functions import STOP, STOP_CHAT, completed, program, standalone

DATA = DataFile(
    name="MbppPlus-evalplus.jsonl",
    sha256="b54e762755248ca411b523c917fa9f93c07b5ff2966bf60b3917b853926a3dad",
    how_to_get="download MbppPlus.jsonl.gz v0.2.0 from "
    "https://github.com/evalplus/mbppplus_release/releases as MbppPlus-evalplus.jsonl.gz",
)


@cache
def load_tasks() -> tuple[Task, ...]:
    """The 378 tasks in file order."""
    return tuple(Task(row["task_id"], row["prompt"], row) for row in DATA.rows())


class MbppPlus(EvalPlusJudged):
    """See the module."""

    name = "mbpp+"
    dataset = "mbpp"
    description = "378 tasks of MBPP with EvalPlus' inputs, about 35 times as many"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())

    def base_prompt(self, task: Task) -> str:
        return task.prompt.strip() + "\n"

    def instruction(self, task: Task) -> str:
        return (
            "Write a Python function for this task and answer with one Python code block:\n\n"
            f"{task.prompt.strip()}\n"
        )

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else (*STOP, '\n"""', "\nassert", "\n```")

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat:
            raw, sanitised = standalone(completion, task.data["entry_point"])
        else:
            raw, sanitised = completed(self.base_prompt(task), completion)
        return program(raw), program(sanitised)

    def canonical(self, task: Task) -> str | None:
        return str(task.data["canonical_solution"])


BENCHMARKS = (MbppPlus(),)
