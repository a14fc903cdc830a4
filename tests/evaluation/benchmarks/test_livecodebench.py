"""LiveCodeBench: rows in the hub's form, both kinds of tests, dates, pickles that are only read."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from evaluation.benchmarks import livecodebench
from evaluation.benchmarks.data import SETTING
from evaluation.benchmarks.generative import Task
from evaluation.benchmarks.livecodebench import LiveCodeBench, load_tasks, private_cases
from evaluation.benchmarks.stdin_programs import stdin_pairs
from evaluation.run import score_samples
from evaluation.sandbox import Limits, Sandbox


def packed(value: Any) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def row(number: int, date: str, **changes: Any) -> dict[str, Any]:
    cases = [{"input": "1 2\n3 4\n", "output": "3\n7\n", "testtype": "stdin"}]
    return {
        "question_id": f"q{number}",
        "question_content": "Print the sum of each line.",
        "contest_date": f"{date}T00:00:00",
        "starter_code": "",
        "public_test_cases": json.dumps(cases),
        "private_test_cases": packed(json.dumps([cases[0] | {"input": "5 6", "output": "11"}])),
        "metadata": "{}",
    } | changes


METHOD = {
    "starter_code": "class Solution:\n    def add(self, a: int, b: int) -> int:\n        ",
    "public_test_cases": json.dumps([{"input": "1\n2", "output": "3", "testtype": "functional"}]),
    "private_test_cases": "[]",
    "metadata": json.dumps({"func_name": "add"}),
}


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    lines = [row(2, "2024-05-01"), row(1, "2023-06-01", **METHOD)]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (tmp_path / "livecodebench.jsonl").write_text(text)
    monkeypatch.setenv(SETTING, str(tmp_path))
    monkeypatch.setattr(livecodebench, "load_tasks", load_tasks.__wrapped__)
    return tmp_path


@pytest.mark.usefixtures("sandbox_here")
def test_programs_and_methods_are_judged(rows: Path) -> None:
    program = "import sys\nfor line in sys.stdin:\n    print(sum(map(int, line.split())))\n"
    samples = [
        ("q2", program),
        ("q2", program.replace("print(", "print('', ")),  # spacing is free
        ("q2", "print(3)\nprint(7)\n"),  # the shown case alone
        ("q2", "raise SystemExit(0)\n"),
        ("q1", METHOD["starter_code"] + "return a + b\n"),
        ("q1", METHOD["starter_code"] + "return a - b\n"),
    ]
    path = rows / "samples.jsonl"
    path.write_text("".join(json.dumps({"task_id": t, "solution": s}) + "\n" for t, s in samples))
    score_samples("livecodebench", path, rows / "out")
    found = [json.loads(line) for line in (rows / "out" / "results.jsonl").open()]
    assert [line["passed"] for line in found] == [True, True, False, False, True, False]
    assert {line["grade"] for line in found} == {"judged"}


def test_tasks_are_dated_and_sorted(rows: Path) -> None:
    tasks = LiveCodeBench().tasks()
    assert [(task.task_id, task.date) for task in tasks] == [
        ("q1", "2023-06-01"),
        ("q2", "2024-05-01"),
    ]


def test_a_pickle_is_read_and_never_run() -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (pytest.fail, ("the pickle was executed",))

    assert private_cases(packed(json.dumps([{"input": "1"}]))) == [{"input": "1"}]
    assert private_cases('[{"input": "1"}]') == [{"input": "1"}]
    with pytest.raises(ValueError):
        private_cases(packed(Trap()))
    with pytest.raises(ValueError, match="one pickled string"):
        private_cases(packed(["a", "b"]))


READING = "a, b = map(int, input().split())\n"


@pytest.mark.parametrize(
    ("program", "passes"),
    [
        ("print(sum(map(int, open(0).read().split())))", True),
        ("import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))", True),
        ("import os\nos.write(1, str(sum(map(int, os.read(0, 99).split()))).encode())", True),
        (READING + "print(a + b)\nimport sys\nsys.stdout.close()", True),
        (READING + "print(a + b)\nraise SystemExit", True),
        (READING + "import atexit\natexit.register(lambda: print(a + b))", True),
        (READING + "print(a + b)\nimport os, sys\nsys.stdout.flush()\nos._exit(0)", True),
        ("import numpy as np\nprint(np.array(input().split(), int).sum())", True),
        (READING + "import sys\nprint(a + b, file=sys.__stdout__)", True),
        (
            READING + "import os\nos.mkdir('d' + input.__name__ * a)\nos.chdir('/')\nprint(a + b)",
            True,
        ),
        (READING + "import asyncio\nasyncio.get_event_loop().close()\nprint(a + b)", True),
        (READING + "import pickle\nclass A: pass\npickle.dumps(A())\nprint(a + b)", True),
        (READING + "import os\nif os.fork():\n    os.wait()\n    print(a + b)", True),
        (
            "import threading, time\ndef run():\n    time.sleep(0.05)\n"
            "    print(sum(map(int, input().split())))\nthreading.Thread(target=run).start()",
            True,
        ),
        (
            "from multiprocessing import Pool\ndef twice(x): return 2 * x\n"
            "if __name__ == '__main__':\n    with Pool(2) as pool:\n"
            "        print(sum(pool.map(twice, map(int, input().split()))) // 2)",
            True,
        ),
        (READING + "print(a + b)\nraise SystemExit(1)", False),
        (READING + "print(a + b)\nimport os\nos._exit(1)", False),
        (
            READING + "print(a + b)\nimport threading, os\nthreading.Timer(0.1, os.abort).start()",
            False,
        ),
        ("import os\nos.write(7, b'v\\0\\0\\0\\1N')", False),
        ("print(", False),
        ("print(3)", False),  # the second input has another sum
        (
            "import os\nos.write(1, b'3')\nos.lseek(1, 0, 0)\nprint(3 if input() == '1 2' else 8)",
            False,
        ),
    ],
)
def test_programs_read_and_print_as_they_like(sandbox: Sandbox, program: str, passes: bool) -> None:
    job = stdin_pairs(program, [("1 2\n", "3\n"), ("4 5", "9")], Limits())
    outcome = sandbox.run(job)
    assert outcome.passed == passes, outcome


@pytest.mark.parametrize(
    ("printed", "passes"),
    [
        ("0.50 1\\nYES", True),
        ("0.5 1.0\\n\\nYES", True),
        ("5e-1 1\\nYES", True),
        ("0.5 1\\nyes", False),
        ("0.5000001 1\\nYES", False),
        ("0.5 1 1\\nYES", False),
        ("0.5\\n1\\nYES", False),
        ("nan 1\\nYES", False),
    ],
)
def test_numbers_may_be_printed_otherwise(sandbox: Sandbox, printed: str, passes: bool) -> None:
    job = stdin_pairs(f"print('{printed}')", [("", "0.5 1\nYES\n")], Limits())
    assert sandbox.run(job).passed == passes


def test_a_tuple_will_do_for_a_list(sandbox: Sandbox) -> None:
    tests = [{"input": "1", "output": "[1, 2]"}]
    task = Task("q", "", {"starter": "class Solution:", "tests": tests, "method": "two"})
    for value, passes in (("(a, 2)", True), ("[a, 2]", True), ("(a, 3)", False)):
        source = f"class Solution:\n    def two(self, a): return {value}\n"
        assert sandbox.run(LiveCodeBench().checks(task, source)[0]).passed == passes


@pytest.mark.parametrize("program", ["while True: pass", "import time\ntime.sleep(60)"])
def test_a_program_past_its_time_is_stopped(sandbox: Sandbox, program: str) -> None:
    limits = Limits(cpu_seconds=1, input_cpu_seconds=1, wall_seconds=4)
    outcome = sandbox.run(stdin_pairs(program, [("1 2", "3")], limits))
    assert (outcome.passed, outcome.status) == (False, "timeout"), outcome
