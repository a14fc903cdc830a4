"""What is compared and kept as one at each level: a file, a repository, a chunk (paper 6.1).

Every pass of deduplication only sees units: their names, their facts for the keep rule, and their
texts as rows in a row. So the levels differ here, in ``repository_dedup`` and in ``chunk_dedup``,
and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from assets.recipe import Dedup
from assets.refinecode.chunk_dedup import MARK, chunk_frame
from assets.refinecode.repository_dedup import repository_facts, repository_unit

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

Level = Literal["repository", "file", "chunk"]
_KEEP_COLUMNS = ("stars", "popularity_percentile", "commit_time")


def unit_texts(frame: DataFrame, params: Dedup, level: Level) -> DataFrame:
    """Rows unit, node (64-bit id), language, path, doc_id, content; the rows of a repository still
    to be gathered, in the order of path and doc_id."""
    from pyspark.sql import functions as F

    if level == "chunk":
        frame = chunk_frame(frame, params.chunk_tokens)
        unit: Column = F.col("unit")
    else:
        unit = F.col("doc_id") if level == "file" else repository_unit(params)
    return frame.select(
        unit.alias("unit"), F.xxhash64(unit).alias("node"),
        "language", "path", "doc_id", "content",
    )  # fmt: skip


def unit_facts(
    facts: DataFrame, params: Dedup, level: Level, chunks: DataFrame | None
) -> DataFrame:
    """One row a unit: unit, language, digest (SHA-256 of what it holds; not of chunks), stars,
    popularity_percentile, commit_time and doc_id.

    ``chunks`` has the names of chunks (unit), which ``facts`` of documents do not tell.
    """
    from pyspark.sql import functions as F

    if level == "repository":
        return repository_facts(facts, params)
    if level == "file":
        return facts.select(
            F.col("doc_id").alias("unit"), "language", F.col("content_sha256").alias("digest"),
            *_KEEP_COLUMNS, "doc_id",
        )  # fmt: skip
    if chunks is None:
        raise ValueError("level chunk: the names of the chunks are needed")
    named = chunks.withColumn("doc_id", F.substring_index("unit", MARK, 1))
    return named.join(facts.select("doc_id", "language", *_KEEP_COLUMNS), "doc_id")


def dropped_documents(
    facts: DataFrame, duplicates: DataFrame, params: Dedup, level: Level, reason: str
) -> DataFrame:
    """The documents of dropped files or repositories: doc_id, reason, detail.

    ``duplicates`` has unit, survivor (the unit that stays) and jaccard (their similarity).
    """
    from pyspark.sql import functions as F

    detail = F.format_string("duplicate_of=%s jaccard=%.4f", "survivor", "jaccard")
    told = duplicates.select("unit", F.lit(reason).alias("reason"), detail.alias("detail"))
    if level == "file":
        return told.withColumnRenamed("unit", "doc_id")
    documents = facts.select("doc_id", repository_unit(params).alias("unit"))
    return documents.join(told, "unit").select("doc_id", "reason", "detail")
