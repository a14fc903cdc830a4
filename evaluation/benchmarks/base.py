"""What a benchmark is, and the registry that finds them.

A benchmark turns a model into rows (one per task and sample) and scores. Those that let a model
write an answer and check it share `generative.py`; likelihood benchmarks share `likelihoods.py`.
"""

from __future__ import annotations

import fnmatch
import importlib
import logging
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from evaluation.records import RecordFile, Row

if TYPE_CHECKING:
    from evaluation.backends import Backend
    from evaluation.models import LoadedModel

WORK_KEY = ("benchmark", "chat", "task_id", "sample", "work")
RESULTS = "results.jsonl"
_log = logging.getLogger(__name__)


class UnavailableError(RuntimeError):
    """A benchmark cannot run here; the message says what is missing and how to get it."""


@dataclass(frozen=True)
class Score:
    """One number with its 95% interval.

    value, low, high: in the metric's unit. n: tasks (or documents) behind it. level: the sandbox
    level of executed programs, "" where nothing was executed. grade: "judged" (outside the model's
    process), "in-process", or "" where nothing was executed.
    """

    benchmark: str
    metric: str
    value: float
    low: float
    high: float
    n: int
    model: str
    chat: bool
    level: str = ""
    grade: str = ""


@dataclass(frozen=True)
class Context:
    """Everything a benchmark may use in one run.

    out: folder of the run. limit: first tasks only. max_new_tokens, temperature, top_p, samples,
    seed: of generation. ks: further k of pass@k, beside 1 and `samples`. heldout: folder of parquet
    documents, for benchmarks made of documents. workers: programs checked at once. since, until:
    ISO dates that dated tasks must lie within (since included, until excluded).
    """

    backend: Backend
    out: Path
    chat: bool = False
    limit: int | None = None
    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    ks: tuple[int, ...] = ()
    batch_size: int | None = None
    heldout: Path | None = None
    seed: int = 0
    workers: int = 2
    since: str | None = None
    until: str | None = None

    @property
    def model(self) -> str:
        """The model's name in tables."""
        return self.backend.name

    @property
    def loaded(self) -> LoadedModel:
        """The weights. Raises UnavailableError for a backend that has none to look into."""
        if self.backend.loaded is None:
            raise UnavailableError(
                f"{self.backend.name} gives answers but no likelihoods; score a model folder"
            )
        return self.backend.loaded


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
    records = RecordFile(out / RESULTS, WORK_KEY)
    if any(records.get(**key) is None for key in keys):
        rest = compute()
        records.append(key | row for key, row in zip(keys, rest, strict=True))
    return [records.get(**key) or {} for key in keys]


class Benchmark(ABC):
    """Subclass, set the texts, implement `missing` and `evaluate`.

    family: benchmarks of one family ask the same problems in several languages; a run of several of
    them also gets their average, with an interval that redraws problems. needs_weights: it looks at
    likelihoods, which an endpoint does not give.
    """

    name: str
    metric: str
    description: str
    family: str = ""
    needs_weights: bool = False

    @abstractmethod
    def missing(self, heldout: Path | None = None) -> str | None:
        """What it lacks to run here and how to get it; None when it can run."""

    @abstractmethod
    def evaluate(self, context: Context) -> Result:
        """Score the model. Raises UnavailableError when `missing` says so."""

    def texts(self) -> dict[str, tuple[str, ...]]:
        """What training text would give each task away, by task id; empty where nothing would."""
        return {}

    def prepare(self, heldout: Path | None = None) -> None:
        """Fail before a model is loaded: raises UnavailableError when data is missing."""
        if lacking := self.missing(heldout):
            raise UnavailableError(f"{self.name}: {lacking}")


@cache
def registry() -> dict[str, Benchmark]:
    """All benchmarks by name, sorted: what the modules of this package declare as BENCHMARKS."""
    import evaluation.benchmarks as package

    found: dict[str, Benchmark] = {}
    for module_info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        for benchmark in getattr(module, "BENCHMARKS", ()):
            if not isinstance(benchmark, Benchmark):
                raise TypeError(f"{module.__name__}: BENCHMARKS holds {benchmark!r}, no Benchmark")
            if benchmark.name in found:
                raise TypeError(f"{module.__name__}: a second benchmark named {benchmark.name}")
            found[benchmark.name] = benchmark
    return dict(sorted(found.items()))


def select(names: Sequence[str], heldout: Path | None = None) -> list[Benchmark]:
    """Benchmarks in the given order, each once.

    A name may be `file:TASKS.jsonl` (own tasks) or a pattern such as `multipl-e-*`, which stands
    for those of its benchmarks that can run here. Raises ValueError on an unknown name,
    UnavailableError when nothing of a pattern can run.
    """
    known = registry()
    chosen: dict[str, Benchmark] = {}
    for name in names:
        if name.startswith("file:"):
            from evaluation.benchmarks.own_tasks import from_file

            own = from_file(Path(name.removeprefix("file:")))
            if own.name in chosen:
                raise ValueError(f"{name}: a second file of tasks of this name; rename one of them")
            chosen[own.name] = own
        elif any(character in name for character in "*?["):
            matching = [known[other] for other in known if fnmatch.fnmatchcase(other, name)]
            ready = [benchmark for benchmark in matching if benchmark.missing(heldout) is None]
            for benchmark in matching:
                if benchmark not in ready:
                    _log.warning("%s left out: %s", benchmark.name, benchmark.missing(heldout))
            if matching and not ready:
                raise UnavailableError(f"nothing of {name} can run here; see the list command")
            if not matching:
                raise ValueError(f"no benchmark matches {name}; known: {', '.join(known)}")
            chosen |= {benchmark.name: benchmark for benchmark in ready}
        elif name in known:
            chosen[name] = known[name]
        else:
            raise ValueError(f"unknown benchmark {name!r}; known: {', '.join(known)}")
    if not chosen:
        raise ValueError(f"no benchmark named; known: {', '.join(known)}")
    return list(chosen.values())
