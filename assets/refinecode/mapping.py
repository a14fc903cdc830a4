"""Between pure functions and Spark: read documents, apply, split into documents and decisions.

Two shapes cover every stage. ``map_documents`` runs a function of one document over Arrow batches
(transform, filter); ``drop_documents`` takes rows that say what must go (select, dedup, sample).
Both write exactly one decision a document, and parquet files that are disjoint ranges of
``doc_id``, each sorted, so that the same rows always lie in the same files.
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from assets.documents import (
    CHANGED,
    DECISION_SCHEMA,
    DOCUMENT_SCHEMA,
    DROPPED,
    KEPT,
    content_digest,
)
from assets.refinecode.keep import KEEP_RULE, STAND_IN

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

log = logging.getLogger(__name__)

_SQL_TYPES = {
    pa.string(): "string",
    pa.large_string(): "string",
    pa.int64(): "bigint",
    pa.float64(): "double",
    pa.timestamp("us", tz="UTC"): "timestamp",
}
DOCUMENT_COLUMNS = DOCUMENT_SCHEMA.names
#: Columns of a document without its text: what most plans need, at a thousandth of the bytes.
FACT_COLUMNS = [name for name in DOCUMENT_COLUMNS if name != "content"]
_VERDICT_COLUMNS = ["_verdict", "_reason", "_detail", "_size_bytes"]
#: Rows of a batch handed to a function of documents: bounds the texts a worker holds at a time.
_BATCH_ROWS = 128


@dataclass(frozen=True)
class Outcome:
    """What a function of one document says: ``content`` is the new text, only if changed."""

    verdict: str = KEPT
    reason: str = ""
    detail: str = ""
    content: str | None = None


@dataclass(frozen=True)
class Document:
    """What a function of one document may look at."""

    doc_id: str
    content: str
    path: str
    language: str
    doc_type: str
    size_bytes: int


UNCHANGED = Outcome()
Function = Callable[[Document], Outcome]


def ddl(schema: pa.Schema, names: Iterable[str] | None = None) -> str:
    """Spark's spelling of an Arrow schema, for readers and ``mapInArrow``."""
    return ", ".join(
        f"`{name}` {_SQL_TYPES[schema.field(name).type]}" for name in (names or schema.names)
    )


def read_documents(spark: SparkSession, folder: Path) -> DataFrame:
    """The documents in ``folder`` (parquet files in DOCUMENT_SCHEMA) as a Spark frame."""
    return spark.read.schema(ddl(DOCUMENT_SCHEMA)).parquet(str(folder))


