"""Near-duplicates: MinHash over word n-grams, LSH bands, connected components (paper 2.1.1).

Texts become band keys where they lie; only an 8-byte key and an 8-byte id are shuffled. A bucket
is streamed as a star around its smallest id, each partition sends a spanning forest, and one
union-find on the driver joins them. Inside a component the keep rule of exact dedup decides, so
the survivors do not depend on partitions or input order. Dropped units carry their true Jaccard
similarity to the survivor, which a chain of near-duplicates can leave below the LSH threshold.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.recipe import Dedup
from assets.refinecode.mapping import FACT_COLUMNS, drop_documents, keep_order, read_documents
from assets.refinecode.repository_dedup import UNIT_COLUMN, Level, dropped_documents, units

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGE = "fuzzy_deduped_code"
VERSION = "1"
REASON = "near_duplicate"
#: Edges a partition holds before it reduces them to a spanning forest.
_FOREST_EDGES = 1 << 20

Batches = Iterator[pa.RecordBatch]
I64 = npt.NDArray[np.int64]


class DedupError(RuntimeError):
    """The result would not be trustworthy."""


def run(out: Path, *, documents: Path, params: Dedup, spark: SparkSession) -> None:
    """Fill ``out/documents`` and ``out/decisions``; detail names the survivor and the similarity.

    Level ``none`` or ``fuzzy: false`` keeps everything. Raises ``DedupError`` if two units share a
    64-bit id (expected once in many thousand corpora of 10 million files).
    """
    frame = read_documents(spark, documents)
    if params.level == "none" or not params.fuzzy:
        drop_documents(spark, frame, None, out, STAGE)
        return
    facts = frame.select(*FACT_COLUMNS)
    nodes, labels = find_clusters(band_keys(frame, params, params.level))
    if not len(nodes):
        drop_documents(spark, frame, None, out, STAGE)
        return
    clusters = spark.createDataFrame(pa.table({"node": nodes, "component": labels}))
    ranked = rank_members(facts, clusters, params.level).persist()
    try:
        if ranked.count() != len(nodes):
            raise DedupError(
                f"{documents}: {len(nodes)} ids of near-duplicates belong to {ranked.count()} "
                f"{params.level} units; two units share a 64-bit id. Nothing was dropped: remove "
                "or rename one of them"
            )
        alike = similarities(frame, ranked, params.ngram, params.level)
        drops = dropped_documents(facts, alike, params.level, REASON)
        drop_documents(spark, frame, drops, out, STAGE)
    finally:
        ranked.unpersist()


def candidate_probability(jaccard: float, bands: int, rows: int) -> float:
    """Chance that two units of this similarity share a band: ``1 - (1 - s^rows)^bands``.

    >>> round(candidate_probability(0.975, bands=16, rows=128), 2)
    0.47
    """
    return 1.0 - (1.0 - jaccard**rows) ** bands


def band_keys(frame: DataFrame, params: Dedup, level: Level) -> DataFrame:
    """One row a unit and band: node (64-bit id of the unit) and key (both bigint)."""
    from pyspark.sql import functions as F

    unit = UNIT_COLUMN[level]
    texts = frame.select(
        F.xxhash64(unit).alias("node"),
        F.col(unit).alias("unit"), "path", "doc_id", "content_sha256", "content",
    )  # fmt: skip
    if level == "repository":
        texts = texts.repartition("unit").sortWithinPartitions("unit", "path", "doc_id")
    sketch = sketcher(params.ngram, params.permutations, params.bands, params.rows)
    return texts.mapInArrow(sketch, "node bigint, key bigint")


def sketcher(ngram: int, permutations: int, bands: int, rows: int) -> Callable[[Batches], Batches]:
    """A function from (node, unit, content_sha256, content), rows of one unit in a row, to
    (node, key). A unit without any token has one key made of its content hashes, so that it only
    meets its like."""

    def sketch_batches(batches: Batches) -> Batches:
        from assets.refinecode.minhash import Shingler, Sketch, text_buffer

        shingler, sketch = Shingler(ngram), Sketch(permutations)
        digest = hashlib.sha256()
        current: tuple[str, int] | None = None
        nodes: list[int] = []
        keys: list[npt.NDArray[np.uint64]] = []

        def close() -> None:
            if current is None:
                return
            if shingler.tokens:
                sketch.add(shingler.finish())
                keys.append(sketch.band_keys(bands, rows))
            else:
                keys.append(np.frombuffer(digest.digest()[:8], np.uint64))
            nodes.extend([current[1]] * len(keys[-1]))
            sketch.reset()

        def flush() -> pa.RecordBatch:
            all_keys = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
            batch = pa.record_batch(
                {"node": pa.array(nodes, pa.int64()), "key": pa.array(all_keys.view(np.int64))}
            )
            nodes.clear()
            keys.clear()
            return batch

        for batch in batches:
            data, ends = text_buffer(batch.column("content"))
            names = batch.column("unit").to_pylist()
            ids = batch.column("node").to_pylist()
            hashes = batch.column("content_sha256").to_pylist()
            for i, name in enumerate(names):
                if current is None or current[0] != name:
                    close()
                    current = (name, ids[i])
                    digest = hashlib.sha256()
                digest.update(hashes[i].encode())
                sketch.add(shingler.add(data[ends[i] : ends[i + 1]]))
            yield flush()
        close()
        yield flush()

    return sketch_batches


def find_clusters(keys: DataFrame) -> tuple[I64, I64]:
    """(nodes, component) of all units that share a key with another one."""
    from assets.refinecode.minhash import components

    sorted_keys = keys.repartition("key").sortWithinPartitions("key", "node")
    edges = sorted_keys.mapInArrow(star_edges, "low bigint, high bigint").toArrow()
    return components(edges.column("low").to_numpy(), edges.column("high").to_numpy())


def star_edges(batches: Batches) -> Batches:
    """(node, key) sorted by key and node in, a spanning forest (low, high) of the buckets out.

    A bucket may span batches; it is never held as a whole.
    """
    from assets.refinecode.minhash import spanning_forest

    low, high = np.zeros(0, np.int64), np.zeros(0, np.int64)
    last_key: int | None = None
    hub = 0
    for batch in batches:
        key, node = batch.column("key").to_numpy(), batch.column("node").to_numpy()
        if not len(key):
            continue
        starts = np.empty(len(key), np.bool_)
        starts[0] = last_key is None or key[0] != last_key
        starts[1:] = key[1:] != key[:-1]
        first = np.maximum.accumulate(np.where(starts, np.arange(len(key)), -1))
        hubs = np.where(first >= 0, node[first], hub)
        edge = ~starts & (hubs != node)
        low, high = np.concatenate([low, hubs[edge]]), np.concatenate([high, node[edge]])
        if len(low) > _FOREST_EDGES:
            low, high = spanning_forest(low, high)
        last_key, hub = int(key[-1]), int(hubs[-1])
    low, high = spanning_forest(low, high)
    yield pa.record_batch({"low": pa.array(low), "high": pa.array(high)})


def rank_members(facts: DataFrame, clusters: DataFrame, level: Level) -> DataFrame:
    """unit, component, rank (1 stays) and survivor of every unit in a cluster."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    members = units(facts, level).withColumn("node", F.xxhash64("unit"))
    group = Window.partitionBy("component").orderBy(*keep_order())
    return members.join(F.broadcast(clusters), "node").select(
        "unit",
        "component",
        F.row_number().over(group).alias("rank"),
        F.first("unit").over(group).alias("survivor"),
    )


