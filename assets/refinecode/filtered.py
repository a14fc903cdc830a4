"""Filter: drop files that a quality rule fires on (paper 2.1.1 and appendix A).

The decision of a dropped file names the first rule and lists all of them with value and threshold.
The table ``signals`` holds what was measured of every document, kept or dropped, so that each rule
can be judged by what it alone drops, and a threshold tuned, without reading any text again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from assets.documents import DOCUMENT_SCHEMA, DROPPED, KEPT
from assets.recipe import Filters
from assets.refinecode.filters import evaluate
from assets.refinecode.filters.batch import SIGNALS_TYPE, evaluate_batch
from assets.refinecode.filters.rules import RuleSetName, Threshold
from assets.refinecode.mapping import (
    DOCUMENT_COLUMNS,
    UNCHANGED,
    Document,
    Outcome,
    ddl,
    read_documents,
    sorted_by_id,
    write_parquet,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "filtered_code"
VERSION = "2"

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
_VERDICT_DDL = (
    "_kept boolean, _reason string, _detail string, _language string, _doc_type string, "
    "_rules array<string>, _signals map<string, double>"
)
#: Documents judged at a time: bounds the texts a worker holds.
_BATCH_ROWS = 128

Judge = Callable[[pa.RecordBatch], pa.RecordBatch]


def run(out: Path, *, documents: Path, params: Filters, spark: SparkSession) -> None:
    """Fill ``out/documents``, ``out/decisions`` and ``out/signals``."""
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    judge = functools.partial(
        evaluate_batch, rules=params.rules, thresholds=params.thresholds, enabled=params.enabled
    )

    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield judge_batch(batch.slice(start, _BATCH_ROWS), judge)

    mapped = read_documents(spark, documents).mapInArrow(
        apply, f"{ddl(DOCUMENT_SCHEMA)}, {_VERDICT_DDL}"
    )
    judged = sorted_by_id(spark, mapped).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        write_parquet(judged.where("_kept").select(*DOCUMENT_COLUMNS), out / "documents")
        decisions = judged.select(
            "doc_id",
            F.lit(STAGE).alias("stage"),
            F.when(F.col("_kept"), KEPT).otherwise(DROPPED).alias("verdict"),
            F.col("_reason").alias("reason"),
            F.col("_detail").alias("detail"),
            "repository",
            "path",
            "language",
            "size_bytes",
        )
        write_parquet(decisions, out / "decisions")
        signals = judged.select(
            "doc_id",
            "repository",
            "path",
            F.col("_language").alias("language"),
            F.col("_doc_type").alias("doc_type"),
            "size_bytes",
            F.col("_kept").alias("kept"),
            F.col("_rules").alias("rules"),
            F.col("_signals").alias("signals"),
        )
        write_parquet(signals, out / "signals")
    finally:
        judged.unpersist()


def judge_batch(batch: pa.RecordBatch, judge: Judge) -> pa.RecordBatch:
    """Documents with their verdict in further columns; the text of dropped ones is left behind."""
    verdict = judge(batch)
    content = pc.if_else(
        verdict.column("kept"), batch.column("content"), pa.scalar(None, pa.string())
    )
    columns = [
        content.cast(pa.string()) if name == "content" else batch.column(name)
        for name in DOCUMENT_COLUMNS
    ]
    renamed = ["_kept", "_reason", "_detail", "_language", "_doc_type", "_rules", "_signals"]
    return pa.RecordBatch.from_arrays(
        [*columns, *verdict.columns], names=[*DOCUMENT_COLUMNS, *renamed]
    )


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
