"""Exact deduplication: of units with the same SHA-256, one stays (paper 2.1.1).

Only hashes and the facts of the keep rule are shuffled, never texts. The survivor has the most
stars, then the latest commit, then the smallest id, whatever the order or partitioning of input.
A composition of levels only runs its first one here if fuzzy deduplication follows: near-duplicate
repositories must be found before their equal files are gone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assets.recipe import Dedup
from assets.refinecode.chunk_dedup import chunk_frame
from assets.refinecode.mapping import FACT_COLUMNS, keep_order, read_documents
from assets.refinecode.passes import Findings
from assets.refinecode.units import Level, unit_facts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "exact_deduped_code"
VERSION = "2"
REASON = "exact_duplicate"


def run(out: Path, *, documents: Path, params: Dedup, spark: SparkSession) -> None:
    """Fill ``out/documents`` and ``out/decisions``; detail names the unit that stayed.

    Level ``none`` or ``exact: false`` keeps everything.
    """
    with tempfile.TemporaryDirectory(prefix=".passes-", dir=out) as work:
        findings = Findings(spark, read_documents(spark, documents), params, Path(work))
        for level in levels(params):
            findings.add(level, equal_units(findings.left(), params, level), REASON)
        findings.write(out, STAGE)


def levels(params: Dedup) -> Sequence[Level]:
    """The levels that are compared here, in order."""
    if not params.exact:
        return ()
    return params.levels[:1] if params.fuzzy else params.levels


def equal_units(frame: DataFrame, params: Dedup, level: Level) -> DataFrame:
    """unit, survivor and jaccard (1.0) of every unit that has the content of a better one."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    facts = frame.select(*FACT_COLUMNS)
    if level == "chunk":
        chunks = chunk_frame(frame, params.chunk_tokens).select("unit", "digest")
        units = unit_facts(facts, params, level, chunks)
    else:
        units = unit_facts(facts, params, level, None)
    group = ["digest", "language"] if params.across == "language" else ["digest"]
    best_first = Window.partitionBy(*group).orderBy(*keep_order(), "unit")
    ranked = units.select(
        "unit",
        F.row_number().over(best_first).alias("rank"),
        F.first("unit").over(best_first).alias("survivor"),
        F.lit(1.0).alias("jaccard"),
    )
    return ranked.where("rank > 1").select("unit", "survivor", "jaccard")
