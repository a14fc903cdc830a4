"""HumanEval-X: HumanEval's problems by hand in C++, Go, Java, JavaScript, Python and Rust.

Unlike MultiPL-E it has canonical solutions in every language. One benchmark a language, such as
`humaneval-x-cpp`; the tests share the program with the answer, so verdicts are in-process.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from evaluation.benchmarks.data import DataFile, Hub
from evaluation.benchmarks.generative import Task
from evaluation.benchmarks.go_files import go_program
from evaluation.benchmarks.translated import (
    TranslatedBenchmark,
    lacking_library,
    lacking_toolchain,
    language_check,
    title,
)
from evaluation.sandbox import Job

_GO_SETUP = 'package main\nimport (\n"testing"\n"github.com/stretchr/testify/assert"\n)\n'
_FIELDS = ("task_id", "prompt", "canonical_solution", "test", "declaration", "example_test")
#: Language: name in the files, sha256 of the file, digest of its rows on the hub.
_FILES = {
    "cpp": (
        "cpp",
        "af420b4b58c1b5e7f4cac9c1257daad7b20b5c77e88d59ccc120e63825f03325",
        "2c05d34b286cb13938b640ffb199afddcb814bb71e50607c88f962d95c0cd62f",
    ),
    "go": (
        "go",
        "87aba5e8ab3be26aec48a355b77c73790900ebae3731c44ea9e3fdd5ea51f1fe",
        "1f20f3efe7f7d9500904c6b093f64cc9d6f56409e65c3cfbb36de5224f6e8552",
    ),
    "java": (
        "java",
        "2157a77a6ff808020adc20142228b4ff698048c0696b33110786400c47c5d79c",
        "3738f05352ff462e33133c8986f1b964f316f29d94af7b0b9acc92f7c424cead",
    ),
    "js": (
        "js",
        "da529500a73fcbc86bc8f6c7855c0f2c0fc7af1c4dc530e26a54bbfd17f97cef",
        "6987481a9e00f926e0ae1c1e437f0bd63f9fb12b6ea27fbb0d6078c28a7fbdf3",
    ),
    "py": (
        "python",
        "f0e21637407b08a725dbc5bfcc20f909049f73564dd0d55dcc11619fa0838849",
        "fc3d9993610ee2e75902059a77c44968289da3fedb7607e0a64604da11c0dd0b",
    ),
    "rs": (
        "rust",
        "36938439d536c34418b582db82f7bfa5d0331990424fc69b1915c5067634b4e7",
        "fb3397079a530b91e893e3031fd8d8df7aa5bc23b944296930d1bbab160a55b9",
    ),
}
_CLOSING = re.compile(r"^\}.*\n?", re.M)
_STOP = {
    "cpp": ("\nint main", "\n#include", "\nusing namespace"),
    "go": ("\nfunc ", "\nimport ", "\npackage "),
    "java": ("\npublic class", "\nclass "),
    "js": ("\nfunction ", "\nconst ", "\nconsole.log"),
    "py": ("\ndef ", "\nclass ", "\nif __name__", "\nprint(", "\nassert "),
    "rs": ("\nfn main", "\n#[cfg", "\nmod "),
}


class HumanEvalX(TranslatedBenchmark):
    """One language."""

    family = "humaneval-x"

    def __init__(self, language: str) -> None:
        stem, sha256, digest = _FILES[language]
        self.language = language
        self.name = f"humaneval-x-{language}"
        self.python = language == "py"
        self.description = f"HumanEval by hand in {title(language)}; executed tests"
        self.data = DataFile(
            f"humaneval-x/humaneval_{stem}.jsonl",
            sha256,
            "download it from https://github.com/THUDM/CodeGeeX (codegeex/benchmark/humaneval-x)",
            hub=Hub("THUDM/humaneval-x", _FIELDS, digest, config=stem),
        )

    def missing(self, heldout: Path | None = None) -> str | None:
        return self.data.missing() or lacking_toolchain(self.language)

    @cache  # noqa: B019 - one instance a language lives as long as the process
    def _tasks(self) -> tuple[Task, ...]:
        return tuple(
            Task(
                task_id=row["task_id"],
                # in Rust the function's head stands in a field of its own
                prompt=row["prompt"] + (row["declaration"] if self.language == "rs" else ""),
                data=row,
                problem=f"HumanEval_{row['task_id'].split('/')[1]}",
            )
            for row in self.data.rows()
        )

    def tasks(self) -> list[Task]:
        return list(self._tasks())

    def stops(self, task: Task) -> Sequence[str]:
        return _STOP[self.language]

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        ends = [*_CLOSING.finditer(completion)] if not chat and not self.python else []
        # a base model that is not stopped begins something else: what it did not finish goes
        return super().programs(
            task, completion[: ends[-1].end()] if ends else completion, chat=chat
        )

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        test = task.data["test"]
        if self.language == "go":  # imports stand in fields of their own, which a copy may lack
            source = go_program(_go_setup(task), task.data.get("import") or "", source, test)
        return [language_check(self.language, source + "\n", test, self.limits)]

    def unavailable(self, task: Task) -> str | None:
        setup = _go_setup(task) if self.language == "go" else ""
        parts = (task.prompt, setup, task.data["test"])
        return lacking_library(self.language, "".join(parts))

    def canonical(self, task: Task) -> str | None:
        return str(task.prompt + task.data["canonical_solution"])


def _go_setup(task: Task) -> str:
    return task.data.get("test_setup") or _GO_SETUP


BENCHMARKS = tuple(HumanEvalX(language) for language in _FILES)
