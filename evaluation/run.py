"""Evaluate a model, or score given samples, into a folder that any tool can read.

The folder gets results.jsonl (append-only, one row per task and sample), generations.jsonl (cache),
and, when all is done, results.parquet, summary.json and report.html. Run it again after a crash:
what is finished is kept, and the summary is the same to the byte.
"""

from __future__ import annotations

import fcntl
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.backends.base import Backend, Kind, open_backend
from evaluation.benchmarks.base import (
    Benchmark,
    Context,
    Result,
    Score,
    UnavailableError,
    registry,
    select,
)
from evaluation.benchmarks.generative import Answer, GenerativeBenchmark, Runs
from evaluation.contamination import overlaps, task_runs, training_texts, with_and_without
from evaluation.generation import Parameters
from evaluation.metrics import bootstrap_ratio, detectable_difference
from evaluation.records import Row, json_lines
from evaluation.report import render
from evaluation.sandbox.outcome import whole_text

_log = logging.getLogger(__name__)


def evaluate(
    model: Path | str | Backend,
    benchmarks: Sequence[str],
    out: Path | str,
    *,
    chat: bool = False,
    limit: int | None = None,
    max_new_tokens: int = 512,
    heldout: Path | str | None = None,
    training: Path | str | None = None,
    seed: int = 0,
    name: str | None = None,
    batch_size: int | None = None,
    temperature: float = 0.0,
    top_p: float = 1.0,
    samples: int = 1,
    ks: Sequence[int] = (),
    workers: int = 2,
    device: str | None = None,
    cache: Path | None = None,
    backend: Kind = "auto",
    concurrency: int = 8,
    requests_per_minute: float | None = None,
    since: str | None = None,
    until: str | None = None,
) -> list[Score]:
    """Score a model on benchmarks and write the run's files below `out`.

    model: Hugging Face folder, GGUF file or folder, hub id, endpoint address, or an open backend.
    name: shown in tables (default: the folder's name). heldout: folder of parquet documents for
    benchmarks made of documents. training: folder of parquet documents that the model was trained
    on, to look for the tasks in. ks: further k of pass@k. cache: where converted GGUF models go.
    Raises UnavailableError before loading the model when a benchmark lacks its data, ValueError on
    an unknown benchmark or a k above the number of samples.
    """
    for option, number in (("limit", limit), ("batch_size", batch_size), ("workers", workers)):
        if number is not None and number < 1:
            raise ValueError(f"{option} must be at least 1, found {number}")
    Parameters(max_new_tokens, temperature, top_p, samples)  # senseless ones are refused here
    heldout = Path(heldout) if heldout is not None else None
    chosen = select(benchmarks, heldout)
    if too_large := [k for k in ks if not 1 <= k <= samples]:
        raise ValueError(
            f"pass@{too_large[0]} needs at least {too_large[0]} samples of each task, "
            f"found {samples}: raise --samples"
        )
    for benchmark in chosen:
        benchmark.prepare(heldout)
    out = Path(out)
    with _alone(out):
        opened = (
            model
            if isinstance(model, Backend)
            else open_backend(
                model,
                kind=backend,
                name=name,
                device=device,
                batch_size=batch_size,
                cache=cache,
                concurrency=concurrency,
                requests_per_minute=requests_per_minute,
            )
        )
        _check_weights(chosen, opened)
        context = Context(
            backend=opened,
            out=out,
            chat=chat,
            limit=limit,
            max_new_tokens=max_new_tokens,
            temperature=temperature,
            top_p=top_p,
            samples=samples,
            ks=tuple(ks),
            batch_size=batch_size,
            heldout=heldout,
            seed=seed,
            workers=workers,
            since=since,
            until=until,
        )
        run = Run(model=opened.name, digest=opened.digest, seed=seed)
        for benchmark in chosen:
            _log.info("%s on %s", benchmark.name, opened.name)
            run.add(benchmark, benchmark.evaluate(context))
        if training is not None:
            run.look_for_tasks(chosen, Path(training))
        run.settings = {
            "chat": chat,
            "limit": limit,
            "max_new_tokens": max_new_tokens,
            "samples": samples,
            "seed": seed,
            "since": since,
            "temperature": temperature,
            "top_p": top_p,
            "until": until,
        }
        run.write(out)
    return run.scores