def map_documents(
    spark: SparkSession, documents: Path, function: Function, out: Path, stage: str
) -> None:
    """Apply ``function`` to every document; fill ``out/documents`` and ``out/decisions``.

    ``function`` must be picklable (a module-level function or a ``functools.partial`` of one); it
    runs once a document. A changed document gets the new content, its hash and its size, and keeps
    its ``doc_id``; its decision carries the size it had before.
    """

    def apply(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                yield apply_batch(batch.slice(start, _BATCH_ROWS), function)

    schema = f"{ddl(DOCUMENT_SCHEMA)}, _verdict string, _reason string, _detail string, "
    mapped = read_documents(spark, documents).mapInArrow(apply, schema + "_size_bytes bigint")
    write_judged(spark, mapped, out, stage)


def write_judged(spark: SparkSession, mapped: DataFrame, out: Path, stage: str) -> None:
    """Fill ``out/documents`` and ``out/decisions`` from documents with their outcome.

    ``mapped`` has the columns of a document and ``_verdict``, ``_reason``, ``_detail`` and
    ``_size_bytes`` (of the document as it came); it is computed once.
    """
    from pyspark import StorageLevel
    from pyspark.sql import functions as F

    judged = sorted_by_id(spark, mapped).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        kept = judged.where(F.col("_verdict") != DROPPED).select(*DOCUMENT_COLUMNS)
        write_parquet(kept, out / "documents")
        decisions = judged.select(
            "doc_id",
            F.lit(stage).alias("stage"),
            F.col("_verdict").alias("verdict"),
            F.col("_reason").alias("reason"),
            F.col("_detail").alias("detail"),
            "repository",
            "path",
            "language",
            F.col("_size_bytes").alias("size_bytes"),
        )
        write_parquet(decisions, out / "decisions")
    finally:
        judged.unpersist()


def apply_batch(batch: pa.RecordBatch, function: Function) -> pa.RecordBatch:
    """Documents in, documents with their outcome out; the text of dropped ones is left behind."""
    columns = {name: batch.column(name) for name in batch.schema.names}
    texts = columns["content"].to_pylist()
    seen = [columns[name].to_pylist() for name in ("doc_id", "path", "language", "doc_type",
                                                   "size_bytes")]  # fmt: skip
    outcomes = [
        function(Document(doc_id, text or "", path, language, doc_type, size))
        for text, doc_id, path, language, doc_type, size in zip(texts, *seen, strict=True)
    ]
    contents: list[str | None] = []
    digests = columns["content_sha256"].to_pylist()
    sizes = list(seen[-1])
    for i, outcome in enumerate(outcomes):
        if outcome.verdict == CHANGED:
            if outcome.content is None:
                raise ValueError(f"document {seen[0][i]} is changed, but no new content was given")
            digests[i] = content_digest(outcome.content)
            sizes[i] = len(outcome.content.encode("utf-8", "surrogatepass"))
        contents.append(
            None if outcome.verdict == DROPPED
            else outcome.content if outcome.verdict == CHANGED
            else texts[i]
        )  # fmt: skip
    columns["content"] = pa.array(contents, pa.string())
    columns["content_sha256"] = pa.array(digests, pa.string())
    columns["size_bytes"] = pa.array(sizes, pa.int64())
    columns["_verdict"] = pa.array([o.verdict for o in outcomes], pa.string())
    columns["_reason"] = pa.array([o.reason for o in outcomes], pa.string())
    columns["_detail"] = pa.array([o.detail for o in outcomes], pa.string())
    columns["_size_bytes"] = pa.array(seen[-1], pa.int64())
    order = [*DOCUMENT_COLUMNS, *_VERDICT_COLUMNS]
    return pa.RecordBatch.from_arrays([columns[name] for name in order], names=order)


def drop_documents(
    spark: SparkSession, documents: DataFrame, drops: DataFrame | None, out: Path, stage: str
) -> None:
    """Write all ``documents`` but those in ``drops`` (doc_id, reason, detail; one row a document).

    None drops nothing.
    """
    from pyspark.sql import functions as F

    facts = documents.select("doc_id", "repository", "path", "language", "size_bytes")
    kept, judged = documents, facts.withColumns({"reason": F.lit(""), "detail": F.lit("")})
    judged = judged.withColumn("verdict", F.lit(KEPT))
    if drops is not None:
        drops = drops.select("doc_id", "reason", "detail").persist()
        # Counted first, so that Spark knows the size and sends a small table to the documents
        # instead of shuffling all texts to meet it.
        log.info("%s drops %d documents", stage, drops.count())
        kept = documents.join(drops.select("doc_id"), "doc_id", "left_anti")
        judged = facts.join(drops.withColumn("verdict", F.lit(DROPPED)), "doc_id", "left")
        judged = judged.fillna({"verdict": KEPT, "reason": "", "detail": ""})
    try:
        write_parquet(sorted_by_id(spark, kept.select(*DOCUMENT_COLUMNS)), out / "documents")
        judged = judged.withColumn("stage", F.lit(stage)).select(*DECISION_SCHEMA.names)
        write_parquet(sorted_by_id(spark, judged), out / "decisions")
    finally:
        if drops is not None:
            drops.unpersist()


def sorted_by_id(spark: SparkSession, frame: DataFrame) -> DataFrame:
    """Range partitions by ``doc_id``, sorted inside: ids are hashes, so equal prefixes are equal
    shares, and no sampling pass (which would run the plan twice) is needed."""
    from pyspark.sql import functions as F

    parts = int(spark.conf.get("spark.sql.shuffle.partitions") or 4)
    prefix = F.conv(F.substring("doc_id", 1, 6), 16, 10).cast("bigint")
    part = F.floor(F.coalesce(prefix, F.lit(0)) * parts / (1 << 24))
    return frame.repartitionById(parts, part.cast("int")).sortWithinPartitions("doc_id")


def write_parquet(frame: DataFrame, folder: Path) -> None:
    """Write ``frame`` as ``part-00000.parquet``, ... (zstd): nothing else stays in ``folder``."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".spark-", dir=folder.parent) as scratch:
        target = Path(scratch) / "table"
        frame.write.mode("error").parquet(str(target))
        folder.mkdir()
        for number, file in enumerate(sorted(target.glob("part-*.parquet"))):
            shutil.move(file, folder / f"part-{number:05d}.parquet")


def keep_order() -> list[Column]:
    """:data:`~assets.refinecode.keep.KEEP_RULE` for Spark; needs the columns stars,
    popularity_percentile, commit_time, doc_id."""
    from pyspark.sql import functions as F

    stand_in = F.when(F.col("stars").isNull(), F.col("popularity_percentile"))
    columns = ((stand_in if name == STAND_IN else F.col(name), way) for name, way in KEEP_RULE)
    return [column.desc_nulls_last() if way == "descending" else column.asc()
            for column, way in columns]  # fmt: skip
