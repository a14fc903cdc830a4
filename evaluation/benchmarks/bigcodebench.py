"""BigCodeBench: 1140 tasks that use libraries, 148 of them hard (paper 5.1 and 5.2).

`complete` continues a long docstring (base models), `instruct` starts from a sentence (chat
models). The tests are unittest classes that patch and inspect the answer's module, so they share
its process. Tasks whose libraries are not installed here are left out, and the report lists them.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal

from evaluation.benchmarks.data import DataFile, Hub
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.python_functions import STOP, STOP_BASE, STOP_CHAT, answered, completed
from evaluation.sandbox import Job, Limits, Program

_FIELDS = (
    "task_id", "complete_prompt", "instruct_prompt", "canonical_solution", "code_prompt", "test",
    "entry_point", "libs",
)  # fmt: skip
_FULL = DataFile(
    name="BigCodeBench.jsonl",
    sha256="33baf4f414eb34507f1a8fd55ef9bcd79c1f9b4c3e8e2544f023edac1b20afec",
    how_to_get="download hf_data/BigCodeBench.jsonl.gz from "
    "https://github.com/bigcode-project/bigcodebench-annotation",
    hub=Hub(
        "bigcode/bigcodebench",
        _FIELDS,
        "87451f74152a03c385b6ae86c9ec949451968041f0961861b660e21d87e9f630",
        splits=("v0.1.0_hf",),
    ),
)
_HARD = DataFile(
    name="BigCodeBench_Hard.jsonl",
    sha256="6aecfe7a8791800a431d29f0d5da39f39d29782d1579c4cf68b662c0d6e2a480",
    how_to_get="download OpenCodeEval/src/data/BigCodeBench_Hard.jsonl from "
    "https://github.com/OpenCoder-llm/OpenCoder-llm",
    hub=Hub(
        "bigcode/bigcodebench-hard",
        _FIELDS,
        "0e3139e669d8f21a60662f02c6f967edde41f19b3fcb95d6b073790ddf1a0aee",
        splits=("v0.1.1",),
    ),
)
EPILOGUE = """

import io as _io
import unittest as _unittest
_found = _unittest.defaultTestLoader.loadTestsFromTestCase(TestCases)
_outcome = _unittest.TextTestRunner(stream=_io.StringIO()).run(_found)
_broken = [text for _, text in _outcome.failures + _outcome.errors]
assert _outcome.testsRun > 0, "no test ran"
assert not (_outcome.skipped or _outcome.expectedFailures), "a test was skipped"
assert not _broken, _broken[0][-400:]
"""


class BigCodeBench(GenerativeBenchmark):
    """One of the two sets with one of the two prompts."""

    limits = Limits(cpu_seconds=10.0, memory_bytes=4 * 1024**3, processes=64)

    def __init__(self, data: DataFile, prompt: Literal["complete", "instruct"]) -> None:
        part = "hard" if data is _HARD else "full"
        self._data, self._prompt = data, prompt
        self.name = f"bigcodebench_{part}_{prompt}"
        size = 148 if data is _HARD else 1140
        kind = "a long docstring" if prompt == "complete" else "an instruction"
        self.description = f"{size} tasks that use libraries, from {kind}; executed tests"

    def missing(self, heldout: Path | None = None) -> str | None:
        return self._data.missing()

    @cache  # noqa: B019 - one instance a set lives as long as the process
    def _tasks(self) -> tuple[Task, ...]:
        return tuple(
            Task(row["task_id"], row[f"{self._prompt}_prompt"], row) for row in self._data.rows()
        )

    def tasks(self) -> list[Task]:
        return list(self._tasks())

    def instruction(self, task: Task) -> str:
        if self._prompt == "instruct":
            return f"{task.prompt.strip()}\nAnswer with one Python code block.\n"
        return (
            "Complete this code and answer with the whole of it in one Python code block:\n\n"
            f"```python\n{task.prompt.strip()}\n```\n"
        )

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else STOP + STOP_BASE

    def base_prompt(self, task: Task) -> str:
        return self._opening(task).rstrip()

    def _opening(self, task: Task) -> str:
        if self._prompt == "complete":
            return task.prompt
        return f'"""\n{task.prompt.strip()}\n"""\n{task.data["code_prompt"].rstrip()}\n'

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat:
            return answered(task.data["code_prompt"], completion, task.data["entry_point"])
        return completed(self._opening(task), completion)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        test = f"{task.data['test']}\n{EPILOGUE}"
        return [Program(source=source, test=test, profile="packages", limits=self.limits)]

    def canonical(self, task: Task) -> str | None:
        return f"{task.data['code_prompt']}{task.data['canonical_solution']}"

    def unavailable(self, task: Task) -> str | None:
        libraries = {*ast.literal_eval(task.data["libs"]), *_imported(task.data["test"])}
        absent = sorted(name for name in libraries if not _installed(name))
        return f"needs {', '.join(absent)}, not installed here" if absent else None


def _imported(code: str) -> set[str]:
    """Top-level names of the packages that a test imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@cache
def _installed(name: str) -> bool:
    return name in sys.stdlib_module_names or importlib.util.find_spec(name) is not None


BENCHMARKS = (
    BigCodeBench(_FULL, "complete"),
    BigCodeBench(_FULL, "instruct"),
    BigCodeBench(_HARD, "complete"),
    BigCodeBench(_HARD, "instruct"),
)
