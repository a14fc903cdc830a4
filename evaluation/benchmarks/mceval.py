"""McEval: code in 40 languages, as generation, completion and explanation (paper 5.2, figure).

`mceval-py` asks for a function from its description; `mceval_completion-py` masks the middle lines
of the solution and asks for them; `mceval_explanation-py` has the model explain the solution, and
then write it anew from nothing but its own explanation. All three run the same tests, in one
process with the answer. Completion and explanation tasks are derived from the generation data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from evaluation.answers import extract_code
from evaluation.benchmarks.base import Context, Result
from evaluation.benchmarks.data import DataFile
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.translated import (
    continued,
    lacking_library,
    lacking_toolchain,
    language_check,
    tags,
    title,
)
from evaluation.sandbox import Job

_HASHES = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
#: File names whose language goes by another name here.
_LANGUAGES = {
    "C#": "cs", "CPP": "cpp", "Go": "go", "JavaScript": "js", "Julia": "jl", "Perl": "pl",
    "Python": "py", "Racket": "rkt", "Ruby": "rb", "Rust": "rs", "Shell": "sh",
    "TypeScript": "ts",
}  # fmt: skip
#: Their rows have no tests: McEval judges them by files that it does not publish with the tasks.
_WITHOUT_TESTS = {"AWK", "HTML", "JSON", "Markdown"}
_STOP = ("\n```",)
_USED_BY_DOTNET = "".join(
    f"using System{name};\n" for name in ("", ".Collections.Generic", ".IO", ".Linq")
)
_MASK = "[MASK]"


class McEval(GenerativeBenchmark):
    """Generation in one language."""

    family = "mceval"

    def __init__(self, file: str) -> None:
        self.language = _LANGUAGES.get(file, file.lower())
        self.name = f"{self.family}-{self.language}"
        self.python = self.language == "py"
        self.description = f"{self._about()} in {file.replace('_', ' ')}; executed tests"
        self._data = DataFile(
            f"mceval/{file}.jsonl",
            _HASHES[file],
            f"download data/{file.replace('_', ' ')}.jsonl from https://github.com/MCEVAL/McEval",
        )

    def _about(self) -> str:
        return "about 50 functions from a description"

    def missing(self, heldout: Path | None = None) -> str | None:
        return self._data.missing() or lacking_toolchain(self.language)

    @cache  # noqa: B019 - one instance a language lives as long as the process
    def _tasks(self) -> tuple[Task, ...]:
        return tuple(
            Task(
                task_id=row["task_id"],
                prompt=row["prompt"],
                data=row,
                problem=str(row.get("entry_point", row["task_id"])).lower().replace("_", ""),
            )
            for row in self._data.rows()
            if row.get("test") and row.get("canonical_solution")
        )

    def tasks(self) -> list[Task]:
        return list(self._tasks())

    def instruction(self, task: Task) -> str:
        return (
            f"{task.data['instruction'].strip()}\n\nBegin with this code and answer with all of it "
            f"in one code block:\n\n```{tags(self.language)[0]}\n{task.prompt.strip()}\n```\n"
        )

    def base_prompt(self, task: Task) -> str:
        return task.prompt

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return () if chat else _STOP

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if not chat:
            return continued(task.prompt, completion)
        code = extract_code(completion, tags(self.language), name=task.data.get("entry_point", ""))
        return code, code

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        test = task.data["test"]
        if self.language == "cs":  # what a project of today's .NET uses without saying so
            source = f"{_USED_BY_DOTNET}{source}"
        return [language_check(self.language, source + "\n", test, self.limits)]

    def unavailable(self, task: Task) -> str | None:
        return lacking_library(self.language, f"{task.prompt}{task.data['test']}")

    def canonical(self, task: Task) -> str | None:
        return f"{task.prompt}\n{task.data['canonical_solution']}"


class McEvalCompletion(McEval):
    """The middle of the solution is masked; the answer fills the gap."""

    family = "mceval_completion"

    def _about(self) -> str:
        return "masked lines of about 50 solutions"

    def instruction(self, task: Task) -> str:
        before, _, after = masked(self._whole(task))
        return (
            f"Lines of this {title(self.language)} code are replaced by {_MASK}. Answer with "
            "nothing but the lines that belong there, in one code block.\n\n"
            f"```{tags(self.language)[0]}\n{before}{_MASK}\n{after}```\n"
        )

    def base_prompt(self, task: Task) -> str:
        before, _, after = masked(self._whole(task))
        return f"{after}\n\n{before}"  # what follows, then what precedes: a base model goes on

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return () if chat else ("\n```", "\n\n")

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        before, middle, after = masked(self._whole(task))
        text = extract_code(completion, tags(self.language)) if chat else completion
        raw = f"{before}{text.rstrip()}\n{after}"
        # a base model does not know where the gap ends: as many lines as were taken
        lines = text.strip("\n").split("\n")[: middle.count("\n")]
        return raw, f"{before}" + "\n".join(lines) + f"\n{after}"

    def _whole(self, task: Task) -> str:
        return self.canonical(task) or ""


class McEvalExplanation(McEval):
    """The model explains the solution, then writes it anew from its explanation."""

    family = "mceval_explanation"

    def _about(self) -> str:
        return "about 50 solutions, explained and then written anew"

    def evaluate(self, context: Context) -> Result:
        from evaluation.generation import Parameters, generate

        self.prepare(context.heldout)
        tasks = self.tasks()[: context.limit]
        parameters = Parameters(
            max_new_tokens=context.max_new_tokens,
            temperature=context.temperature,
            top_p=context.top_p,
            seed=context.seed,
            chat=context.chat,
        )
        explained = generate(
            context.backend,
            [self._ask_to_explain(task) for task in tasks],
            parameters,
            cache=context.out / "generations.jsonl",
        )
        told = {task.task_id: texts[0] for task, texts in zip(tasks, explained, strict=True)}
        return _FromExplanations(self, told).evaluate(replace(context, limit=None))

    def _ask_to_explain(self, task: Task) -> str:
        signature = task.data.get("signature", "")
        return (
            f"Explain in words what this {title(self.language)} function does, so exactly that "
            "somebody could write it anew from your words alone. Do not repeat its code.\n\n"
            f"```{tags(self.language)[0]}\n{signature}\n{task.data['canonical_solution']}\n```\n"
        )


class _FromExplanations(McEvalExplanation):
    """The second half: code from the explanations that one model just gave."""

    def __init__(self, whole: McEvalExplanation, told: dict[str, str]) -> None:
        self.__dict__.update(whole.__dict__)
        self._told = told

    def tasks(self) -> list[Task]:
        return [task for task in super().tasks() if task.task_id in self._told]

    def instruction(self, task: Task) -> str:
        return (
            f"Write this {title(self.language)} function from its description, all of it in one "
            f"code block.\n\n{self._told[task.task_id].strip()}\n\nIt begins:\n"
            f"```{tags(self.language)[0]}\n{task.data.get('signature', '')}\n```\n"
        )

    def base_prompt(self, task: Task) -> str:
        return f"{self._told[task.task_id].strip()}\n\n{task.prompt}"

    def evaluate(self, context: Context) -> Result:
        return GenerativeBenchmark.evaluate(self, context)


def masked(code: str) -> tuple[str, str, str]:
    """Code before the gap, in it, after it: one to three lines of the second half, by its hash."""
    lines = code.rstrip("\n").split("\n")
    digest = int(hashlib.sha256(code.encode()).hexdigest()[:8], 16)
    last = max(1, len(lines) - 1)  # the closing line stays
    first = min(max(1, len(lines) // 2) + digest % max(1, last - len(lines) // 2), last - 1)
    first = max(first, 0)
    size = 1 + digest // 7 % 3
    end = min(first + size, last)
    join = "\n".join
    return join(lines[:first]) + "\n", join(lines[first:end]) + "\n", join(lines[end:]) + "\n"


BENCHMARKS = tuple(
    kind(file)
    for kind in (McEval, McEvalCompletion, McEvalExplanation)
    for file in sorted(set(_HASHES) - _WITHOUT_TESTS)
)
