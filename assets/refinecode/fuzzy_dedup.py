"""Near-duplicates: MinHash over n-grams, LSH bands, connected components (paper 2.1.1).

Texts become band hashes where they lie (``band_index``); hashes and ids meet in buckets and become
components (``clusters``); the texts of a component meet once, to be verified if the recipe says so
and to measure how alike they are to the one that stays (``compare``). It stays by the keep rule of
exact dedup, so the result depends on neither partitions nor order. At several levels the passes
follow each other: repositories, then files, then chunks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assets.recipe import Dedup
from assets.refinecode.band_index import (
    band_table,
    earlier_node,
    read_index,
    sketch_params,
    write_index,
)
from assets.refinecode.clusters import find_components
from assets.refinecode.mapping import FACT_COLUMNS, keep_order, read_documents, write_parquet
from assets.refinecode.passes import Findings, settled
from assets.refinecode.units import Level, unit_facts, unit_texts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "fuzzy_deduped_code"
VERSION = "3"
REASON = "near_duplicate"


class DedupError(RuntimeError):
    """The result would not be trustworthy."""


def run(
    out: Path,
    *,
    documents: Path,
    params: Dedup,
    spark: SparkSession,
    against: Sequence[Path] = (),
) -> None:
    """Fill ``out/documents``, ``out/decisions`` and, at level file, ``out/bands``.

    Detail names the survivor and the true Jaccard similarity to it. ``against`` are folders that
    earlier runs filled: their files stay, and new files like them go. Level ``none`` or
    ``fuzzy: false`` keeps everything. Raises ``DedupError`` if two units share a 64-bit id
    (expected once in many thousand corpora of 10 million files) and ``BandIndexError`` if the band
    hashes of an earlier run were made with other choices.
    """
    with tempfile.TemporaryDirectory(prefix=".passes-", dir=out) as work:
        findings = Findings(spark, read_documents(spark, documents), params, Path(work))
        for level in params.levels if params.fuzzy else ():
            folder = Path(work) / level
            folder.mkdir()
            left = findings.left()
            earlier = against if level == "file" else ()
            duplicates = similar_units(spark, left, params, level, folder, earlier)
            findings.add(level, duplicates, REASON)
        findings.write(out, STAGE)
        if params.fuzzy and "file" in params.levels:
            bands = spark.read.schema(_BANDS).parquet(str(Path(work) / "file" / "bands"))
            write_index(spark, bands, params, out)


_BANDS = "unit string, node bigint, keys binary"


def similar_units(
    spark: SparkSession,
    frame: DataFrame,
    params: Dedup,
    level: Level,
    work: Path,
    against: Sequence[Path] = (),
) -> DataFrame:
    """unit, survivor, jaccard of every unit of ``frame`` that goes. ``work`` is an empty folder
    that all workers can write to; it keeps the band hashes of all units."""
    from pyspark.sql import functions as F

    texts = unit_texts(frame, params, level)
    ordered = texts
    if level == "repository":
        ordered = texts.repartition("node").sortWithinPartitions("node", "path", "doc_id")
    write_parquet(band_table(ordered, params), work / "bands")
    bands = spark.read.schema(_BANDS).parquet(str(work / "bands"))
    facts = unit_facts(frame.select(*FACT_COLUMNS), params, level,
                       bands.select("unit") if level == "chunk" else None)  # fmt: skip
    facts = facts.select("unit", *_KEEP).withColumn("node", F.xxhash64("unit"))
    bands = bands.withColumn("earlier", F.lit(False))
    facts = facts.withColumn("earlier", F.lit(False))
    for folder in against:
        old = read_index(spark, folder, params).withColumn("earlier", F.lit(True))
        bands = bands.unionByName(old)
        there = read_documents(spark, folder / "documents")
        there = there.withColumns({"unit": F.col("doc_id"), "node": earlier_node()})
        texts = texts.unionByName(there.select(*texts.columns))
        known = there.select("unit", *_KEEP, "node").withColumn("earlier", F.lit(True))
        facts = facts.unionByName(known)

    clusters, expected = find_components(spark, bands, params.bands, work)
    members = rank_members(facts, clusters)
    ranked, found = settled(spark, members, work / "ranked", expected)
    if found != expected:
        raise DedupError(
            f"level {level}: {expected} ids of near-duplicates belong to {found} units; "
            "two units share a 64-bit id. Nothing was dropped: remove or rename one of them"
        )
    return settled(spark, compared(texts, ranked, params), work / "duplicates", expected)[0]


_KEEP = ("stars", "popularity_percentile", "commit_time", "doc_id")


def rank_members(facts: DataFrame, clusters: DataFrame) -> DataFrame:
    """node, component, earlier and rank (1 is best) of every unit in a component: earlier files
    come first, then the keep rule."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    best_first = Window.partitionBy("component").orderBy(
        F.col("earlier").desc(), *keep_order(), "unit"
    )
    return facts.join(clusters, "node").select(
        "node", "component", "earlier", F.row_number().over(best_first).alias("rank")
    )


def compared(texts: DataFrame, ranked: DataFrame, params: Dedup) -> DataFrame:
    """unit, survivor and jaccard of the members that go. Only texts of clusters move."""
    from assets.refinecode.compare import COLUMNS, comparer

    gathered = texts.join(ranked, "node").repartition("component")
    ordered = gathered.sortWithinPartitions("component", "rank", "path", "doc_id")
    columns = ordered.select("component", "node", "unit", "earlier", "content")
    return columns.mapInArrow(comparer(sketch_params(params), params.verify, params.floor), COLUMNS)
