"""LiveCodeBench: contest problems by date, so that a model can be asked only newer ones (paper
5.2).

Rows as the hub's `livecodebench/code_generation_lite` has them. Problems with a starter class are
judged by its method's results, the others by what the program prints for an input; both outside the
model's process. Choose the window by --since and --until; the paper used 2023-05 to 2024-09.
"""

from __future__ import annotations

import ast
import base64
import json
import pickletools
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.python_functions import STOP_CHAT, profile_of, program, standalone
from evaluation.benchmarks.stdin_programs import stdin_pairs
from evaluation.sandbox import Compare, Job, Limits, Pairs

DATA = DataFile(
    name="livecodebench.jsonl",
    sha256="",  # it grows with every contest: the window decides, and each row's hash is kept
    how_to_get="join the test*.jsonl files of livecodebench/code_generation_lite from the hub into "
    "one file of this name",
)
_MOST_BYTES = 512 * 1024**2


@cache
def load_tasks() -> tuple[Task, ...]:
    """All problems, oldest first. Raises ValueError on a row that is no problem."""
    tasks = [_task(row) for row in DATA.rows()]
    return tuple(sorted(tasks, key=lambda task: (task.date, task.task_id)))


class LiveCodeBench(GenerativeBenchmark):
    """See the module."""

    name = "livecodebench"
    description = "contest problems by date (--since, --until); executed tests"
    # inputs and what is printed lie in files of the program's
    limits = Limits(
        cpu_seconds=60.0,
        input_cpu_seconds=6.0,
        file_bytes=64 * 1024**2,
        scratch_bytes=192 * 1024**2,
    )

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())

    def instruction(self, task: Task) -> str:
        if task.data["starter"]:
            form = f"Use this start:\n```python\n{task.data['starter']}\n```"
        else:
            form = "Read from standard input and print the answer to standard output."
        return (
            f"Solve this problem with a Python program.\n\n{task.prompt}\n\n{form}\n"
            "Answer with the whole program in one Python code block.\n"
        )

    def base_prompt(self, task: Task) -> str:
        return f"{self.instruction(task)}\n```python\n{task.data['starter']}"

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else (*STOP_CHAT, "\n```")

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        text = completion if chat else f"```python\n{task.data['starter']}{completion}\n```"
        raw, sanitised = standalone(text, "Solution" if task.data["starter"] else "")
        return program(raw), program(sanitised)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        tests = task.data["tests"]
        if not task.data["method"]:
            cases = [(test["input"], test["output"]) for test in tests]
            return [stdin_pairs(source, cases, self.limits)]
        method = task.data["method"]
        call = f"\n\n\ndef call_solution(*given):\n    return Solution().{method}(*given)\n"
        return [
            Pairs(
                source=source + call,
                entry_point="call_solution",
                inputs=[tuple(_values(test["input"])) for test in tests],
                expected=[_value(test["output"]) for test in tests],
                compare=Compare(oracle="as_json"),  # a tuple will do for a list
                limits=self.limits,
                profile=profile_of(source),
            )
        ]


def private_cases(text: str) -> list[dict[str, Any]]:
    """Test cases as JSON, or as base64 of zlib of a pickled string of JSON.

    The pickle is read, never executed: it may hold one string and nothing that builds an object.
    """
    try:
        return list(json.loads(text))
    except ValueError:
        pass
    packed = zlib.decompressobj()
    data = packed.decompress(base64.b64decode(text), _MOST_BYTES)
    strings = [argument for _, argument, _ in pickletools.genops(data) if isinstance(argument, str)]
    if len(strings) != 1 or packed.unconsumed_tail:
        raise ValueError(f"expected one pickled string below {_MOST_BYTES} bytes")
    return list(json.loads(strings[0]))


def _task(row: dict[str, Any]) -> Task:
    where = f"{DATA.name}, {row.get('question_id')}"
    try:
        tests = json.loads(row["public_test_cases"]) + private_cases(row["private_test_cases"])
        metadata = json.loads(row["metadata"] or "{}")
        return Task(
            task_id=str(row["question_id"]),
            prompt=row["question_content"],
            data={
                "starter": row["starter_code"] or "",
                "tests": tests,
                "method": metadata.get("func_name", ""),
            },
            date=str(row["contest_date"])[:10],
        )
    except (KeyError, ValueError, zlib.error) as error:
        raise ValueError(
            f"{where}: expected a row of code_generation_lite ({type(error).__name__}: {error})"
        ) from error


def _values(text: str) -> list[Any]:
    return [_value(line) for line in text.split("\n") if line.strip()]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)


BENCHMARKS = (LiveCodeBench(),)
