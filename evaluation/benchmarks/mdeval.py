"""MdEval: repair a buggy program, in 18 languages and two markup ones (paper 5.2, figure).

The model gets the faulty code and answers with the whole repaired code. Programs run with their
tests in one process; JSON is compared by its value, HTML and Markdown by their text without the
spacing. One benchmark a language, such as `mdeval-py`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from evaluation.answers import extract_code
from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.generative import GenerativeBenchmark, Task, Verdict
from evaluation.benchmarks.translated import lacking_toolchain, language_check, tags
from evaluation.sandbox import Job, Outcome

DATA = DataFile(
    name="mdeval/bug.jsonl",
    sha256="9bce1e12d6df64c2e47fdd2b04e073d14bce3dc80fe1a9e5698b629f722e5805",
    how_to_get="join data/raw_data/bug/*.jsonl of https://github.com/PGCodeLLM/MDEVAL "
    "in name order",
)
#: Names in the data, and here.
_LANGUAGES = {
    "C": "c", "C#": "cs", "CPP": "cpp", "Clisp": "common_lisp", "F#": "f#", "Go": "go",
    "HTML": "html", "JSON": "json", "Java": "java", "JavaScript": "js", "Julia": "jl",
    "Markdown": "markdown", "PHP": "php", "Pascal": "pascal", "Python": "py", "R": "r",
    "Ruby": "rb", "Rust": "rs", "Scala": "scala", "Swift": "swift",
}  # fmt: skip
_COMPARED = {"html", "json", "markdown"}


@cache
def load_tasks() -> dict[str, tuple[Task, ...]]:
    """Tasks by language, in file order."""
    found: dict[str, list[Task]] = {}
    for row in DATA.rows():
        language = _LANGUAGES[row["question_id"].split("/")[0]]
        found.setdefault(language, []).append(
            Task(row["question_id"], row["instruction"], row, problem=row["question_id"])
        )
    return {language: tuple(tasks) for language, tasks in found.items()}


class MdEval(GenerativeBenchmark):
    """Repairs in one language."""

    family = "mdeval"

    def __init__(self, title: str) -> None:
        self.language = _LANGUAGES[title]
        self.name = f"mdeval-{self.language}"
        self.executes = self.language not in _COMPARED
        self.python = self.language == "py"
        self.description = f"faulty {title} to repair; " + (
            "executed tests" if self.executes else "compared with the right text"
        )

    def missing(self, heldout: Path | None = None) -> str | None:
        lacking = DATA.missing()
        return lacking or (lacking_toolchain(self.language) if self.executes else None)

    def tasks(self) -> list[Task]:
        return list(load_tasks()[self.language])

    def instruction(self, task: Task) -> str:
        return str(task.prompt)

    def base_prompt(self, task: Task) -> str:
        return f"{task.prompt.rstrip()}\n\n```{tags(self.language)[0]}\n"

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return () if chat else ("\n```",)

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        code = extract_code(completion, tags(self.language)) if chat else completion
        return code, code

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        test = task.data["test"]
        return [language_check(self.language, source + "\n", test, self.limits)]

    def verdict(self, task: Task, source: str, outcomes: Sequence[Outcome]) -> Verdict:
        if self.executes:
            return super().verdict(task, source, outcomes)
        same = _same_text(self.language, source, task.data["canonical_solution"])
        return Verdict(same, "ok" if same else "wrong", error="" if same else "another text")

    def canonical(self, task: Task) -> str | None:
        return str(task.data["canonical_solution"])


def _same_text(language: str, found: str, expected: str) -> bool:
    if language == "json":
        try:
            wanted = json.loads(expected)
        except ValueError:  # one of the answers is itself no JSON
            return found.split() == expected.split()
        try:
            return bool(json.loads(found) == wanted)
        except (ValueError, RecursionError):
            return False
    return found.split() == expected.split()


BENCHMARKS = tuple(MdEval(title) for title in _LANGUAGES)
