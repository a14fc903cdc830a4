"""One's own tasks: both row formats, pairs judged outside, and errors that name the line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.__main__ import main
from evaluation.benchmarks import select
from evaluation.benchmarks.base import UnavailableError
from evaluation.benchmarks.generative import Task
from evaluation.run import score_samples

PAIRS = {
    "task_id": "own/0",
    "prompt": "def double(x):\n",
    "entry_point": "double",
    "canonical_solution": "    return 2 * x\n",
    "inputs": [[1], ["ab"], [[1, 2]]],
    "expected": [2, "abab", [1, 2, 1, 2]],
}
TESTED = {
    "task_id": "own/1",
    "prompt": "def pair(a, b):\n",
    "entry_point": "pair",
    "canonical_solution": "    return (a, b)\n",
    "test": "def check(candidate):\n    assert candidate(1, 2) == (1, 2)\n",
    "inputs": [[3, 4]],
    "expected": [[3, 4]],
}
MBPP = {
    "task_id": 7,
    "text": "Write a function to add three.",
    "code": "def add_three(x):\n    return x + 3",
    "test_list": ["assert add_three(1) == 4", "assert add_three(-3) == 0"],
}


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.usefixtures("sandbox_here")
def test_pairs_and_tests_are_judged(tmp_path: Path) -> None:
    tasks = write(tmp_path / "tasks.jsonl", [PAIRS, TESTED])
    samples = write(
        tmp_path / "samples.jsonl",
        [
            {"task_id": "own/0", "completion": "    return x + x\n"},
            {"task_id": "own/0", "completion": "    return x\n"},
            # equal to everything, but values are compared where it cannot reach
            {
                "task_id": "own/0",
                "solution": "class Yes:\n    __eq__ = lambda *_: True\ndouble = lambda x: Yes()\n",
            },
            {"task_id": "own/1", "completion": "    return a, b\n"},
            {"task_id": "own/1", "completion": "    return (1, 2)\n"},  # passes `test` alone
            {"task_id": "own/1", "completion": "    return None\n"},
        ],
    )
    arguments = ["--benchmark", f"file:{tasks}", "--samples", str(samples)]
    assert main(["score", *arguments, "--out", str(tmp_path / "out")]) == 0
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").open()]
    assert [row["passed"] for row in rows] == [True, False, False, True, False, False]
    assert {row["grade"] for row in rows} == {"judged"}
    assert {row["benchmark"] for row in rows} == {"file:tasks"}


@pytest.mark.usefixtures("sandbox_here")
def test_mbpps_format(tmp_path: Path) -> None:
    tasks = write(tmp_path / "own.jsonl", [MBPP])
    samples = write(
        tmp_path / "s.jsonl",
        [
            {"task_id": 7, "solution": MBPP["code"]},
            {"task_id": 7, "solution": "def add_three(x): return 4"},
        ],
    )
    scores = score_samples(f"file:{tasks}", samples, tmp_path / "out")
    assert scores[0].value == 0.5


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "x"}, "an object with task_id"),
        ({"task_id": "a", "prompt": "x"}, "missing entry_point"),
        ({"task_id": "a", "prompt": "x", "entry_point": "f"}, "nothing to check with"),
        (PAIRS | {"expected": [1]}, "lists of one length"),
        (PAIRS | {"inputs": [1, 2, 3]}, "list of a call's arguments"),
        ({"task_id": "a", "text": "", "test_list": ["x"]}, "needs text and a test_list"),
    ],
)
def test_bad_tasks_name_the_line(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "bad.jsonl", [PAIRS | {"task_id": "first"}, row])
    with pytest.raises(ValueError, match=rf"bad\.jsonl line 2: .*{message}"):
        select([f"file:{path}"])


def test_files_that_cannot_be_benchmarks(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="not found"):
        select([f"file:{tmp_path / 'none.jsonl'}"])
    with pytest.raises(ValueError, match="appears twice"):
        select([f"file:{write(tmp_path / 'twice.jsonl', [PAIRS, PAIRS])}"])
    with pytest.raises(ValueError, match="mixed"):
        select([f"file:{write(tmp_path / 'mixed.jsonl', [PAIRS, MBPP])}"])
    with pytest.raises(ValueError, match="no tasks"):
        select([f"file:{write(tmp_path / 'empty.jsonl', [])}"])


@pytest.mark.usefixtures("sandbox_here")
@pytest.mark.parametrize(
    ("prompt", "completion", "answer"),
    [
        ("def double(x):\n    return ", "2 * x", "def double(x): return x + x"),
        ("def double(x):\n    return", " 2 * x\n", "def double(x): return x + x"),
        ("def double(x):", "\n    return 2 * x", "    return 2 * x"),
        ("def double(x):\n    ", "return 2 * x", "def double(x): return x + x"),
        ("import math\n# To write.\n", "double = lambda x: 2 * x", "def double(x): return 2 * x"),
        ('"""\nWrite double.\n"""\n', "def double(x): return 2 * x", "def double(x): return 2 * x"),
    ],
)  # fmt: skip
def test_a_prompt_may_end_anywhere(
    tmp_path: Path, prompt: str, completion: str, answer: str
) -> None:
    test = "def check(candidate):\n    assert candidate(3) == 6\n"
    tasks = write(tmp_path / "tasks.jsonl", [{**PAIRS, "prompt": prompt, "test": test}])
    for text, chat in ((completion, False), (f"```python\n{answer}\n```", True)):
        samples = write(tmp_path / "s.jsonl", [{"task_id": "own/0", "completion": text}])
        scores = score_samples(f"file:{tasks}", samples, tmp_path / f"out{chat}", chat=chat)
        assert [score.value for score in scores if "pass@" in score.metric] == [1.0] * 2, chat


@pytest.mark.usefixtures("sandbox_here")
def test_files_may_be_gzipped_or_begin_with_a_mark_and_have_blank_lines(tmp_path: Path) -> None:
    tasks = tmp_path / "tasks.jsonl.gz"
    tasks.write_bytes(gzip.compress(b"\xef\xbb\xbf" + json.dumps(PAIRS).encode() + b"\r\n\r\n"))
    rows = [
        {"task_id": "own/0", "completion": f"    return {text}"} for text in ("x", "2 * x", "0")
    ]
    samples = write(tmp_path / "plain.jsonl", rows)
    packed = tmp_path / "samples.jsonl.gz"
    packed.write_bytes(gzip.compress(samples.read_bytes()))
    scores = score_samples(f"file:{tasks}", packed, tmp_path / "out", ks=[2])
    found = {score.metric: (score.model, score.benchmark, score.value) for score in scores}
    assert found["pass@2"] == ("samples", "file:tasks", pytest.approx(2 / 3))
    with pytest.raises(ValueError, match=r"pass@4 needs at least 4 samples .* found 3"):
        score_samples(f"file:{tasks}", packed, tmp_path / "out", ks=[4])
    packed.write_bytes(samples.read_bytes() + b"\xff")
    with pytest.raises(ValueError, match=r"samples\.jsonl\.gz: expected JSON lines in UTF-8"):
        score_samples(f"file:{tasks}", packed, tmp_path / "out")


@pytest.mark.usefixtures("sandbox_here")
def test_samples_of_tasks_that_cannot_be_checked_here_are_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = write(tmp_path / "tasks.jsonl", [PAIRS, TESTED])
    rows = [{"task_id": f"own/{n}", "completion": "    return 2 * x\n"} for n in (0, 1)]
    samples = write(tmp_path / "s.jsonl", rows)

    def needs(self: object, task: Task) -> str | None:
        return "needs a library" if task.task_id == "own/1" else None

    monkeypatch.setattr("evaluation.benchmarks.own_tasks.OwnHumanEval.unavailable", needs)
    scores = score_samples(f"file:{tasks}", samples, tmp_path / "out")
    assert (scores[0].value, scores[0].n) == (1.0, 1)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["tables"] == {
        "file:tasks left out": [{"task_id": "own/1", "reason": "needs a library"}]
    }
    write(samples, rows[1:])
    with pytest.raises(UnavailableError, match="needs a library"):
        score_samples(f"file:{tasks}", samples, tmp_path / "out")


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    files = [write(folder / "tasks.jsonl", [PAIRS]) for folder in (tmp_path, tmp_path / "other")]
    with pytest.raises(ValueError, match="a second file of tasks of this name"):
        select([f"file:{path}" for path in files])
