"""A benchmark's own solutions pass its checks, and faulty ones do not."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from evaluation.benchmarks.base import registry
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.run import score_samples

pytestmark = pytest.mark.usefixtures("benchmark_files", "sandbox_here")


def judged(
    name: str, tmp_path: Path, solutions: Sequence[tuple[str, str]], *, solution: bool = True
) -> list[bool]:
    """Verdicts of (task id, text) pairs, by the `score` command's function."""
    kind = "solution" if solution else "completion"
    path = tmp_path / "samples.jsonl"
    path.write_text("".join(json.dumps({"task_id": t, kind: s}) + "\n" for t, s in solutions))
    score_samples(name, path, tmp_path / "out")
    return [json.loads(line)["passed"] for line in (tmp_path / "out/results.jsonl").open()]


def ready(name: str) -> GenerativeBenchmark:
    benchmark = registry()[name]
    assert isinstance(benchmark, GenerativeBenchmark)
    if lacking := benchmark.missing():
        pytest.skip(lacking)
    return benchmark


def solved(benchmark: GenerativeBenchmark, tasks: Sequence[Task]) -> list[tuple[str, str]]:
    return [(task.task_id, benchmark.canonical(task) or "") for task in tasks]


# one task of each kind of check: asserts outside, a class in the tests, a built-in's name, pairs,
# literals, other languages
SOME = {
    "cruxeval_input": ("sample_0", "sample_7"),
    "cruxeval_output": ("sample_0", "sample_7"),
    "humaneval+": ("HumanEval/2", "HumanEval/38"),
    "humaneval-x-py": ("Python/0",),
    "mbpp": ("Mbpp/12", "Mbpp/126", "Mbpp/367"),
    "mceval-sh": ("Shell/1",),
    "mdeval-json": ("JSON/1", "JSON/18"),
}


@pytest.mark.parametrize("name", sorted(SOME))
def test_some_canonical_solutions_pass(name: str, tmp_path: Path) -> None:
    benchmark = ready(name)
    tasks = [task for task in benchmark.tasks() if task.task_id in SOME[name]]
    assert len(tasks) == len(SOME[name])
    tasks = [task for task in tasks if benchmark.unavailable(task) is None]
    if not tasks:
        pytest.skip("libraries of the task are not installed")
    right = solved(benchmark, tasks)
    # the second has half of a surrogate pair, which no file of text can hold
    wrong = [(tasks[0].task_id, text) for text in ("nonsense(", "raise ValueError('\ud800')")]
    assert judged(name, tmp_path, [*right, *wrong]) == [True] * len(right) + [False, False]


CANONICAL = (
    "cruxeval_input",
    "cruxeval_output",
    "humaneval",
    "humaneval+",
    "humaneval-x-cpp",
    "humaneval-x-go",
    "humaneval-x-java",
    "humaneval-x-js",
    "humaneval-x-py",
    "humaneval-x-rs",
    "mbpp",
    "mbpp+",
    "mceval-coffeescript",
    "mceval-elixir",
    "mceval-emacs_lisp",
    "mceval-erlang",
    "mceval-fortran",
    "mceval-go",
    "mceval-haskell",
    "mceval-py",
    "mceval-r",
    "mceval-rkt",
    "mceval-sh",
    "mceval_completion-py",
    "mdeval-py",
)
#: Solutions (not their tasks) that need a package of npm's, a crate, or an order of a map's keys.
LACKING = {"JavaScript/162", "Rust/91", "Rust/162", "Go/95"}
#: Solutions that fail their own tests, which console.assert of Node's only prints.
FAULTY = {"JavaScript/112", "JavaScript/155"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", CANONICAL)
def test_all_canonical_solutions_pass(name: str, tmp_path: Path) -> None:
    benchmark = ready(name)
    tasks = [task for task in benchmark.tasks() if benchmark.unavailable(task) is None]
    right = solved(benchmark, tasks)
    verdicts = judged(name, tmp_path, right)
    wrong = [pair[0] for pair, passed in zip(right, verdicts, strict=True) if not passed]
    assert set(wrong) <= LACKING | (FAULTY if name == "humaneval-x-js" else set())


#: Other numbers, and the opposite of what is compared and told.
_OTHERWISE = {
    " < ": " >= ", " <= ": " > ", " > ": " <= ", " >= ": " < ", " == ": " != ", " === ": " !== ",
    " + ": " - ", "true": "false", "false": "true", "TRUE": "FALSE", "FALSE": "TRUE",
    "#t": "#f", "#f": "#t", "True": "False", "False": "True", "Hello": "Hullo",
    "max": "min", "min": "max",
}  # fmt: skip
_TOLD = re.compile(
    rf"(?<!\w)(?:{'|'.join(re.escape(text) for text in _OTHERWISE)})(?!\w)|(?<![\w.])\d+(?![\w.])"
)


def falsified(text: str) -> str:
    """A solution that mostly runs and mostly says something else."""
    return _TOLD.sub(
        lambda found: _OTHERWISE.get(found.group()) or str(int(found.group()) + 1), text
    )


QUICK = ("humaneval-x-js", "mceval-js", "mceval-lua", "mceval-php", "mceval-rb", "mceval-sh")
WRONG = (
    *("humaneval-x-cpp", "humaneval-x-go", "humaneval-x-java", "humaneval-x-rs"),
    *("mceval-c", "mceval-coffeescript", "mceval-cpp", "mceval-cs", "mceval-elixir"),
    *("mceval-emacs_lisp", "mceval-fortran", "mceval-groovy", "mceval-haskell", "mceval-java"),
    *("mceval-pl", "mceval-r", "mceval-rs", "mceval-scala", "mceval-tcl", "mceval-ts"),
    *("mdeval-common_lisp", "mdeval-cpp", "mdeval-js", "mdeval-php", "mdeval-r", "mdeval-rb"),
)


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "name", [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in WRONG)]
)
def test_wrong_solutions_fail(name: str, tmp_path: Path) -> None:
    """Checks that only print, or that never run, would let all of these pass."""
    benchmark = ready(name)
    right, wrong = [], []
    for task in benchmark.tasks()[:12]:
        solution = str(task.data["canonical_solution"])
        answer = benchmark.canonical(task) or ""
        changed = answer.replace(solution, falsified(solution))
        if benchmark.unavailable(task) is None and changed != answer:
            right.append((task.task_id, answer))
            wrong.append((task.task_id, changed))
    assert len(wrong) >= 6
    (tmp_path / "right").mkdir()
    (tmp_path / "wrong").mkdir()
    assert sum(judged(name, tmp_path / "right", right)) >= 0.9 * len(right)
    assert sum(judged(name, tmp_path / "wrong", wrong)) <= 0.3 * len(wrong)  # some say the same
    lines = (tmp_path / "wrong/out/results.jsonl").open()
    told = [json.loads(line)["status"] for line in lines]
    assert told.count("wrong") + told.count("killed") >= 2  # not only what does not compile


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_most_solutions_of_bigcodebench_pass(tmp_path: Path) -> None:
    """Some want other versions of their libraries, or more time than a program has."""
    benchmark = ready("bigcodebench_full_complete")
    tasks = [task for task in benchmark.tasks() if benchmark.unavailable(task) is None]
    verdicts = judged(benchmark.name, tmp_path, solved(benchmark, tasks))
    assert sum(verdicts) >= 0.95 * len(tasks)


