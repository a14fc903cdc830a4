"""Find benchmark items in training examples (paper 4.4), so that scores measure skill, not memory.

An example is contaminated when it defines or asks for a function with the name of a test item's
entry point, or when it shares a run of ten words with a test item (prompt, solution or tests).
Words are the ``\\w+`` runs of the lower-cased text: the paper leaves unit and normalisation open.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from assets.recipe import Decontaminate

Rule = Literal["entry_point", "ngram"]

_WORD = re.compile(r"\w+")
_DEFINED = re.compile(r"\b(?:def|function|func|fn|fun|sub)\s+(\w+)|\b(\w+)\s*=\s*lambda\b")
# `name`, name( that is not a method call, "function called name"
_REQUESTED = re.compile(
    r"`(\w+)(?:\([^`\n]*\))?`|(?<![\w.])(\w+)\("
    r"|\b(?:function\s+)?(?:named|called)\s+['\"]?(\w+)|\bfunction\s+['\"]?(\w+)"
)


@dataclass(frozen=True)
class BenchmarkItem:
    """One test item. Word runs do not cross from one of its ``texts`` to the next."""

    benchmark: str
    task_id: str
    entry_point: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Hit:
    """Why a text is contaminated: ``evidence`` is the function name or the shared word run."""

    rule: Rule
    benchmark: str
    task_id: str
    evidence: str


class Contamination:
    """The names and word runs of a set of test items, ready to be looked for.

    Entry points are compared as whole, case-sensitive identifiers, and only with functions that a
    text *defines* or *asks for*: benchmarks have entry points such as ``add`` or ``f``, and a call
    ``seen.add(x)`` inside an answer is no leak. Nothing else is exempt, however common the name.
    Test items shorter than ``ngram`` words can only be found by their entry point.
    """

    def __init__(
        self, items: Iterable[BenchmarkItem], *, ngram: int = 10, entry_points: bool = True
    ) -> None:
        if ngram < 1:
            raise ValueError(f"ngram must be at least 1 word, found {ngram}")
        self.ngram = ngram
        self._names: dict[str, tuple[str, str]] = {}
        self._runs: dict[str, tuple[str, str]] = {}
        for item in sorted(items, key=lambda i: (i.benchmark, i.task_id)):
            origin = (item.benchmark, item.task_id)
            if entry_points:
                self._names.setdefault(item.entry_point, origin)
            for text in item.texts:
                for run in word_runs(text, ngram):
                    self._runs.setdefault(run, origin)
        if not self._runs:
            raise ValueError(
                "no test item to decontaminate against: expected the items of at least one "
                "benchmark, found none with enough words"
            )

    def check(self, text: str, functions: Iterable[str] = ()) -> list[Hit]:
        """Every entry point and the first shared word run per test item; empty if clean.

        ``functions`` are names that the text is known to be about; the names that it defines or
        asks for are found here.
        """
        names = {*functions, *named_functions(text)}
        hits = [
            Hit("entry_point", *self._names[name], name) for name in sorted(names & {*self._names})
        ]
        seen: set[tuple[str, str]] = set()
        for run in word_runs(text, self.ngram):
            origin = self._runs.get(run)
            if origin is not None and origin not in seen:
                seen.add(origin)
                hits.append(Hit("ngram", *origin, run))
        return hits

    def check_example(self, instruction: str, output: str, entry_point: str = "") -> list[Hit]:
        """Like :meth:`check` for an example: calls in the answer are not requests."""
        names = {*named_functions(instruction), *defined_functions(output), entry_point} - {""}
        hits = [
            Hit("entry_point", *self._names[name], name) for name in sorted(names & {*self._names})
        ]
        return hits + [h for h in self.check(f"{instruction}\n{output}") if h.rule == "ngram"]


def word_runs(text: str, length: int) -> list[str]:
    """All runs of ``length`` normalised words, in order.

    >>> word_runs("Sum, of x_1!", 2)
    ['sum of', 'of x_1']
    """
    words = _WORD.findall(text.lower())
    return [" ".join(words[i : i + length]) for i in range(len(words) - length + 1)]


def defined_functions(text: str) -> set[str]:
    """Names after ``def`` (or its like in other languages), or bound to a lambda."""
    return {name for match in _DEFINED.findall(text) for name in match if name}


def named_functions(text: str) -> set[str]:
    """Names that a text defines or asks for: defined, called, in backticks, or "named so".

    >>> sorted(named_functions("Write `f`, then call g(1); x.h(2) is no request"))
    ['f', 'g']
    """
    asked = {name for match in _REQUESTED.findall(text) for name in match if name}
    return asked | defined_functions(text)


def humaneval_items() -> list[BenchmarkItem]:
    """The 164 items of HumanEval, from the file that is scored (hash-checked there).

    Raises ``UnavailableError`` of the evaluation package where the file is missing.
    """
    from evaluation.benchmarks.humaneval import DATA

    return [
        BenchmarkItem(
            "humaneval",
            row["task_id"],
            row["entry_point"],
            (row["prompt"] + row["canonical_solution"], row["test"]),
        )
        for row in DATA.rows()
    ]


def contamination(
    params: Decontaminate, items: Sequence[BenchmarkItem] | None = None
) -> Contamination:
    """The check that a recipe asks for; ``items`` default to HumanEval."""
    return Contamination(
        humaneval_items() if items is None else items,
        ngram=params.ngram,
        entry_points=params.entry_points,
    )
