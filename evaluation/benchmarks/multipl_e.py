"""MultiPL-E: HumanEval's and MBPP's problems in 18 more languages (paper 5.2, table 8).

One benchmark a language, such as `multipl-e-java` and `multipl-e-mbpp-java`. The tests stand in the
same program as the answer, so verdicts are in-process. Tasks of one problem are translations of
each other: the average over languages redraws problems, and HumanEval itself is its Python part.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.generative import Task
from evaluation.benchmarks.translated import (
    TranslatedBenchmark,
    lacking_toolchain,
    language_check,
    title,
)
from evaluation.sandbox import Job

_HASHES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
_HOW = (
    "export the configuration {name} of nuprl/MultiPL-E from the hub, or take the file of "
    "bytedance/SandboxFusion (sandbox/tests/datasets/samples/Multi-PLE)"
)

#: C#'s lists are equal to themselves alone; the tests mean equal contents.
_SAME_CONTENTS = """
static class SameContents {
    public static bool Same(this object one, object other) {
        var first = one as System.Collections.IEnumerable;
        var second = other as System.Collections.IEnumerable;
        if (first == null || second == null || one is string) return object.Equals(one, other);
        var table = one as System.Collections.IDictionary;
        if (table != null) {
            var against = other as System.Collections.IDictionary;
            if (against == null || table.Count != against.Count) return false;
            foreach (object key in table.Keys)
                if (!against.Contains(key) || !table[key].Same(against[key])) return false;
            return true;
        }
        var left = first.GetEnumerator();
        var right = second.GetEnumerator();
        while (left.MoveNext())
            if (!right.MoveNext() || !left.Current.Same(right.Current)) return false;
        return !right.MoveNext();
    }
}
"""


class MultiplE(TranslatedBenchmark):
    """One language of one of the two sets."""

    python = False
    tests_field = "tests"

    def __init__(self, name: str, sha256: str) -> None:
        origin, _, self.language = name.partition("-")
        middle = "" if origin == "humaneval" else f"-{origin}"
        self.name = f"multipl-e{middle}-{self.language}"
        self.family = f"multipl-e{middle}"
        self.description = f"{origin} in {title(self.language)}; executed tests"
        self._data = DataFile(f"multipl-e/{name}.jsonl", sha256, _HOW.format(name=name))

    def missing(self, heldout: Path | None = None) -> str | None:
        return self._data.missing() or lacking_toolchain(self.language)

    @cache  # noqa: B019 - one instance a language lives as long as the process
    def _tasks(self) -> tuple[Task, ...]:
        return tuple(
            Task(
                task_id=row["name"],
                prompt=row["prompt"],
                data={"tests": row["tests"], "stop": row["stop_tokens"]},
                problem="_".join(row["name"].split("_")[:2]),
            )
            for row in self._data.rows()
        )

    def tasks(self) -> list[Task]:
        return list(self._tasks())

    def stops(self, task: Task) -> Sequence[str]:
        return task.data["stop"]  # type: ignore[no-any-return]

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        test = task.data["tests"]
        if self.language == "cs":
            test = (
                re.sub(r"\.Equals(?=\(\(?new (?:List|Dictionary)<)", ".Same", test) + _SAME_CONTENTS
            )
        return [language_check(self.language, source.rstrip() + "\n", test, self.limits)]


BENCHMARKS = tuple(MultiplE(name, sha256) for name, sha256 in sorted(_HASHES.items()))