def test_leetcodes_tests_become_pairs(tmp_path: Path) -> None:
    from evaluation.benchmarks.leetcode import as_pairs, load_tasks

    chosen = [task for task in load_tasks()[::20] if "ListNode" not in task.data["test"]]
    lists = [task for task in load_tasks() if "ListNode" in task.data["test"]]
    assert all(as_pairs(task.data["test"]) for task in chosen)
    assert [as_pairs(task.data["test"]) for task in lists] == [None, None]
    task = next(task for task in load_tasks() if "minimum-number-of-pushes" in task.task_id)
    right = (
        "class Solution:\n    def minimumPushes(self, word):\n"
        "        return sum(1 + place // 8 for place in range(len(word)))\n"
    )
    cheat = "class Solution:\n    def minimumPushes(self, word):\n        raise SystemExit(0)\n"
    answers = [(task.task_id, text) for text in (right, right.replace("8", "7"), cheat)]
    assert judged("leetcode", tmp_path, answers) == [True, False, False]


def test_cruxeval_answers_are_values_and_calls(tmp_path: Path) -> None:
    task = next(task for task in ready("cruxeval_output").tasks() if task.task_id == "sample_0")
    output = task.data["output"]
    answers = [
        f"assert f({task.data['input']}) == {output}\n",
        f"[ANSWER]\nassert f({task.data['input']}) == {output}",
        output,
        f"f({task.data['input']})",  # the question itself is no answer
        "[]",
    ]
    verdicts = judged(
        "cruxeval_output", tmp_path, [("sample_0", text) for text in answers], solution=False
    )
    assert verdicts == [True, True, True, False, False]
    (tmp_path / "input").mkdir()
    calls = [
        f"assert f({task.data['input']}) == {output}",
        task.data["input"],
        "[1]",
        "]; import os",
        "f(" + "1+" * 900 + "1)",  # nested too deep to be written again
        "f(0x" + "f" * 5000 + ")",
        "assert " + "f(1)" * 500,
        f"assert {output} == f({task.data['input']})",
        f"f(list({task.data['input']}))",
        f"assert {output} == f([1])",
        f"assert {output} == {output}",
        f"f(setattr(f, '__code__', (lambda _: {output}).__code__))",
        f"f([exec for exec in ''] or exec('f = lambda _: {output}'))",
        f"f((g := (x for x in '')).gi_frame.f_builtins.update(range=lambda _: {output}))",
    ]
    verdicts = judged(
        "cruxeval_input", tmp_path / "input", [("sample_0", t) for t in calls], solution=False
    )
    assert verdicts == [True, True, *[False] * 5, True, True, *[False] * 5]
