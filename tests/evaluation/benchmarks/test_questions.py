"""Multiple choice and doctest-eval, on a tiny model and on documents of our own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from evaluation.backends import Backend, Job
from evaluation.backends.local import TransformersBackend
from evaluation.benchmarks.base import Context, UnavailableError
from evaluation.benchmarks.doctest_eval import DoctestEval, tasks_of
from evaluation.benchmarks.mmlu_cs import (
    MmluComputerScience,
    letter_of,
    load_questions,
    prompt_of,
)
from evaluation.generation import Parameters
from evaluation.models import load_model

MODULE = '''"""A module."""

BASE = 10


def scale(x):
    """Ten times x.

    >>> scale(2)
    20
    """
    return BASE * x


def wrong(x):
    """Its own example fails.

    >>> wrong(1)
    2
    """
    return x


def silent(x):
    """No example."""
    return x
'''


class Scripted(Backend):
    """An endpoint that answers from a function of the prompt."""

    name, digest = "scripted", "1" * 64

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def batches(self, jobs: Sequence[Job], parameters: Parameters) -> list[list[Job]]:
        return [[job] for job in jobs]

    def run(
        self, batches: Sequence[list[Job]], parameters: Parameters
    ) -> Iterator[tuple[list[Job], list[str]]]:
        for batch in batches:
            yield batch, [self.answer]


@pytest.mark.usefixtures("benchmark_files")
def test_questions_have_five_worked_ones_of_their_subject() -> None:
    questions = load_questions(1)
    assert len(questions) == 412
    prompt = prompt_of(questions[0])
    assert prompt.count("Answer:") == 6
    assert prompt.endswith("Answer:")
    assert letter_of("I think (C), not D") == "C"
    assert letter_of("None of them") == ""


@pytest.mark.usefixtures("benchmark_files")
def test_a_model_answers_by_likelihood_and_an_endpoint_by_letter(
    tiny_model: Path, tmp_path: Path
) -> None:
    backend = TransformersBackend(load_model(tiny_model, device="cpu"))
    result = MmluComputerScience().evaluate(Context(backend, tmp_path / "a", limit=3))
    assert [score.metric for score in result.scores] == ["accuracy", "accuracy_text"]
    assert all(row["completion"] in "ABCD" for row in result.rows)
    asked = MmluComputerScience().evaluate(Context(Scripted(" D"), tmp_path / "b", limit=20))
    right = sum(question.answer == 3 for question in load_questions(1)[:20])
    assert asked.scores[0].value == right / 20
    assert len(asked.scores) == 1


def test_functions_with_examples_are_found() -> None:
    tasks = list(tasks_of("d" * 64, MODULE))
    assert [task.data["name"] for task in tasks] == ["scale", "wrong"]
    assert tasks[0].prompt.endswith('20\n    """\n')
    assert tasks[0].prompt.startswith('"""A module."""')
    assert list(tasks_of("d", "def broken(:")) == []


@pytest.mark.usefixtures("sandbox_here")
def test_only_functions_that_pass_their_own_examples_are_asked(tmp_path: Path) -> None:
    rows = {"doc_id": ["d" * 64], "content": [MODULE], "language": ["Python"]}
    (tmp_path / "docs").mkdir()
    parquet.write_table(pa.table(rows), tmp_path / "docs" / "a.parquet")

    def pass_rate(answer: str, out: str) -> float:
        context = Context(Scripted(answer), tmp_path / out, heldout=tmp_path / "docs")
        result = DoctestEval().evaluate(context)
        assert len(result.rows) == 1
        return result.scores[0].value

    assert pass_rate("    return x * BASE\n", "right") == 1.0
    assert pass_rate("    return x\n", "wrong") == 0.0
    with pytest.raises(UnavailableError, match="--heldout"):
        DoctestEval().evaluate(Context(Scripted(""), tmp_path / "none"))
