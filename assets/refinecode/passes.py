"""What the passes of a deduplication found, level by level, and its documents and decisions.

A pass sees what earlier ones left. Findings are small (one row a dropped unit) and are settled
after each pass, so that no later pass computes an earlier one again.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from assets.recipe import Dedup
from assets.refinecode.chunk_dedup import cut_documents, cuts
from assets.refinecode.mapping import FACT_COLUMNS, drop_documents
from assets.refinecode.units import Level, dropped_documents

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)
#: A table with fewer rows is sent to every worker; a larger one is shuffled.
_SMALL_ROWS = 2_000_000
#: What cannot have more rows is held by the driver; the rest is written down.
_DRIVER_ROWS = 500_000


class Findings:
    """Documents of ``frame`` that passes want dropped or cut. ``work`` is an empty folder that all
    workers can write to."""

    def __init__(self, spark: SparkSession, frame: DataFrame, params: Dedup, work: Path) -> None:
        self._spark, self._frame, self._params, self._work = spark, frame, params, work
        self._documents = frame.count()
        self._drops: DataFrame | None = None
        self._cuts: DataFrame | None = None

    def left(self) -> DataFrame:
        """The documents that no pass has dropped so far, unchanged."""
        if self._drops is None:
            return self._frame
        return self._frame.join(self._drops.select("doc_id"), "doc_id", "left_anti")

    def add(self, level: Level, duplicates: DataFrame, reason: str) -> None:
        """The rows unit, survivor, jaccard of a pass; level chunk must come last."""
        if level == "chunk":
            self._cuts = self._kept(cuts(duplicates), "cuts")
            return
        facts = self._frame.select(*FACT_COLUMNS)
        found = dropped_documents(facts, duplicates, self._params, level, reason)
        if self._drops is not None:
            found = found.unionByName(self._drops)
        self._drops = self._kept(found, f"drops-{level}")

    def write(self, out: Path, stage: str) -> None:
        """Fill ``out/documents`` and ``out/decisions``, one decision a document."""
        if self._cuts is None:
            drop_documents(self._spark, self._frame, self._drops, out, stage)
        else:
            words = self._params.chunk_tokens
            cut_documents(self._spark, self._frame, self._drops, self._cuts, words, out, stage)

    def _kept(self, rows: DataFrame, name: str) -> DataFrame:
        return settled(self._spark, rows, self._work / name, self._documents)[0]


def settled(
    spark: SparkSession, rows: DataFrame, folder: Path, at_most: int
) -> tuple[DataFrame, int]:
    """``rows``, of which there cannot be more than ``at_most``, computed once; and how many. A
    small table is marked to be sent to every worker."""
    from pyspark.sql import functions as F

    if at_most <= _DRIVER_ROWS:  # one job, where files need a second one to be counted
        table = rows.toArrow()
        return F.broadcast(spark.createDataFrame(table, rows.schema)), table.num_rows
    rows.write.parquet(str(folder))
    frame = spark.read.schema(rows.schema).parquet(str(folder))
    count = frame.count()
    return (F.broadcast(frame) if count < _SMALL_ROWS else frame), count
