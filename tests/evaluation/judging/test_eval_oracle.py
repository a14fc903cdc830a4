"""Verdicts agree with EvalPlus's own, and canonical solutions always pass.

The whole comparison: pytest -m slow tests/evaluation/judging/test_eval_oracle.py (20-40 minutes).
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation.judging import evalplus
from evaluation.judging.evalplus import Dataset
from evaluation.sandbox import Sandbox, SandboxError
from tests.evaluation.judging import oracle

# cheap tasks that between them take every kind of comparison
QUICK = {
    "humaneval": ("HumanEval/0", "HumanEval/2", "HumanEval/8", "HumanEval/32", "HumanEval/53"),
    "mbpp": ("Mbpp/2", "Mbpp/124", "Mbpp/164", "Mbpp/295", "Mbpp/558", "Mbpp/581", "Mbpp/737"),
}
if sys.version_info >= (3, 12):  # sums of floats changed, the verdicts are of 3.11
    QUICK["humaneval"] = tuple(task for task in QUICK["humaneval"] if task != "HumanEval/32")
HEAVY_VARIANTS = ("loop", "swallow_loop")


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox("strict") as ready:
            yield ready
    except SandboxError as error:
        pytest.skip(f"no strict sandbox on this machine: {error}")


@pytest.mark.parametrize("dataset", ["humaneval", "mbpp"])
def test_quick_tasks_agree(dataset: Dataset, sandbox: Sandbox, tmp_path: Path) -> None:
    chosen = {k: v for k, v in oracle.problems(dataset).items() if k in QUICK[dataset]}
    assert disagreements(dataset, sandbox, chosen, tmp_path, skip=HEAVY_VARIANTS)[0] == []
    truth = evalplus.ground_truth(sandbox, list(chosen.values()), tmp_path)
    assert wrong_canonicals(sandbox, chosen, truth) == []


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("dataset", ["humaneval", "mbpp"])
def test_oracle_agreement(dataset: Dataset, sandbox: Sandbox, tmp_path: Path) -> None:
    found, total = disagreements(dataset, sandbox, oracle.problems(dataset), tmp_path)
    for line in found:
        print(line)
    print(f"{dataset}: {total - len(found)} of {total} verdicts agree")
    assert len(found) <= 0.005 * total


@pytest.mark.slow
@pytest.mark.timeout(14400)
@pytest.mark.parametrize("dataset", ["humaneval", "mbpp"])
def test_canonical_solutions_pass_ten_times_beside_hogs(
    dataset: Dataset, sandbox: Sandbox, tmp_path: Path
) -> None:
    problems = oracle.problems(dataset)
    truth = evalplus.ground_truth(sandbox, list(problems.values()), tmp_path)
    hogs = [multiprocessing.get_context("fork").Process(target=_spin, daemon=True) for _ in "1234"]
    for hog in hogs:
        hog.start()
    try:
        for run in range(10):
            wrong = wrong_canonicals(sandbox, problems, truth)
            print(f"run {run}: {len(problems) - len(wrong)} of {len(problems)} pass")
            assert wrong == []
    finally:
        for hog in hogs:
            hog.kill()


def disagreements(
    dataset: Dataset,
    sandbox: Sandbox,
    problems: dict[str, evalplus.Problem],
    cache: Path,
    skip: tuple[str, ...] = (),
) -> tuple[list[str], int]:
    """Verdicts that differ from the oracle's, and how many were compared."""
    rows = [
        row
        for row in oracle.samples(dataset)
        if row["task_id"] in problems and row["variant"] not in skip
    ]
    needed = {row["task_id"] for row in rows}
    truth = evalplus.ground_truth(sandbox, [problems[name] for name in sorted(needed)], cache)
    jobs = (
        job
        for row in rows
        for job in evalplus.jobs(problems[row["task_id"]], truth[row["task_id"]], row["solution"])
    )
    outcomes = sandbox.map(jobs)
    found = []
    for row in rows:
        for part in ("base", "plus"):
            outcome = next(outcomes)
            if outcome.passed != (row[f"{part}_status"] == "pass"):
                found.append(
                    f"{row['task_id']} {row['variant']} {part}: oracle {row[f'{part}_status']}, "
                    f"here {outcome.status} {outcome.error[:200]} ({outcome.cpu_seconds:.1f} s)"
                )
    return found, 2 * len(rows)


def wrong_canonicals(
    sandbox: Sandbox, problems: dict[str, evalplus.Problem], truth: dict[str, evalplus.Truth]
) -> list[str]:
    jobs = (evalplus.job(item, truth[item.task_id], item.canonical) for item in problems.values())
    return [
        f"{item.task_id}: {outcome.status} {outcome.error}"
        for item, outcome in zip(problems.values(), sandbox.map(jobs), strict=True)
        if not outcome.passed
    ]


def _spin() -> None:
    while True:
        pass
