"""MBPP: short Python functions from one sentence and three asserts (paper 5.1).

`mbpp` is zero-shot on the test split (tasks 11 to 510), the sentence and one assert as a docstring.
`mbpp_3shot` is the few-shot setting of the original work: three worked examples (tasks 2, 3 and 4)
and 500 test tasks, answers between [BEGIN] and [DONE].
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.answers import extract_code, trim_to_parsable
from evaluation.benchmarks.data import DataFile, Hub
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.python_functions import (
    STOP,
    STOP_CHAT,
    completed,
    profile_of,
    program,
    standalone,
)
from evaluation.sandbox import Job, Limits, Program, RemoteTest

DATA = DataFile(
    name="mbpp.jsonl",
    sha256="ccf64ceae9c5403bf50a044cb6d505bfd2a2963ee58338ba268fd65beab92a9f",
    how_to_get="download mbpp.jsonl from https://github.com/google-research/google-research/"
    "tree/master/mbpp",
    hub=Hub(
        "google-research-datasets/mbpp",
        ("task_id", "text", "code", "test_setup_code", "test_list"),
        "e7111180e12c23590e720c80dd718ec61124713997e61091c40326c16c8cfd6f",
        config="full",
        splits=("prompt", "test", "validation", "train"),
    ),
)
_TEST_IDS = range(11, 511)
_SHOT_IDS = (2, 3, 4)


@cache
def load_rows() -> dict[int, dict[str, Any]]:
    """All 974 tasks by id."""
    return {int(row["task_id"]): row for row in DATA.rows()}


class MbppFormat(GenerativeBenchmark):
    """Tasks as MBPP's: task_id, text, code, test_setup_code, test_list."""

    # the solution of Mbpp/123 alone needs more than 3 s
    limits = Limits(cpu_seconds=10.0, input_cpu_seconds=10.0)

    def base_prompt(self, task: Task) -> str:
        return f'"""\n{task.prompt}\n{task.data["test_list"][0]}\n"""\n'

    def instruction(self, task: Task) -> str:
        tests = "\n".join(task.data["test_list"])
        return (
            "You are an expert Python programmer. Write a function for this task and answer with "
            f"one Python code block.\n\n{task.prompt}\n\nIt has to pass these tests:\n{tests}\n"
        )

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else (*STOP, '\n"""', "\nassert", "\n```")

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat:
            raw, sanitised = standalone(completion)
        else:
            raw, sanitised = completed(self.base_prompt(task), completion)
        return program(raw), program(sanitised)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        setup = task.data.get("test_setup_code") or "\n".join(task.data.get("test_imports") or ())
        test = "\n".join([setup, *task.data["test_list"]])
        functions, classes = called(test, task.data.get("code") or "")
        if classes:  # the tests build objects of the answer: they cannot stay outside
            return [Program(source, test, limits=self.limits, profile=profile_of(source))]
        return [RemoteTest(source, test, functions, limits=self.limits, profile=profile_of(source))]

    def canonical(self, task: Task) -> str | None:
        return str(task.data["code"])


class Mbpp(MbppFormat):
    """See the module."""

    name = "mbpp"
    description = "500 Python functions from a sentence and an assert; executed tests"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        rows = load_rows()
        return [Task(f"Mbpp/{number}", rows[number]["text"], rows[number]) for number in _TEST_IDS]


class MbppThreeShot(Mbpp):
    """See the module."""

    name = "mbpp_3shot"
    description = "MBPP with three worked examples before each task, as first published"

    def base_prompt(self, task: Task) -> str:
        rows = load_rows()
        shots = [
            f"{_question(rows[number])}{unix(rows[number]['code'])}\n[DONE]\n"
            for number in _SHOT_IDS
        ]
        return "".join([*shots, _question(task.data)])

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else (*STOP[:2], "[DONE]", "\nYou are an expert")

    def instruction(self, task: Task) -> str:
        return self.base_prompt(task)

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        text = completion.partition("[DONE]")[0]
        if chat:
            text = extract_code(text.replace("[BEGIN]", ""))
        return program(text), program(trim_to_parsable(text))


def called(test: str, code: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Functions and classes of the answer that a test calls.

    code: a right answer. What it defines is the answer's even under a built-in name (one task asks
    for `sum`); a name that nothing defines is the answer's, too.
    """
    names = {
        node.func.id
        for node in ast.walk(ast.parse(test))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    own = set(re.findall(r"^(?:def|class)\s+(\w+)", code, re.M))
    known = {*dir(builtins), *re.findall(r"\b(?:import|class|def|as)\s+(\w+)", test)} - own
    classes = names & set(re.findall(r"^class\s+(\w+)", code, re.M))
    return tuple(sorted(names - known - classes)), tuple(sorted(classes))


def unix(text: str) -> str:
    """The text with Unix line ends: some of the solutions have others."""
    return text.replace("\r\n", "\n")


def _question(row: Any) -> str:
    tests = "\n".join(row["test_list"])
    return (
        "You are an expert Python programmer, and here is your task: "
        f"{row['text']} Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


BENCHMARKS = (Mbpp(), MbppThreeShot())
