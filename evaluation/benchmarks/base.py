"""What a benchmark is, and the registry that finds them.

A benchmark turns a loaded model into rows (one per task and sample) and scores. Those that generate
programs share `generative.py`; likelihood benchmarks implement `evaluate` themselves.
"""

from __future__ import annotations

import importlib
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.records import RecordFile, Row

if TYPE_CHECKING:
    from evaluation.models import LoadedModel

WORK_KEY = ("benchmark", "chat", "task_id", "sample", "work")
_NOT_BENCHMARKS = {"base", "data", "generative"}


class UnavailableError(RuntimeError):
    """A benchmark cannot run here; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Score:
    """One number with its 95% interval.

    value, low, high: in the metric's unit. n: tasks (or documents) behind it. level: the sandbox
    level of executed programs, "" where nothing was executed.
    """

    benchmark: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    model: str
    chat: bool
    level: str


@dataclass(frozen=True)
class Context:
    """Everything a benchmark may use in one run.

    out: folder of the run. limit: first tasks only. max_new_tokens, temperature, samples, seed: of
    generation. heldout: folder of parquet documents, for benchmarks that score documents.
    workers: programs checked at once.
    """

    loaded: LoadedModel
    out: Path
    chat: bool = False
    limit: int | None = None
    max_new_tokens: int = 512
    temperature: float = 0.0
    samples: int = 1
    batch_size: int | None = None
    heldout: Path | None = None
    seed: int = 0
    workers: int = 2


@dataclass(frozen=True)
class Result:
    """Rows and scores of one benchmark; tables are small, named lists of rows for the report."""

    rows: list[Row]
    scores: list[Score]
    tables: dict[str, list[Row]] = field(default_factory=dict)


def remembered(out: Path, keys: Sequence[Row], compute: Callable[[], Sequence[Row]]) -> list[Row]:
    """Rows of work that is done as a whole: from results.jsonl, or computed and stored there.

    keys: one row of WORK_KEY fields per task; "work" is a digest of all that the result depends on.
    compute: returns the remaining columns of each row, in the order of the keys.
    """
    records = RecordFile(out / "results.jsonl", WORK_KEY)
    if any(records.get(**key) is None for key in keys):
        rest = compute()
        records.append(key | row for key, row in zip(keys, rest, strict=True))
    return [records.get(**key) or {} for key in keys]


class Benchmark(ABC):
    """Subclass, set the three texts, implement `missing` and `evaluate`."""

    name: str
    metric: str
    description: str

    @abstractmethod
    def missing(self, heldout: Path | None = None) -> str | None:
        """What it lacks to run here and how to get it; None when it can run."""

    @abstractmethod
    def evaluate(self, context: Context) -> Result:
        """Score the model. Raises UnavailableError when `missing` says so."""

    def applies(self, *, chat: bool) -> bool:
        """Whether the benchmark makes sense for this kind of prompting."""
        return True


@cache
def registry() -> dict[str, Benchmark]:
    """All benchmarks by name, sorted."""
    import evaluation.benchmarks as package

    found: dict[str, Benchmark] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        if module_info.name in _NOT_BENCHMARKS:
            continue
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        benchmark = getattr(module, "BENCHMARK", None)
        if not isinstance(benchmark, Benchmark):
            raise TypeError(f"{module.__name__} must define BENCHMARK, an instance of Benchmark")
        found[benchmark.name] = benchmark
    return dict(sorted(found.items()))


def select(names: Sequence[str]) -> list[Benchmark]:
    """Benchmarks by name, in the given order. Raises ValueError on an unknown name."""
    known = registry()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        raise ValueError(f"unknown benchmark {unknown or names}; known: {', '.join(known)}")
    return [known[name] for name in dict.fromkeys(names)]
