"""Repositories as units: kept or dropped whole (paper 6.1, dedup level).

A repository is the concatenation of its files in path order. Equal hashes of its files' hashes are
equal concatenations, so exact comparison moves no text. ``across: language`` makes one unit of a
repository's files of each language, since only these are ever compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assets.recipe import Dedup

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def repository_unit(params: Dedup) -> Column:
    """The name of a document's unit: its repository, with ``:language`` across languages."""
    from pyspark.sql import functions as F

    if params.across == "corpus":
        return F.col("repository")
    return F.concat_ws(":", "repository", "language")


def repository_facts(facts: DataFrame, params: Dedup) -> DataFrame:
    """One row a unit: unit, language, digest, and the columns the keep rule looks at.

    A repository has the most stars, the highest percentile and the latest commit of its files, and
    the smallest id of them.
    """
    from pyspark.sql import functions as F

    files = F.sort_array(F.collect_list(F.struct("path", "doc_id", "content_sha256")))
    digests = F.transform(files, lambda file: file["content_sha256"])
    return facts.groupBy(repository_unit(params).alias("unit")).agg(
        F.min("language").alias("language"),
        F.sha2(F.concat_ws(",", digests), 256).alias("digest"),
        F.max("stars").alias("stars"),
        F.max("popularity_percentile").alias("popularity_percentile"),
        F.max("commit_time").alias("commit_time"),
        F.min("doc_id").alias("doc_id"),
    )
