"""Evaluate a model, or score given samples, into a folder that any tool can read.

The folder gets results.jsonl (append-only, one row per task and sample), generations.jsonl (cache),
and, when all is done, results.parquet, summary.json and report.html. Run it again after a crash:
what is finished is kept, and the summary is the same to the byte.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from evaluation.benchmarks.base import Context, Score, UnavailableError, registry, select
from evaluation.benchmarks.generative import Answer, GenerativeBenchmark
from evaluation.models import load_model
from evaluation.records import Row
from evaluation.report import render

_log = logging.getLogger(__name__)


def evaluate(
    model_path: Path | str,
    benchmarks: Sequence[str],
    out: Path | str,
    *,
    chat: bool = False,
    limit: int | None = None,
    max_new_tokens: int = 512,
    heldout: Path | str | None = None,
    seed: int = 0,
    name: str | None = None,
    batch_size: int | None = None,
    temperature: float = 0.0,
    samples: int = 1,
    workers: int = 2,
    device: str | None = None,
    cache: Path | None = None,
) -> list[Score]:
    """Score a model on benchmarks and write the run's files below `out`.

    model_path: Hugging Face folder or GGUF file/folder. name: shown in tables (default: the
    folder's name). heldout: folder of parquet documents for the `heldout` benchmark. cache: where
    converted GGUF models go. Raises UnavailableError before loading the model when a benchmark
    lacks its data, ValueError on an unknown benchmark.
    """
    chosen = select(benchmarks)
    heldout = Path(heldout) if heldout is not None else None
    for benchmark in chosen:
        if lacking := benchmark.missing(heldout):
            raise UnavailableError(f"{benchmark.name}: {lacking}")
    loaded = load_model(Path(model_path), name=name, device=device, cache=cache)
    context = Context(
        loaded=loaded,
        out=Path(out),
        chat=chat,
        limit=limit,
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        samples=samples,
        batch_size=batch_size,
        heldout=heldout,
        seed=seed,
        workers=workers,
    )
    run = Run(model=loaded.name, digest=loaded.digest)
    for benchmark in chosen:
        _log.info("%s on %s", benchmark.name, loaded.name)
        result = benchmark.evaluate(context)
        run.rows += result.rows
        run.scores += result.scores
        run.tables |= result.tables
    run.settings = {
        "chat": chat,
        "limit": limit,
        "max_new_tokens": max_new_tokens,
        "samples": samples,
        "seed": seed,
        "temperature": temperature,
    }
    run.write(context.out)
    return run.scores


def score_samples(
    benchmark_name: str,
    samples: Path | str,
    out: Path | str,
    *,
    name: str | None = None,
    chat: bool = False,
    seed: int = 0,
    workers: int = 2,
) -> list[Score]:
    """Execute given samples: JSON lines with task_id and either completion or solution.

    A completion is put after the task's prompt (or, with chat, searched for its code block); a
    solution is a whole program. Several rows of one task are several samples. Raises ValueError
    naming file and line of a bad row.
    """
    benchmark = select([benchmark_name])[0]
    if not isinstance(benchmark, GenerativeBenchmark):
        raise ValueError(f"{benchmark_name} executes no programs; `score` cannot be used with it")
    if lacking := benchmark.missing():
        raise UnavailableError(f"{benchmark.name}: {lacking}")
    path = Path(samples)
    tasks = {task.task_id: task for task in benchmark.tasks()}
    counts: dict[str, int] = {}
    answers: list[Answer] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        row = _sample_row(path, number, line)
        task = tasks.get(row["task_id"])
        if task is None:
            raise ValueError(
                f"{path} line {number}: task_id {row['task_id']!r} is not in {benchmark_name} "
                f"({len(tasks)} tasks, such as {next(iter(tasks))!r})"
            )
        sample = counts.get(task.task_id, 0)
        counts[task.task_id] = sample + 1
        if "solution" in row:
            program = benchmark.solution_program(task, row["solution"])
            answers.append(Answer(task.task_id, sample, row["solution"], program, program))
        else:
            answers.append(benchmark.answer(task, sample, row["completion"], chat=chat))
    if not answers:
        raise ValueError(f"{path}: no samples; expected one JSON object a line")
    if len(counts) < len(tasks):
        _log.warning("%s: samples for %d of %d tasks", path.name, len(counts), len(tasks))
    rows = benchmark.judge(answers, Path(out), chat=chat, workers=workers)
    model = name or path.name.removesuffix(".jsonl")
    run = Run(model=model, digest="", settings={"chat": chat, "seed": seed})
    run.rows = rows
    run.scores = benchmark.scores(rows, model, chat=chat, seed=seed)
    run.write(Path(out))
    return run.scores


def availability(heldout: Path | None = None) -> dict[str, str | None]:
    """Every benchmark by name with what it lacks here (None: ready)."""
    return {name: benchmark.missing(heldout) for name, benchmark in registry().items()}


@dataclass
class Run:
    """What a run found, and its files."""

    model: str
    digest: str
    settings: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    scores: list[Score] = field(default_factory=list)
    tables: dict[str, list[Row]] = field(default_factory=dict)

    def write(self, out: Path) -> None:
        """Write results.parquet, summary.json and report.html, each complete or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as parquet

        out.mkdir(parents=True, exist_ok=True)
        summary = {
            "model": {"name": self.model, "digest": self.digest},
            "settings": self.settings,
            "scores": [asdict(score) for score in self.scores],
            "tables": self.tables,
        }
        text = json.dumps(summary, indent=2, sort_keys=True) + "\n"
        schema = pa.schema([(name, getattr(pa, kind)()) for name, kind in _COLUMNS.items()])
        rows = [row | {"model": self.model, "model_digest": self.digest} for row in self.rows]
        unfinished = out / ".results.parquet"
        parquet.write_table(
            pa.Table.from_pylist(
                [{name: row.get(name) for name in _COLUMNS} for row in rows], schema=schema
            ),
            unfinished,
            compression="zstd",
        )
        unfinished.replace(out / "results.parquet")
        _replace(out / "report.html", render(self.model, self.scores, self.rows, self.tables))
        _replace(out / "summary.json", text)


_COLUMNS = {
    "benchmark": "string",
    "model": "string",
    "model_digest": "string",
    "chat": "bool_",
    "task_id": "string",
    "sample": "int32",
    "work": "string",
    "passed": "bool_",
    "passed_sanitised": "bool_",
    "status": "string",
    "level": "string",
    "error": "string",
    "completion": "string",
    "language": "string",
    "bits": "float64",
    "bytes": "int64",
}


def _replace(path: Path, text: str) -> None:
    unfinished = path.with_name(f".{path.name}")
    unfinished.write_text(text, encoding="utf-8")
    unfinished.replace(path)


def _sample_row(path: Path, number: int, line: str) -> dict[str, str]:
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{path} line {number}: not JSON ({error})") from error
    fits = isinstance(row, dict) and isinstance(row.get("task_id"), str)
    fits = fits and any(isinstance(row.get(name), str) for name in ("completion", "solution"))
    if not fits:
        raise ValueError(
            f"{path} line {number}: expected an object with the texts task_id and completion (or "
            f"solution), found {line[:80]!r}"
        )
    return {name: value for name, value in row.items() if isinstance(value, str)}