def similarities(frame: DataFrame, ranked: DataFrame, ngram: int, level: Level) -> DataFrame:
    """unit, survivor and true Jaccard similarity of every unit that a cluster drops.

    The texts of clusters meet once, survivor first, and stream past it.
    """
    from pyspark.sql import functions as F

    texts = frame.select(F.col(UNIT_COLUMN[level]).alias("unit"), "path", "doc_id", "content")
    gathered = texts.join(F.broadcast(ranked), "unit").repartition("component")
    ordered = gathered.sortWithinPartitions("component", "rank", "path", "doc_id")
    columns = ordered.select("component", "unit", "survivor", "content")
    return columns.mapInArrow(comparer(ngram), "unit string, survivor string, jaccard double")


def comparer(ngram: int) -> Callable[[Batches], Batches]:
    """A function from (component, unit, survivor, content), survivor first, to similarities."""

    def compare(batches: Batches) -> Batches:
        from assets.refinecode.minhash import Shingler, jaccard, text_buffer

        shingler = Shingler(ngram)
        pieces: list[npt.NDArray[np.uint64]] = []
        kept = np.zeros(0, np.uint64)
        current: tuple[str, str] | None = None
        rows: list[tuple[str, str, float]] = []

        def close() -> None:
            nonlocal kept
            if current is None:
                return
            shingles = np.unique(np.concatenate([*pieces, shingler.finish()]))
            pieces.clear()
            if current[0] == current[1]:
                kept = shingles
            else:
                rows.append((*current, jaccard(kept, shingles)))

        def flush() -> pa.RecordBatch:
            unit, survivor, value = zip(*rows, strict=True) if rows else ((), (), ())
            rows.clear()
            return pa.record_batch({
                "unit": pa.array(unit, pa.string()),
                "survivor": pa.array(survivor, pa.string()),
                "jaccard": pa.array(value, pa.float64()),
            })  # fmt: skip

        for batch in batches:
            data, ends = text_buffer(batch.column("content"))
            names = batch.column("unit").to_pylist()
            survivors = batch.column("survivor").to_pylist()
            for i, name in enumerate(names):
                if current is None or current[0] != name:
                    close()
                    current = (name, survivors[i])
                pieces.append(shingler.add(data[ends[i] : ends[i + 1]]).copy())
            yield flush()
        close()
        yield flush()

    return compare
