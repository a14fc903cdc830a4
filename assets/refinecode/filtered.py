"""Filter: drop files that a quality rule fires on (paper 2.1.1 and appendix A).

The decision of a dropped file names the first rule and lists all of them with value and threshold.
The table ``signals`` holds what was measured of every document, kept or dropped, so that each rule
can be judged by what it alone drops, and a threshold tuned, without reading any text again.

No document meets another here, so nothing is shuffled: Spark hands out the input files, the largest
first, and a worker turns one into a file of each table, by Arrow batches. The JVM never sees a
text, and the tables keep the ranges and the order of ``doc_id`` that the documents came in.
"""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.parquet as pq

from assets.documents import DECISION_SCHEMA, DOCUMENT_SCHEMA, DROPPED, KEPT
from assets.recipe import Filters
from assets.refinecode.filters import evaluate
from assets.refinecode.filters.batch import SIGNALS_TYPE, evaluate_batch
from assets.refinecode.filters.rules import RuleSetName, Threshold
from assets.refinecode.mapping import UNCHANGED, Document, Outcome

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "filtered_code"
VERSION = "4"

#: Column types of ``signals/``. ``language`` and ``doc_type`` are what the file was judged as;
#: ``rules`` are the names of the rules that fired, in order; ``signals`` by name, 0-1 for booleans,
#: without those that are not defined for the file.
SIGNALS_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("doc_type", pa.string()),
        ("size_bytes", pa.int64()),
        ("kept", pa.bool_()),
        ("rules", pa.list_(pa.string())),
        ("signals", SIGNALS_TYPE),
    ]
)
#: As every Spark stage writes them: a text of a batch is far below 2 GB.
_KEPT_SCHEMA = pa.schema(
    [pa.field(f.name, pa.string()) if f.name == "content" else f for f in DOCUMENT_SCHEMA]
)
_SCHEMAS = {"documents": _KEPT_SCHEMA, "decisions": DECISION_SCHEMA, "signals": SIGNALS_SCHEMA}
#: Documents judged at a time, and rows and bytes of a row group: what a worker holds.
_BATCH_ROWS = 128
_GROUP_ROWS, _GROUP_BYTES = 4096, 64 << 20

Judge = Callable[[pa.RecordBatch], pa.RecordBatch]
Tables = dict[str, pa.RecordBatch]

log = logging.getLogger(__name__)


def run(out: Path, *, documents: Path, params: Filters, spark: SparkSession) -> None:
    """Fill ``out/documents``, ``out/decisions`` and ``out/signals``: a file for each input file."""
    judge = functools.partial(
        evaluate_batch, rules=params.rules, thresholds=params.thresholds, enabled=params.enabled
    )
    for table in _SCHEMAS:
        (out / table).mkdir(parents=True)
    files = sorted(map(Path, pads.dataset(documents, format="parquet").files))
    tasks = [(file, f"part-{number:05d}.parquet") for number, file in enumerate(files)]
    tasks.sort(key=lambda task: -task[0].stat().st_size)  # the last to end is a small one
    rows = (
        spark.sparkContext.parallelize(tasks, len(tasks))
        .map(lambda task: judge_file(task[0], out, task[1], judge))
        .collect()
    )
    log.info("%s judged %d documents", STAGE, sum(rows))


def judge_file(file: Path, out: Path, name: str, judge: Judge) -> int:
    """Judge the documents of one parquet file into ``out/<table>/<name>``; how many there were."""
    rows = 0
    with ExitStack() as stack:
        writers = {
            table: stack.enter_context(_Writer(out / table / name, schema))
            for table, schema in _SCHEMAS.items()
        }
        for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=DOCUMENT_SCHEMA.names):
            rows += batch.num_rows
            for table, part in judge_batch(batch, judge).items():
                writers[table].write(part)
    return rows


def judge_batch(batch: pa.RecordBatch, judge: Judge) -> Tables:
    """The rows of each table that documents give rise to."""
    verdict = judge(batch)
    kept = verdict.column("kept")
    columns = {name: batch.column(name) for name in DOCUMENT_SCHEMA.names}
    rows = batch.num_rows
    decided = {
        **columns,
        "stage": pa.repeat(STAGE, rows),
        "verdict": pc.if_else(kept, pa.scalar(KEPT), pa.scalar(DROPPED)),
        "reason": verdict.column("reason"),
        "detail": verdict.column("detail"),
    }
    measured = {
        **columns,
        "language": verdict.column("program"),
        "doc_type": verdict.column("doc_type"),
        **{name: verdict.column(name) for name in ("kept", "rules", "signals")},
    }
    return {
        "documents": _record(columns, _KEPT_SCHEMA).filter(kept),
        "decisions": _record(decided, DECISION_SCHEMA),
        "signals": _record(measured, SIGNALS_SCHEMA),
    }


def _record(columns: dict[str, pa.Array], schema: pa.Schema) -> pa.RecordBatch:
    arrays = [columns[field.name].cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def judged(
    document: Document,
    thresholds: Mapping[str, Threshold],
    enabled: bool = True,
    rules: RuleSetName = "cookbook",
) -> Outcome:
    """The outcome for one document: kept, or dropped with every rule that fired."""
    if not enabled:
        return UNCHANGED
    known = rules == "cookbook"  # the other rules tell language and type from the name themselves
    verdict = evaluate(
        document.content,
        document.path,
        rules,
        thresholds=thresholds,
        program=document.language if known else None,
        doc_type=document.doc_type if known else None,
        size_bytes=document.size_bytes,
    )
    if verdict.kept:
        return UNCHANGED
    return Outcome(DROPPED, verdict.reason, verdict.detail)


class _Writer:
    """A parquet file that is there when it is whole: a task that dies or runs twice leaves one."""

    def __init__(self, file: Path, schema: pa.Schema) -> None:
        self._file = file
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []

    def __enter__(self) -> _Writer:
        self._folder = tempfile.TemporaryDirectory(prefix=".filter-", dir=self._file.parent.parent)
        self._written = Path(self._folder.name) / self._file.name
        self._parquet = pq.ParquetWriter(self._written, self._schema, compression="zstd")
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        rows = sum(held.num_rows for held in self._batches)
        if rows >= _GROUP_ROWS or sum(held.nbytes for held in self._batches) >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        self._parquet.write_table(pa.Table.from_batches(self._batches, self._schema), _GROUP_ROWS)
        self._batches = []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if kind is None and self._batches:
            self._flush()
        self._parquet.close()
        if kind is None:
            self._written.replace(self._file)
        self._folder.cleanup()
