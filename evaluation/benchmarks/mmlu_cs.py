"""Multiple-choice theory: the four computer science subjects of MMLU, 412 questions.

With a model's weights the choice is read from likelihoods, with five worked questions before each:
`accuracy` by the letter, `accuracy_text` by the choice's own text per byte. An endpoint is asked
for the letter. Chance is 0.25.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from evaluation.benchmarks.base import Benchmark, Context, Result, Score, remembered
from evaluation.benchmarks.data import DataFile
from evaluation.metrics import wilson_interval
from evaluation.records import Row

_LETTERS = "ABCD"
_HOW = "export the subject from cais/mmlu on the hub with the columns question, choice0-3, answer"
_FILES = {
    "college_computer_science": (
        "3c5cf94f26d6bfa8c19df7df3214032f95d29139f6018f03d99f92f6db637d52",
        "f06e071452389e4a9f0aa7c5bc07401b282ffd659f9ec08c2d301b1fca471024",
    ),
    "high_school_computer_science": (
        "e012aba074b95dcdf9875ef956e6800da5193ee1afe409dd6e9d71beebb8129d",
        "3865e92ef308c42ad7d653301647c6cd5bfa6d67f20c9fbbdfe14c2c1eb5bbbc",
    ),
    "computer_security": (
        "029054135a2122654866880966bb9c81b16b1301caae5a1d18092093b223caa7",
        "f4b8b8f107144acd0c2b343553986c161a759cd459706cb72f9bb72752655162",
    ),
    "machine_learning": (
        "25b78353edd62f6b4d17fe6e2ea391018c23e61e2a0fe6e8807eb32cea2561af",
        "50d163266dbc8672b8097c32a4765ff4a5e8767ac4a8971e70ddccbd5b817bd3",
    ),
}


class Question(NamedTuple):
    """One question: its id, the shots before it, the text, four choices, the right one's place."""

    task_id: str
    subject: str
    text: str
    choices: tuple[str, ...]
    answer: int


def _file(subject: str, part: int) -> DataFile:
    kind = ("dev", "test")[part]
    return DataFile(f"mmlu-cs/{subject}_{kind}.csv", _FILES[subject][part], _HOW)


@cache
def load_questions(part: int) -> tuple[Question, ...]:
    """The worked questions (part 0) or the 412 to answer (part 1)."""
    found = []
    for subject in _FILES:
        for number, row in enumerate(_file(subject, part).rows()):
            choices = tuple(row[f"choice{place}"] for place in range(4))
            found.append(
                Question(
                    f"{subject}/{number}", subject, row["question"], choices, int(row["answer"])
                )
            )
    return tuple(found)


class MmluComputerScience(Benchmark):
    """See the module."""

    name = "mmlu_cs"
    metric = "accuracy"
    description = "412 multiple-choice questions of computer science (chance 0.25)"

    def missing(self, heldout: Path | None = None) -> str | None:
        for subject in _FILES:
            for part in (0, 1):
                if lacking := _file(subject, part).missing():
                    return lacking
        return None

    def prepare(self, heldout: Path | None = None) -> None:
        super().prepare(heldout)
        load_questions(0)
        load_questions(1)

    def texts(self) -> dict[str, tuple[str, ...]]:
        return {one.task_id: (one.text, " ".join(one.choices)) for one in load_questions(1)}

    def evaluate(self, context: Context) -> Result:
        self.prepare(context.heldout)
        questions = load_questions(1)[: context.limit]
        rows = (
            _asked(context, questions, self.name)
            if context.backend.loaded is None
            else _by_likelihood(context, questions, self.name)
        )
        scores = []
        for metric, column in (("accuracy", "correct"), ("accuracy_text", "correct_text")):
            values = [row.get(column) for row in rows]
            if None in values:
                continue
            correct = sum(bool(value) for value in values)
            interval = wilson_interval(correct, len(rows))
            value = correct / len(rows)
            scores.append(
                Score(self.name, metric, value, *interval, len(rows), context.model, context.chat)
            )
        return Result(rows, scores)


def prompt_of(question: Question, *, shots: int = 5) -> str:
    """The worked questions of its subject, then the question, up to where the answer begins."""
    worked = [other for other in load_questions(0) if other.subject == question.subject][:shots]
    title = question.subject.replace("_", " ")
    parts = [f"Multiple-choice questions about {title}, with answers.\n\n"]
    parts += [f"{_shown(other)} {_LETTERS[other.answer]}\n\n" for other in worked]
    return "".join([*parts, _shown(question)])


def _shown(question: Question) -> str:
    choices = "".join(
        f"{letter}. {choice}\n" for letter, choice in zip(_LETTERS, question.choices, strict=True)
    )
    return f"{question.text}\n{choices}Answer:"


def _by_likelihood(context: Context, questions: Sequence[Question], name: str) -> list[Row]:
    def compute() -> list[Row]:
        from evaluation.likelihood import continuation_bits

        pairs = []
        for question in questions:
            prompt = prompt_of(question)
            pairs += [(prompt, f" {letter}") for letter in _LETTERS]
            pairs += [(f"Question: {question.text}\nAnswer:", f" {c}") for c in question.choices]
        costs = continuation_bits(context.loaded, pairs, batch_size=context.batch_size)
        rows: list[Row] = []
        for place, question in enumerate(questions):
            letters = costs[8 * place : 8 * place + 4]
            texts = costs[8 * place + 4 : 8 * place + 8]
            by_letter = min(range(4), key=lambda i: letters[i].bits)
            by_text = min(range(4), key=lambda i: texts[i].bits / texts[i].bytes)
            rows.append(
                {
                    "correct": by_letter == question.answer,
                    "correct_text": by_text == question.answer,
                    "completion": _LETTERS[by_letter],
                }
            )
        return rows

    return remembered(context.out, _keys(context, questions, name, "likelihood"), compute)


def _asked(context: Context, questions: Sequence[Question], name: str) -> list[Row]:
    def compute() -> list[Row]:
        from evaluation.generation import Parameters, generate

        prompts = [prompt_of(question) for question in questions]
        if context.chat:
            prompts = [f"{prompt}\nReply with the letter alone." for prompt in prompts]
        parameters = Parameters(max_new_tokens=16, stop=("\n",), chat=context.chat)
        cache = context.out / "generations.jsonl"
        texts = generate(context.backend, prompts, parameters, cache=cache)
        return [
            {"correct": letter_of(text) == _LETTERS[question.answer], "completion": text}
            for question, (text,) in zip(questions, texts, strict=True)
        ]

    return remembered(context.out, _keys(context, questions, name, "asked"), compute)


def letter_of(text: str) -> str:
    """The first letter from A to D that stands alone, "" without one.

    >>> letter_of("The answer is (B).")
    'B'
    """
    found = re.search(r"\b([ABCD])\b", text)
    return found.group(1) if found else ""


def _keys(context: Context, questions: Sequence[Question], name: str, way: str) -> list[Row]:
    facts = "\0".join((context.backend.digest, way, *(repr(question) for question in questions)))
    work = hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()
    return [
        {
            "benchmark": name,
            "chat": context.chat,
            "task_id": question.task_id,
            "sample": 0,
            "work": work,
        }
        for question in questions
    ]


BENCHMARKS = (MmluComputerScience(),)
