"""Select: size, language and stars decide what enters; held-out repositories are set aside.

Files over the size limit or without a known document type are dropped (paper 2.1.1, preprocess);
the star filter is the paper's ablation 6.3. Documents of held-out repositories go to a table of
their own, and training documents with the same bytes as a held-out one are dropped as copies, so
that held-out scores are of text the model cannot have seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assets.recipe import Select
from assets.refinecode.mapping import (
    DOCUMENT_COLUMNS,
    FACT_COLUMNS,
    drop_documents,
    read_documents,
    sorted_by_id,
    write_parquet,
)

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "selected_code"
VERSION = "1"


class SelectError(ValueError):
    """A choice that does not fit the crawl."""


def run(
    out: Path,
    *,
    documents: Path,
    params: Select,
    heldout_repositories: Sequence[str],
    spark: SparkSession,
) -> None:
    """Fill ``out/documents``, ``out/heldout`` (both DOCUMENT_SCHEMA) and ``out/decisions``.

    A held-out repository is named in full (``pypi/boltons@26.2.0``), without its version, or by
    its bare name (``boltons``). Raises ``SelectError`` if a name matches no repository of the
    crawl: a misspelt one would silently be trained on.
    """
    from pyspark.sql import functions as F

    frame = read_documents(spark, documents).fillna({"doc_type": "unknown"})
    facts = frame.select(*FACT_COLUMNS)
    repositories = [row[0] for row in facts.select("repository").distinct().collect()]
    heldout = match_repositories(heldout_repositories, repositories)

    is_heldout = F.col("repository").isin(heldout) if heldout else F.lit(False)
    sound = F.col("size_bytes") <= params.max_bytes
    sound &= ~F.col("doc_type").isin("unknown", "excluded")
    copies = facts.where(is_heldout & sound).select("content_sha256").distinct()
    judged = facts.join(copies.withColumn("_copy", F.lit(True)), "content_sha256", "left")

    no_reason = F.lit(None).cast("string")
    few_stars = no_reason
    if params.min_stars is not None:
        # Unknown stars cannot meet a star filter: a percentile is no number of stars.
        few_stars = F.when(F.coalesce("stars", F.lit(-1)) < params.min_stars, "few_stars")
    reason = F.coalesce(
        F.when(F.col("size_bytes") > params.max_bytes, "too_large"),
        F.when(F.col("doc_type").isin("unknown", "excluded"), "doc_type"),
        F.when(is_heldout, "held_out"),
        few_stars,
        F.when(F.col("_copy"), "heldout_copy"),
    )
    detail = (
        F.when(F.col("reason") == "too_large",
               F.concat(F.lit("size_bytes="), F.col("size_bytes").cast("string"),
                        F.lit(f">{params.max_bytes}")))
        .when(F.col("reason") == "doc_type", F.concat(F.lit("doc_type="), F.col("doc_type")))
        .when(F.col("reason") == "held_out", F.concat(F.lit("repository="), F.col("repository")))
        .when(F.col("reason") == "few_stars",
              F.concat(F.lit("stars="), F.coalesce(F.col("stars").cast("string"),
                                                   F.lit("unknown")),
                       F.lit(f"<{params.min_stars}")))
        .otherwise(F.concat(F.lit("content_sha256="), F.col("content_sha256")))
    )  # fmt: skip
    drops = judged.withColumn("reason", reason).where(F.col("reason").isNotNull())
    drops = drops.select("doc_id", "reason", detail.alias("detail"))
    drop_documents(spark, frame, drops, out, STAGE)
    aside = frame.where(is_heldout & sound).select(*DOCUMENT_COLUMNS)
    write_parquet(sorted_by_id(spark, aside), out / "heldout")


def match_repositories(wanted: Iterable[str], repositories: Iterable[str]) -> list[str]:
    """The repositories that ``wanted`` names, sorted.

    >>> match_repositories(["boltons"], ["pypi/boltons@26.2.0", "pypi/attrs@25.1.0"])
    ['pypi/boltons@26.2.0']
    """
    known = sorted(set(repositories))
    found: set[str] = set()
    for name in wanted:
        matches = [repository for repository in known if name in _names(repository)]
        if not matches:
            raise SelectError(
                f"crawl.heldout_repositories: no repository of the crawl is named {name!r}; "
                f"it has {', '.join(known[:40]) or 'none'}{', ...' if len(known) > 40 else ''}. "
                "Remove or correct the name"
            )
        found.update(matches)
    return sorted(found)


def _names(repository: str) -> set[str]:
    """All spellings of a repository: with and without its version, from any part of its path on.

    >>> sorted(_names("folder/src/tool"))
    ['folder/src/tool', 'src/tool', 'tool']
    """
    head, at, _ = repository.rpartition("@")
    plain = head if at and not head.endswith("/") and head else repository
    return {
        "/".join(name.split("/")[start:])
        for name in (repository, plain)
        for start in range(name.count("/") + 1)
    }
