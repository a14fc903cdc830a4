"""Benchmarks that let a model write an answer and check it: generate, execute, count.

Every answer is checked twice, raw and sanitised (trimmed to what belongs to it), so that the
sanitiser's effect is a number; the headline is the raw one. Finished verdicts are rows of
results.jsonl and are never executed again. Paper section 5.
"""

from __future__ import annotations

import hashlib
import json
import os
from abc import abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.answers import parses
from evaluation.benchmarks.base import (
    RESULTS,
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
from evaluation.sandbox import Job, Limits, Outcome, Sandbox

_ERROR_CHARACTERS = 500
_ACCURACY = (("passed", ""), ("passed_sanitised", "_sanitised"))


@dataclass(frozen=True)
class Task:
    """One problem.

    prompt: the text shown to a base model. data: what its module needs for checking. problem: the
    problem that this task and its translations share. date: ISO date of publication, "" unknown.
    """

    task_id: str
    prompt: str
    data: Mapping[str, Any]
    problem: str = ""
    date: str = ""


@dataclass(frozen=True)
class Answer:
    """One answer to check: the model's text and the two programs made of it."""

    task: Task
    sample: int
    completion: str
    source: str
    sanitised: str


@dataclass(frozen=True)
class Verdict:
    """What became of one program; tests_total is 0 where tests are not counted."""

    passed: bool
    status: str
    grade: str = ""
    level: str = ""
    error: str = ""
    tests_passed: int = 0
    tests_total: int = 0


@dataclass
class Runs:
    """What checking needs beside the answers: a sandbox that opens on first use, and a cache."""

    out: Path
    workers: int = 2
    _sandbox: Sandbox | None = field(default=None, repr=False)

    @property
    def sandbox(self) -> Sandbox:
        if self._sandbox is None:
            self._sandbox = Sandbox(workers=self.workers)
        return self._sandbox

    @property
    def cache(self) -> Path:
        """Folder for what follows from the data alone (expected outputs); all runs share it."""
        return Path(os.environ.get("COOKBOOK_HOME", ".cookbook")) / "cache" / "evaluation"

    def __enter__(self) -> Runs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._sandbox is not None:
            self._sandbox.close()


class GenerativeBenchmark(Benchmark):
    """Subclass with tasks, prompts, stop strings, the making of a program, and its checks.

    version: raise it when a check changes its meaning. python: the answers are Python (their syntax
    is judged, too). executes: False where the text alone decides (see `verdict`).
    """

    metric = "pass@1"
    version = "1"
    python = True
    executes = True
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
    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        """The model's text as a program: raw, and sanitised."""

    @abstractmethod
    def checks(self, task: Task, source: str) -> Sequence[Job]:
        """Jobs for the sandbox, at least one."""

    def base_prompt(self, task: Task) -> str:
        """What a base model continues."""
        return task.prompt.rstrip()

    def verdict(self, task: Task, source: str, outcomes: Sequence[Outcome]) -> Verdict:
        """The checks' outcomes as one verdict: all must pass."""
        return joined(outcomes)

    def canonical(self, task: Task) -> str | None:
        """The benchmark's own solution as a program, None where it has none."""
        return None

    def unavailable(self, task: Task) -> str | None:
        """Why this one task cannot be checked here (a library is absent), None when it can."""
        return None

    def set_up(self, tasks: Sequence[Task], runs: Runs) -> None:
        """Work before the first check, such as computing expected outputs in the sandbox."""

    def texts(self) -> dict[str, tuple[str, ...]]:
        return {task.task_id: (task.prompt, self.canonical(task) or "") for task in self.tasks()}

    def prepare(self, heldout: Path | None = None) -> None:
        super().prepare(heldout)
        self.tasks()

    def evaluate(self, context: Context) -> Result:
        from evaluation.generation import Parameters, generate

        self.prepare(context.heldout)
        tasks, left_out = self._chosen(context)
        parameters = Parameters(
            max_new_tokens=context.max_new_tokens,
            temperature=context.temperature,
            top_p=context.top_p,
            samples=context.samples,
            stop=self.stop(chat=context.chat),
            seed=context.seed,
            chat=context.chat,
        )
        prompt = self.instruction if context.chat else self.base_prompt
        texts = generate(
            context.backend,
            [prompt(task) for task in tasks],
            parameters,
            cache=context.out / "generations.jsonl",
        )
        answers = [
            Answer(task, sample, text, *self.programs(task, text, chat=context.chat))
            for task, samples in zip(tasks, texts, strict=True)
            for sample, text in enumerate(samples)
        ]
        with Runs(context.out, context.workers) as runs:
            rows = self.judge(answers, runs, chat=context.chat)
        scores = self.scores(
            rows, context.model, chat=context.chat, seed=context.seed, ks=context.ks
        )
        return Result(rows, scores, {f"{self.name} left out": left_out} if left_out else {})

    def judge(self, answers: Sequence[Answer], runs: Runs, *, chat: bool) -> list[Row]:
        """Check what was not checked before and return one row per answer, in order."""
        records = RecordFile(runs.out / RESULTS, WORK_KEY)
        facts = {answer.task.task_id: self._facts(answer.task) for answer in answers}
        keys = [
            {
                "benchmark": self.name,
                "chat": chat,
                "task_id": answer.task.task_id,
                "sample": answer.sample,
                "work": _hash(answer.source, answer.sanitised, facts[answer.task.task_id]),
            }
            for answer in answers
        ]
        todo = [place for place, key in enumerate(keys) if records.get(**key) is None]
        if todo:
            self.set_up(
                list({answers[p].task.task_id: answers[p].task for p in todo}.values()), runs
            )
        judged = self._verdicts([answers[place] for place in todo], runs)
        for place, verdicts in track(
            zip(todo, judged, strict=True), len(todo), f"check {self.name}"
        ):
            records.append([keys[place] | self._columns(answers[place], verdicts)])
        return [records.get(**key) or {} for key in keys]

    def scores(
        self, rows: Sequence[Row], model: str, *, chat: bool, seed: int, ks: Sequence[int] = ()
    ) -> list[Score]:
        """pass@1 and pass@n for n samples, raw and sanitised; syntax; share of tests passed.

        ks: further k. Raises ValueError for a k above the number of samples of some task.
        """
        levels = "+".join(sorted({str(row["level"]) for row in rows} - {""}))
        grades = "+".join(sorted({str(row["grade"]) for row in rows} - {""}))
        by_task: dict[str, list[Row]] = {}
        for row in rows:
            by_task.setdefault(str(row["task_id"]), []).append(row)
        samples = min(len(group) for group in by_task.values())
        single = samples == 1 == max(len(group) for group in by_task.values())
        found = []

        def add(metric: str, values: list[float], *, share_of_one: bool) -> None:
            interval = (
                wilson_interval(round(sum(values)), len(values))
                if share_of_one
                else bootstrap_mean(values, seed=seed)
            )
            mean = sum(values) / len(values)
            found.append(
                Score(self.name, metric, mean, *interval, len(values), model, chat, levels, grades)
            )

        for column, suffix in _ACCURACY:
            counts = [(len(g), sum(bool(row[column]) for row in g)) for g in by_task.values()]
            for k in sorted({1, samples, *ks}):
                values = [pass_at_k(n, correct, k) for n, correct in counts]
                add(self.metric.replace("@1", f"@{k}") + suffix, values, share_of_one=single)
        for metric, part, whole in (
            ("syntax_valid", "syntax_valid", None),
            ("tests_passed", "tests_passed", "tests_total"),
        ):
            groups = [
                [float(row[part]) / (row[whole] if whole else 1) for row in group]
                for group in by_task.values()
                if all(row[part] is not None and (whole is None or row[whole]) for row in group)
            ]
            if groups:
                means = [sum(group) / len(group) for group in groups]
                add(metric, means, share_of_one=single and whole is None)
        return found

    def _chosen(self, context: Context) -> tuple[list[Task], list[Row]]:
        dated = [
            task
            for task in self.tasks()
            if not task.date or (context.since or "") <= task.date < (context.until or "9999-12-31")
        ]
        if not dated:
            raise UnavailableError(
                f"{self.name}: no task within {context.since or 'the start'} and "
                f"{context.until or 'now'}"
            )
        tasks, left_out = [], []
        for task in dated[: context.limit]:
            if reason := self.unavailable(task):
                left_out.append({"task_id": task.task_id, "reason": reason})
            else:
                tasks.append(task)
        if not tasks:
            raise UnavailableError(f"{self.name}: {left_out[0]['reason']}")
        return tasks, left_out

    def _verdicts(self, answers: Sequence[Answer], runs: Runs) -> Iterator[list[Verdict]]:
        """Verdicts of each answer (raw, then sanitised where it differs), in order."""
        if not self.executes:
            for answer in answers:
                yield [self.verdict(answer.task, text, ()) for text in _programs(answer)]
            return
        plans: deque[list[tuple[str, int]]] = deque()  # of each answer: programs, checks of each

        def jobs() -> Iterator[Job]:
            for answer in answers:
                groups = [(text, self.checks(answer.task, text)) for text in _programs(answer)]
                plans.append([(text, len(checks)) for text, checks in groups])
                for _, checks in groups:
                    yield from checks

        outcomes = runs.sandbox.map(jobs())
        for answer in answers:
            ready = [next(outcomes)]  # from here on this answer's plan is there
            verdicts = []
            for text, count in plans.popleft():
                ready += [next(outcomes) for _ in range(count - len(ready))]
                verdicts.append(self.verdict(answer.task, text, ready))
                ready = []
            yield verdicts

    def _columns(self, answer: Answer, verdicts: Sequence[Verdict]) -> Row:
        raw, sanitised = verdicts[0], verdicts[-1]
        return {
            "passed": raw.passed,
            "passed_sanitised": sanitised.passed,
            "status": raw.status,
            "grade": raw.grade,
            "level": raw.level,
            "error": raw.error[-_ERROR_CHARACTERS:],
            "tests_passed": raw.tests_passed,
            "tests_total": raw.tests_total,
            "syntax_valid": parses(answer.source) if self.python else None,
            "completion": answer.completion,
            "problem": answer.task.problem or answer.task.task_id,
        }

    def _facts(self, task: Task) -> str:
        data = json.dumps(dict(task.data), sort_keys=True, default=repr)
        return _hash(self.version, data, repr(self.limits))


def joined(outcomes: Sequence[Outcome]) -> Verdict:
    """Several outcomes as one: passed if all are, told by the first that is not."""
    worst = next((outcome for outcome in outcomes if not outcome.passed), outcomes[0])
    grades = {outcome.grade for outcome in outcomes}
    return Verdict(
        passed=all(outcome.passed for outcome in outcomes),
        status=worst.status,
        grade="in-process" if "in-process" in grades else "judged",
        level=worst.level,
        error="" if worst.passed else worst.error or worst.stderr,
        tests_passed=sum(outcome.tests_passed or 0 for outcome in outcomes),
        tests_total=sum(outcome.tests_total or 0 for outcome in outcomes),
    )


def _programs(answer: Answer) -> list[str]:
    return list(dict.fromkeys((answer.source, answer.sanitised)))


def _hash(*texts: str) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
