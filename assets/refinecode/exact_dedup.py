"""Exact deduplication: of units with the same SHA-256, one stays (paper 2.1.1).

Only hashes and the facts of the keep rule are shuffled, never texts. The survivor has the most
stars, then the latest commit, then the smallest id, whatever the order or partitioning of input.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from assets.recipe import Dedup
from assets.refinecode.mapping import FACT_COLUMNS, drop_documents, keep_order, read_documents
from assets.refinecode.repository_dedup import dropped_documents, units

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "exact_deduped_code"
VERSION = "1"
REASON = "exact_duplicate"


def run(out: Path, *, documents: Path, params: Dedup, spark: SparkSession) -> None:
    """Fill ``out/documents`` and ``out/decisions``; detail names the unit that stayed.

    Level ``none`` or ``exact: false`` keeps everything.
    """
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    frame = read_documents(spark, documents)
    if params.level == "none" or not params.exact:
        drop_documents(spark, frame, None, out, STAGE)
        return
    facts = frame.select(*FACT_COLUMNS)
    group = Window.partitionBy("digest").orderBy(*keep_order())
    ranked = units(facts, params.level).select(
        "unit",
        F.row_number().over(group).alias("rank"),
        F.first("unit").over(group).alias("survivor"),
        F.lit(1.0).alias("jaccard"),
    )
    drops = dropped_documents(facts, ranked.where("rank > 1"), params.level, REASON)
    drop_documents(spark, frame, drops, out, STAGE)
