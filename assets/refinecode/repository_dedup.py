"""What is compared and kept as one: a file, or a whole repository (paper 6.1, dedup level).

At repository level the unit is the concatenation of a repository's files in path order; units are
kept or dropped whole. Both dedup stages only see units, so the levels differ here and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Level = Literal["file", "repository"]
#: The column of a document that names its unit.
UNIT_COLUMN: dict[Level, str] = {"file": "doc_id", "repository": "repository"}


def units(facts: DataFrame, level: Level) -> DataFrame:
    """One row a unit: unit, digest, and the columns the keep rule looks at.

    ``digest`` is the content hash of a file, or the hash of the hashes of a repository's files in
    path order, so equal digests are equal concatenations without moving any text. A repository
    has the most stars, the highest percentile and the latest commit of its files.
    """
    from pyspark.sql import functions as F

    if level == "file":
        return facts.select(
            F.col("doc_id").alias("unit"),
            F.col("content_sha256").alias("digest"),
            "stars",
            "popularity_percentile",
            "commit_time",
            "doc_id",
        )
    files = F.sort_array(F.collect_list(F.struct("path", "doc_id", "content_sha256")))
    digests = F.transform(files, lambda file: file["content_sha256"])
    return facts.groupBy(F.col("repository").alias("unit")).agg(
        F.sha2(F.concat_ws(",", digests), 256).alias("digest"),
        F.max("stars").alias("stars"),
        F.max("popularity_percentile").alias("popularity_percentile"),
        F.max("commit_time").alias("commit_time"),
        F.min("doc_id").alias("doc_id"),
    )


def dropped_documents(
    facts: DataFrame, dropped_units: DataFrame, level: Level, reason: str
) -> DataFrame:
    """The documents of the dropped units, as ``drop_documents`` wants them.

    ``dropped_units`` has unit, survivor (the unit that stays) and jaccard (their similarity).
    """
    from pyspark.sql import functions as F

    detail = F.format_string("duplicate_of=%s jaccard=%.4f", "survivor", "jaccard")
    told = dropped_units.select("unit", F.lit(reason).alias("reason"), detail.alias("detail"))
    if level == "file":
        return told.withColumnRenamed("unit", "doc_id")
    documents = facts.select("doc_id", F.col("repository").alias("unit"))
    return documents.join(told, "unit").select("doc_id", "reason", "detail")
