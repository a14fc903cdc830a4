"""Benchmarks that let a model write programs and run them: generate, execute, count.

Every answer is judged twice, raw and sanitised (trimmed to what parses), so that the sanitiser's
effect is a number; the headline is the raw one. Finished verdicts are rows of results.jsonl and are
never executed again. Verdicts are in-process (see evaluation.sandbox). Paper section 5.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks.base import (
    WORK_KEY,
    Benchmark,
    Context,
    Result,
    Score,
    UnavailableError,
)
from evaluation.metrics import bootstrap_mean, pass_at_k, wilson_interval
from evaluation.progress import track
from evaluation.records import RecordFile, Row
from evaluation.sandbox import Limits, Outcome, ensure_level, run_programs

_ERROR_CHARACTERS = 500


@dataclass(frozen=True)
class Task:
    """One problem: its id, the text shown to the model, and what its module needs for checking."""

    task_id: str
    prompt: str
    data: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """One answer to judge: the model's text and the whole programs made of it."""

    task_id: str
    sample: int
    completion: str
    program: str
    sanitised_program: str


class GenerativeBenchmark(Benchmark):
    """Subclass with tasks, prompts, stop strings and the making of a program."""

    metric = "pass@1"
    limits = Limits()

    @abstractmethod
    def tasks(self) -> list[Task]:
        """All tasks in the benchmark's own order."""

    @abstractmethod
    def instruction(self, task: Task) -> str:
        """The user's turn for chat models."""

    @abstractmethod
    def stop(self, *, chat: bool) -> tuple[str, ...]:
        """Strings that end an answer."""

    @abstractmethod
    def answer(self, task: Task, sample: int, completion: str, *, chat: bool) -> Answer:
        """Turn the model's text into programs that carry the benchmark's tests."""

    @abstractmethod
    def solution_program(self, task: Task, solution: str) -> str:
        """The program that checks a whole given solution (for `score`)."""

    def evaluate(self, context: Context) -> Result:
        if lacking := self.missing(context.heldout):
            raise UnavailableError(f"{self.name}: {lacking}")
        from evaluation.generation import Parameters, chat_prompt, generate

        tasks = self.tasks()[: context.limit]
        parameters = Parameters(
            max_new_tokens=context.max_new_tokens,
            temperature=context.temperature,
            samples=context.samples,
            stop=self.stop(chat=context.chat),
            seed=context.seed,
        )
        if context.chat:
            prompts = [chat_prompt(context.loaded, self.instruction(task)) for task in tasks]
        else:
            prompts = [task.prompt.rstrip() for task in tasks]
        texts = generate(
            context.loaded,
            prompts,
            parameters,
            cache=context.out / "generations.jsonl",
            batch_size=context.batch_size,
            special_tokens=not context.chat,
        )
        answers = [
            self.answer(task, sample, text, chat=context.chat)
            for task, samples in zip(tasks, texts, strict=True)
            for sample, text in enumerate(samples)
        ]
        rows = self.judge(answers, context.out, chat=context.chat, workers=context.workers)
        name = context.loaded.name
        return Result(rows, self.scores(rows, name, chat=context.chat, seed=context.seed))

    def judge(
        self, answers: Sequence[Answer], out: Path, *, chat: bool, workers: int = 2
    ) -> list[Row]:
        """Execute what was not executed before and return one row per answer, in order."""
        level = ensure_level()
        records = RecordFile(out / "results.jsonl", WORK_KEY)
        keys = [
            {
                "benchmark": self.name,
                "chat": chat,
                "task_id": answer.task_id,
                "sample": answer.sample,
                "work": _digest(answer, self.limits, level),
            }
            for answer in answers
        ]
        todo = [place for place, key in enumerate(keys) if records.get(**key) is None]
        # one list of programs: the raw one, then the sanitised one where it differs
        programs = [program for place in todo for program in _programs(answers[place])]
        outcomes = run_programs(programs, limits=self.limits, workers=workers)
        for place, group in track(_grouped(todo, answers, outcomes), len(todo), f"run {self.name}"):
            raw, sanitised = group[0], group[-1]
            records.append(
                [
                    keys[place]
                    | {
                        "passed": raw.passed,
                        "passed_sanitised": sanitised.passed,
                        "status": raw.status,
                        "level": raw.level,
                        "error": (raw.error or raw.stderr)[-_ERROR_CHARACTERS:],
                        "completion": answers[place].completion,
                    }
                ]
            )
        return [records.get(**key) or {} for key in keys]

    def scores(self, rows: Sequence[Row], model: str, *, chat: bool, seed: int) -> list[Score]:
        """pass@1 raw and sanitised (and pass@n for several samples) with intervals."""
        levels = "+".join(sorted({str(row["level"]) for row in rows}))
        found = []
        for metric, column in (("pass@1", "passed"), ("pass@1_sanitised", "passed_sanitised")):
            counts: dict[str, list[bool]] = {}
            for row in rows:
                counts.setdefault(str(row["task_id"]), []).append(bool(row[column]))
            samples = min(len(values) for values in counts.values())
            for k in sorted({1, samples}):
                label = metric.replace("@1", f"@{k}")
                values = [pass_at_k(len(v), sum(v), k) for v in counts.values()]
                if samples == 1 and max(len(v) for v in counts.values()) == 1:
                    interval = wilson_interval(int(sum(values)), len(values))
                else:
                    interval = bootstrap_mean(values, seed=seed)
                mean = sum(values) / len(values)
                found.append(
                    Score(self.name, label, mean, *interval, len(values), model, chat, levels)
                )
        return found


def _programs(answer: Answer) -> list[str]:
    if answer.sanitised_program == answer.program:
        return [answer.program]
    return [answer.program, answer.sanitised_program]


def _grouped(
    todo: Sequence[int], answers: Sequence[Answer], outcomes: Iterable[Outcome]
) -> Iterable[tuple[int, list[Outcome]]]:
    stream = iter(outcomes)
    for place in todo:
        yield place, [next(stream) for _ in _programs(answers[place])]


def _digest(answer: Answer, limits: Limits, level: str) -> str:
    facts = "\0".join((*_programs(answer), repr(limits), level))
    return hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()