def score_samples(
    benchmark_name: str,
    samples: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    chat: bool = False,
    ks: Sequence[int] = (),
    seed: int = 0,
    workers: int = 2,
) -> list[Score]:
    """Execute given samples: JSON lines with task_id and either completion or solution.

    A completion is put after the task's prompt (or, with chat, searched for its code block); a
    solution is a whole program. Several rows of one task are several samples; ks: further k of
    pass@k. Tasks that cannot be checked here are left out and listed. Raises ValueError naming file
    and line of a bad row, or on a k above the number of samples.
    """
    benchmark = select([benchmark_name])[0]
    if not isinstance(benchmark, GenerativeBenchmark):
        raise ValueError(f"{benchmark_name} executes no programs; `score` cannot be used with it")
    benchmark.prepare()
    path, out = Path(samples), Path(out)
    tasks = {task.task_id: task for task in benchmark.tasks()}
    counts: dict[str, int] = {}
    answers: list[Answer] = []
    left_out: dict[str, str] = {}
    for number, line in json_lines(path):
        row = _sample_row(path, number, line)
        task = tasks.get(row["task_id"])
        if task is None:
            raise ValueError(
                f"{path} line {number}: task_id {row['task_id']!r} is not in {benchmark_name} "
                f"({len(tasks)} tasks, such as {next(iter(tasks))!r})"
            )
        if reason := benchmark.unavailable(task):
            left_out[task.task_id] = reason
            continue
        sample = counts.get(task.task_id, 0)
        counts[task.task_id] = sample + 1
        if "solution" in row:
            text = row["solution"]
            answers.append(Answer(task, sample, text, text, text))
        else:
            text = row["completion"]
            answers.append(Answer(task, sample, text, *benchmark.programs(task, text, chat=chat)))
    if not answers and left_out:
        raise UnavailableError(f"{benchmark.name}: {next(iter(left_out.values()))}")
    if not answers:
        raise ValueError(f"{path}: no samples; expected one JSON object a line")
    if len(counts) < len(tasks):
        _log.warning("%s: samples for %d of %d tasks", path.name, len(counts), len(tasks))
    fewest = min(counts.values())
    if too_large := [k for k in ks if not 1 <= k <= fewest]:
        raise ValueError(
            f"pass@{too_large[0]} needs at least {max(too_large[0], 1)} samples of each task, "
            f"found {fewest} in {path.name}"
        )
    table = [{"task_id": task_id, "reason": reason} for task_id, reason in left_out.items()]
    tables = {f"{benchmark.name} left out": table} if table else {}
    model = name or path.name.removesuffix(".gz").removesuffix(".jsonl")
    run = Run(model=model, digest="", seed=seed, settings={"chat": chat, "seed": seed})
    with _alone(out), Runs(out, workers) as runs:
        rows = benchmark.judge(answers, runs, chat=chat)
        scores = benchmark.scores(rows, model, chat=chat, seed=seed, ks=ks)
        run.add(benchmark, Result(rows, scores, tables))
        run.write(out)
    return run.scores


def availability(heldout: Path | None = None) -> dict[str, str | None]:
    """Every benchmark by name with what it lacks here (None: ready)."""
    return {name: benchmark.missing(heldout) for name, benchmark in registry().items()}


