"""Was the test in the training data? N-gram overlap of each task with a training artifact.

Words are the `\\w+` runs of lower-cased text, as the decontamination of training sets counts them.
A task's overlap is the share of its own ten-word runs, those that hardly any other task has, that
occur anywhere in the training text; a task with any is touched. The score is then shown with and
without the touched tasks. Paper section 4.4.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.metrics import bootstrap_ratio, wilson_interval
from evaluation.records import Row

NGRAM = 10
_SHARED_BY = 5  # tasks; fewer may be one problem in several forms, as MdEval's are
_WORD = re.compile(r"\w+")
_TEXT_COLUMNS = (
    "content", "text", "instruction", "input", "output", "context", "prompt", "response",
    "completion", "question", "answer", "problem", "solution", "code", "messages", "conversations",
)  # fmt: skip


def word_runs(text: str, length: int = NGRAM) -> set[str]:
    """All runs of `length` normalised words.

    >>> sorted(word_runs("Sum, of x_1!", 2))
    ['of x_1', 'sum of']
    """
    words = _WORD.findall(text.lower())
    return {" ".join(words[i : i + length]) for i in range(len(words) - length + 1)}


def task_runs(
    tasks: Mapping[str, Sequence[str]], *, length: int = NGRAM
) -> dict[str, frozenset[str]]:
    """Each task's own word runs, for the tasks of one benchmark.

    tasks: by id, the texts of each; runs do not cross from one text to the next. What several tasks
    share, such as imports or the wording of the request, tells of no single one and is left out.
    """
    runs = {
        task: frozenset(run for text in texts for run in word_runs(text, length))
        for task, texts in tasks.items()
    }
    counts = Counter(run for found in runs.values() for run in found)
    shared = {run for run, count in counts.items() if count >= _SHARED_BY}
    return {task: found - shared for task, found in runs.items()}


def overlaps(
    runs: Mapping[str, Collection[str]], training: Iterable[str], *, length: int = NGRAM
) -> dict[str, float]:
    """Share of each task's word runs that occur in the training texts.

    A task without runs, such as one with fewer words than a run has, counts as untouched.
    """
    wanted = {run for found in runs.values() for run in found}
    seen: set[str] = set()
    for text in training:
        seen |= wanted & word_runs(text, length)
    return {
        task: sum(run in seen for run in found) / len(found) if found else 0.0
        for task, found in runs.items()
    }


def training_texts(folder: Path) -> Iterator[str]:
    """Every text of the parquet files below a folder, one batch in memory at a time.

    Reads the columns that such sets usually have (content, instruction, messages, ...), whichever
    are there, and all text within lists and structures. Raises ValueError when no file has one.
    """
    import pyarrow.parquet as parquet

    found = False
    for path in sorted(Path(folder).rglob("*.parquet")):
        file = parquet.ParquetFile(path)
        columns = [name for name in _TEXT_COLUMNS if name in file.schema_arrow.names]
        found = found or bool(columns)
        if columns:
            for batch in file.iter_batches(batch_size=1024, columns=columns):
                for row in batch.to_pylist():
                    yield "\n".join(text for name in columns for text in _texts(row[name]))
    if not found:
        raise ValueError(
            f"{folder}: expected parquet files with a column {' or '.join(_TEXT_COLUMNS)}"
        )


def _texts(value: Any) -> Iterator[str]:
    """The texts within a value, such as a conversation's list of messages."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list | dict):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def with_and_without(
    benchmark: str, rows: Sequence[Row], shares: Mapping[str, float], *, seed: int
) -> list[dict[str, Any]]:
    """Score over all, untouched and touched tasks, each with its interval."""
    groups = {
        "all": rows,
        "untouched": [row for row in rows if not shares.get(str(row["task_id"]))],
        "touched": [row for row in rows if shares.get(str(row["task_id"]))],
    }
    table = []
    for group, members in groups.items():
        if not members:
            continue
        tops: dict[str, float] = {}
        bottoms: dict[str, float] = {}
        for row in members:
            task = str(row["task_id"])
            top, bottom = _measure(row)
            tops[task] = tops.get(task, 0.0) + top
            bottoms[task] = bottoms.get(task, 0.0) + bottom
        names = sorted(tops)
        values, weights = [tops[name] for name in names], [bottoms[name] for name in names]
        single = members[0].get("bits") is None and set(weights) == {1.0}
        interval = (
            wilson_interval(round(sum(values)), len(values))
            if single
            else bootstrap_ratio(values, weights, of_one=members[0].get("bits") is None, seed=seed)
        )
        table.append(
            {
                "benchmark": benchmark,
                "tasks": group,
                "n": len(names),
                "value": sum(values) / sum(weights),
                "low": interval.low,
                "high": interval.high,
            }
        )
    return table


def _measure(row: Row) -> tuple[float, float]:
    if row.get("bits") is not None:
        return float(row["bits"]), float(row["bytes"])
    value = row.get("passed") if row.get("passed") is not None else row.get("correct")
    return float(bool(value)), 1.0
