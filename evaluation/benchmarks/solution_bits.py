"""Bits per byte of canonical solutions given their prompts: HumanEval, MBPP, HumanEval-X languages.

Names as elsewhere: `humaneval_bpb`, `mbpp_bpb`, `humaneval-x_bpb-java`. MultiPL-E has no canonical
solutions of its own; HumanEval-X, the same problems solved by hand, stands for its languages.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from evaluation.benchmarks import humaneval, mbpp
from evaluation.benchmarks.humaneval_x import BENCHMARKS as TRANSLATED
from evaluation.benchmarks.humaneval_x import HumanEvalX
from evaluation.benchmarks.likelihoods import Mutants, SolutionBits, Solved


def humaneval_solved() -> list[Solved]:
    """HumanEval's tasks with their solutions."""
    return [
        (task.task_id, task.prompt, task.data["canonical_solution"])
        for task in humaneval.load_tasks()
    ]


class HumanEvalBits(SolutionBits):
    """HumanEval."""

    name = "humaneval_bpb"
    description = "bits per byte of the 164 canonical solutions given their prompts"

    def missing(self, heldout: Path | None = None) -> str | None:
        return humaneval.DATA.missing()

    def solved(self) -> Sequence[Solved]:
        return humaneval_solved()


class MbppBits(SolutionBits):
    """MBPP's 500 test tasks after the sentence and one assert."""

    name = "mbpp_bpb"
    description = "bits per byte of 500 canonical solutions given sentence and assert"

    def missing(self, heldout: Path | None = None) -> str | None:
        return mbpp.DATA.missing()

    def solved(self) -> Sequence[Solved]:
        benchmark = mbpp.Mbpp()
        return [
            (task.task_id, benchmark.base_prompt(task), mbpp.unix(task.data["code"]))
            for task in benchmark.tasks()
        ]


class TranslatedBits(SolutionBits):
    """One language of HumanEval-X."""

    def __init__(self, origin: HumanEvalX) -> None:
        self._origin = origin
        self.name = f"humaneval-x_bpb-{origin.language}"
        self.description = f"bits per byte of {origin.language} solutions given their prompts"

    def missing(self, heldout: Path | None = None) -> str | None:
        return self._origin.data.missing()

    def solved(self) -> Sequence[Solved]:
        return [
            (task.task_id, task.prompt, task.data["canonical_solution"])
            for task in self._origin.tasks()
        ]


class HumanEvalMutants(Mutants):
    """HumanEval."""

    name = "humaneval_mutants"
    description = "is the canonical solution likelier than four faulty copies (chance 0.2)"

    def missing(self, heldout: Path | None = None) -> str | None:
        return humaneval.DATA.missing()

    def solved(self) -> Sequence[Solved]:
        return humaneval_solved()


BENCHMARKS = (
    HumanEvalBits(),
    MbppBits(),
    HumanEvalMutants(),
    *(TranslatedBits(origin) for origin in TRANSLATED),
)