@dataclass
class Run:
    """What a run found, and its files."""

    model: str
    digest: str
    seed: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)
    _families: dict[str, list[Result]] = field(default_factory=dict, repr=False)

    def add(self, benchmark: Benchmark, result: Result) -> None:
        """Take in one benchmark's result."""
        self.rows += result.rows
        self.scores += result.scores
        self.tables |= result.tables
        if benchmark.family:
            self._families.setdefault(benchmark.family, []).append(result)

    def look_for_tasks(self, benchmarks: Sequence[Benchmark], training: Path) -> None:
        """Add the contamination tables: overlap of each task, scores with and without touched."""
        runs = {
            f"{benchmark.name}\0{task_id}": found
            for benchmark in benchmarks
            for task_id, found in task_runs(benchmark.texts()).items()
        }
        if not runs:
            return
        shares = overlaps(runs, training_texts(training))
        scores: list[Row] = []
        touched: list[Row] = []
        for benchmark in benchmarks:
            own = {
                key.partition("\0")[2]: share
                for key, share in shares.items()
                if key.partition("\0")[0] == benchmark.name
            }
            rows = [row for row in self.rows if row["benchmark"] == benchmark.name]
            if own and rows:
                scores += with_and_without(benchmark.name, rows, own, seed=self.seed)
                answered = {row["task_id"] for row in rows}
                touched += [
                    {"benchmark": benchmark.name, "task_id": task, "overlap": share}
                    for task, share in own.items()
                    if share and task in answered
                ]
        self.tables["contamination"] = scores
        self.tables["contamination_tasks"] = touched

    def write(self, out: Path) -> None:
        """Write results.parquet, summary.json and report.html, each complete or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as parquet

        self.scores += self._averages()
        lines = self._detectable()
        summary = {
            "model": {"name": self.model, "digest": self.digest},
            "settings": self.settings,
            "scores": [asdict(score) for score in self.scores],
            "tables": self.tables,
            "detectable": lines,
        }
        text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
        schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in _COLUMNS.items()])
        # half of a surrogate pair, which a model may write, is no text for a file
        rows = [
            {n: whole_text(value) if isinstance(value, str) else value for n, value in row.items()}
            | {"model": self.model, "model_digest": self.digest}
            for row in self.rows
        ]
        unfinished = out / ".results.parquet"
        parquet.write_table(
            pa.Table.from_pylist(
                [{name: row.get(name) for name in _COLUMNS} for row in rows], schema=schema
            ),
            unfinished,
            compression="zstd",
        )
        unfinished.replace(out / "results.parquet")
        page = render(self.model, self.scores, rows, self.tables, list(lines.values()))
        _replace(out / "report.html", page)
        _replace(out / "summary.json", text)

    def _averages(self) -> list[Score]:
        """Average over each family's languages; the interval redraws problems, not tasks."""
        found = []
        for family, results in self._families.items():
            if len(results) < 2:
                continue
            for metric in (score.metric for score in results[0].scores):
                column = {"pass@1": "passed", "pass@1_sanitised": "passed_sanitised"}.get(metric)
                if column is None:
                    continue
                values, weights, problems = [], [], []
                for result in results:
                    share = 1 / len(result.rows)  # every language weighs the same
                    values += [share * bool(row[column]) for row in result.rows]
                    weights += [share] * len(result.rows)
                    problems += [str(row["problem"]) for row in result.rows]
                interval = bootstrap_ratio(
                    values, weights, clusters=problems, of_one=True, seed=self.seed
                )
                first = results[0].scores[0]
                found.append(
                    Score(
                        f"{family} average",
                        metric,
                        sum(values) / sum(weights),
                        *interval,
                        len(set(problems)),
                        self.model,
                        first.chat,
                        first.level,
                        first.grade,
                    )
                )
        return found

    def _detectable(self) -> dict[str, str]:
        """For each pass rate, what a comparison of this size could find."""
        lines = {}
        own = {row["benchmark"] for row in self.rows}
        for score in self.scores:
            if score.metric != "pass@1" or score.benchmark not in own:
                continue
            # two models that err alike on half of what chance alone would set apart
            difference = detectable_difference(score.n, score.value * (1 - score.value))
            lines[score.benchmark] = (
                f"{score.benchmark}: with {score.n} tasks at {100 * score.value:.1f}%, a paired "
                f"comparison finds a true difference of {100 * difference:.1f} points or more with "
                "80% power (assuming half the disagreement of two unrelated models)"
            )
        return lines


_COLUMNS = {
    "benchmark": "string",
    "model": "string",
    "model_digest": "string",
    "chat": "bool_",
    "task_id": "string",
    "problem": "string",
    "sample": "int32",
    "work": "string",
    "passed": "bool_",
    "passed_sanitised": "bool_",
    "correct": "bool_",
    "syntax_valid": "bool_",
    "tests_passed": "int32",
    "tests_total": "int32",
    "status": "string",
    "grade": "string",
    "level": "string",
    "error": "string",
    "completion": "string",
    "language": "string",
    "bits": "float64",
    "bytes": "int64",
}


def _check_weights(benchmarks: Sequence[Benchmark], backend: Backend) -> None:
    lacking = [benchmark.name for benchmark in benchmarks if benchmark.needs_weights]
    if lacking and backend.loaded is None:
        raise UnavailableError(
            f"{', '.join(lacking)}: likelihoods need the model's weights, and {backend.name} is "
            "reached through an interface that gives answers only; leave them out, or give --model "
            "a model folder"
        )


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Hold the run's folder; the kernel lets go of it when the process dies, however it dies."""
    out.mkdir(parents=True, exist_ok=True)
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"{out}: another run is writing there; wait for it or choose another folder"
            ) from error
        yield


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _sample_row(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path} line {number}: not JSON ({error})") from error
    if isinstance(row, dict) and isinstance(row.get("task_id"), int):
        row["task_id"] = str(row["task_id"])
    fits = isinstance(row, dict) and isinstance(row.get("task_id"), str)
    fits = fits and any(isinstance(row.get(name), str) for name in ("completion", "solution"))
    if not fits:
        raise ValueError(
            f"{path} line {number}: expected an object with the texts task_id and completion (or "
            f"solution), found {line[:80]!r}"
        )
    return {name: value for name, value in row.items() if isinstance(value, str)}
