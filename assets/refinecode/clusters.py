"""From band hashes to clusters: buckets, stars, local forests, connected components (paper 2.1.1).

Of a unit only its band hashes and its id travel, packed in blocks of 16 bytes a pair. Of units that
share a hash already where they are sketched, one travels on: a bucket that holds a third of all
files is a few rows a partition. A partition joins the members of a bucket to the smallest as a
star, and sends a spanning forest; one union-find on the driver joins the forests. Graphs too large
for it stay in Spark (large-star and small-star, Kiveris et al. 2014, "Connected Components in
MapReduce and Beyond").
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

log = logging.getLogger(__name__)

Batches = Iterator[pa.RecordBatch]
I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

#: Spark setting: with more edges than this in all forests, components are found in Spark.
DRIVER_EDGES_SETTING = "spark.openCookbook.dedup.driverEdges"
#: Its default: 100 M edges are 1.6 GB, and twice that while they are joined.
DRIVER_EDGES = 100_000_000
#: With fewer members all workers are told the component of each.
_SMALL_ROWS = 2_000_000
#: Pairs (16 bytes) that a task holds before it packs them, and a partition of buckets about holds.
_PACKED_PAIRS = 1 << 20
_PARTITION_PAIRS = 1 << 22
#: Edges held before they are reduced to a spanning forest.
_FOREST_EDGES = 1 << 20
_PACKED = "part int, edges boolean, left binary, right binary"


def find_components(
    spark: SparkSession, bands: DataFrame, width: int, work: Path
) -> tuple[DataFrame, int]:
    """node, component of every unit that shares a band hash with another; and how many they are.

    ``bands`` has node (bigint) and keys (``width`` hashes of 8 bytes, little-endian); ``work`` is
    a folder that all workers can write to. A component is called by its smallest node.
    """
    from pyspark.sql import functions as F

    from assets.refinecode.minhash import components

    least = int(spark.conf.get("spark.sql.shuffle.partitions") or 4)
    units = bands.count()
    parts = max(least, -(-units * width // _PARTITION_PAIRS))
    edges = bucket_edges(bands, width, parts)
    limit = int(spark.conf.get(DRIVER_EDGES_SETTING, str(DRIVER_EDGES)) or DRIVER_EDGES)
    if units * parts > limit:  # a forest has fewer edges than there are units
        edges.write.parquet(str(work / "edges"))
        edges = spark.read.schema(edges.schema).parquet(str(work / "edges"))
        count = edges.count()
        if count > limit:
            log.info("%d edges, the driver takes %d: components in Spark", count, limit)
            found = spark_components(spark, edges, work)
            return found, found.count()
    table = edges.toArrow()
    nodes, labels = components(table.column("low").to_numpy(), table.column("high").to_numpy())
    named = {"node": pa.array(nodes, pa.int64()), "component": pa.array(labels, pa.int64())}
    frame = spark.createDataFrame(pa.table(named))
    return (F.broadcast(frame) if len(nodes) < _SMALL_ROWS else frame), len(nodes)


def bucket_edges(bands: DataFrame, width: int, parts: int) -> DataFrame:
    """low, high: edges that connect what shares a band hash; a forest for each of ``parts``."""
    packed = bands.select("node", "keys").mapInArrow(pack(parts, width), _PACKED)
    shuffled = packed.repartitionById(parts, "part")
    return shuffled.mapInArrow(bucket_forests, "low bigint, high bigint")


def pack(parts: int, width: int) -> Callable[[Batches], Batches]:
    """A function from (node, keys) to blocks (part, edges, left, right).

    A block of a part has hashes and their nodes, each hash once; or, with ``edges``, pairs of nodes
    that shared a hash here. Parts are ranges of the hash.
    """

    def pack_batches(batches: Batches) -> Batches:
        forest = Forest()
        held: list[tuple[U64, I64]] = []
        count, sent = 0, 0

        def block(part: int, edges: bool, left: U64 | I64, right: I64) -> pa.RecordBatch:
            return pa.record_batch({
                "part": pa.array([part], pa.int32()),
                "edges": pa.array([edges]),
                "left": pa.array([left.tobytes()], pa.binary()),
                "right": pa.array([right.tobytes()], pa.binary()),
            })  # fmt: skip

        def blocks() -> Batches:
            nonlocal count
            keys, nodes = sorted_pairs([k for k, _ in held], [n for _, n in held])
            held.clear()
            count = 0
            first = forest.add_stars(keys, nodes)
            keys, nodes = keys[first], nodes[first]
            part = (keys >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)
            bounds = np.searchsorted(part, np.arange(parts + 1, dtype=np.uint64))
            for i in np.flatnonzero(bounds[1:] > bounds[:-1]).tolist():
                rows = slice(bounds[i], bounds[i + 1])
                yield block(i, False, keys[rows], nodes[rows])

        for batch in batches:
            node = batch.column("node").to_numpy()
            keys = unpack_keys(batch.column("keys"), width)
            held.append((keys.reshape(-1), np.repeat(node, width)))
            count += keys.size
            if count >= _PACKED_PAIRS:
                yield from blocks()
        if held:
            yield from blocks()
        low, high = forest.edges()
        for start in range(0, len(low), _PACKED_PAIRS):
            rows = slice(start, start + _PACKED_PAIRS)
            sent = int(low[start]) % parts  # any part will do
            yield block(sent, True, low[rows], high[rows])

    return pack_batches


def bucket_forests(batches: Batches) -> Batches:
    """All blocks of some parts in, the spanning forest (low, high) of their buckets out."""
    forest = Forest()
    keys: list[U64] = []
    nodes: list[I64] = []
    for batch in batches:
        columns = (batch.column(name).to_pylist() for name in ("edges", "left", "right"))
        for edges, left, right in zip(*columns, strict=True):
            second = np.frombuffer(right, np.int64)
            if edges:
                forest.add(np.frombuffer(left, np.int64), second)
            else:
                keys.append(np.frombuffer(left, np.uint64))
                nodes.append(second)
    if keys:
        forest.add_stars(*sorted_pairs(keys, nodes))
    low, high = forest.edges()
    yield pa.record_batch({"low": pa.array(low), "high": pa.array(high)})


class Forest:
    """Edges, reduced to a spanning forest whenever they are many."""

    def __init__(self) -> None:
        self._low: list[I64] = []
        self._high: list[I64] = []
        self._count = self._reduced = 0

    def add(self, low: I64, high: I64) -> None:
        self._low.append(low)
        self._high.append(high)
        self._count += len(low)
        if self._count > _FOREST_EDGES + 2 * self._reduced:
            self.edges()

    def add_stars(self, keys: U64, nodes: I64) -> npt.NDArray[np.bool_]:
        """Join the members of each bucket to its first; which rows are first in their bucket.

        Rows are sorted by key and node.
        """
        first = np.ones(len(keys), np.bool_)
        first[1:] = keys[1:] != keys[:-1]
        hubs = nodes[np.maximum.accumulate(np.where(first, np.arange(len(keys)), 0))]
        joined = ~first & (hubs != nodes)
        self.add(hubs[joined], nodes[joined])
        return first

    def edges(self) -> tuple[I64, I64]:
        """(low, high) of the forest so far."""
        from assets.refinecode.minhash import spanning_forest

        none = np.zeros(0, np.int64)
        low, high = np.concatenate([none, *self._low]), np.concatenate([none, *self._high])
        low, high = spanning_forest(low, high)
        self._low, self._high = [low], [high]
        self._count = self._reduced = len(low)
        return low, high


def sorted_pairs(keys: list[U64], nodes: list[I64]) -> tuple[U64, I64]:
    """(keys, nodes) in the order of both."""
    key, node = np.concatenate(keys), np.concatenate(nodes)
    order = np.lexsort((node, key))
    return key[order], node[order]


def unpack_keys(column: pa.Array, width: int) -> U64:
    """uint64 [rows, width] of a binary column of ``8 * width`` bytes a row, without a copy."""
    wide = pa.types.is_large_binary(column.type)
    kind = np.int64 if wide else np.int32
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, kind, len(column) + 1 + column.offset)[column.offset :]
    if np.any(np.diff(ends) != 8 * width) or column.null_count:
        raise ValueError(f"keys: expected {8 * width} bytes a row ({width} bands)")
    hashes = np.frombuffer(data or b"", np.uint8)[int(ends[0]) : int(ends[-1])]
    return np.ascontiguousarray(hashes).view(np.uint64).reshape(len(column), width)


def spark_components(spark: SparkSession, edges: DataFrame, work: Path) -> DataFrame:
    """node, component by alternating large-star and small-star until no edge changes.

    A round is written down in ``work``: about log(nodes) rounds, none depending on the one before.
    """
    from pyspark.sql import functions as F

    schema = "low bigint, high bigint"
    known: tuple[int, int] | None = None
    number = 0
    while True:
        # Every node sends its larger neighbours to the least of all, then all smaller ones.
        turned = edges.select(F.col("high").alias("low"), F.col("low").alias("high"))
        both = edges.unionByName(turned)
        least = both.groupBy("low").agg(F.least("low", F.min("high")).alias("root"))
        large = both.join(least, "low").where("high > low")
        stars = large.select(F.col("root").alias("low"), "high").where("low < high").distinct()
        least = stars.groupBy("high").agg(F.min("low").alias("root"))
        small = stars.join(least, "high")
        found = small.select(F.col("root").alias("low"), F.col("low").alias("high")).unionByName(
            small.select(F.col("root").alias("low"), "high")
        )
        folder = str(work / f"stars-{number}")
        found.where("low < high").distinct().write.parquet(folder)
        edges = spark.read.schema(schema).parquet(folder)
        now = edges.agg(F.count("*"), F.coalesce(F.bit_xor(F.xxhash64("low", "high")), F.lit(0)))
        [state] = now.collect()
        if (state[0], state[1]) == known:
            break
        known = (state[0], state[1])
        number += 1
    log.info("components in Spark after %d rounds", number + 1)
    roots = edges.select(F.col("low").alias("node")).distinct()
    return edges.select(F.col("high").alias("node"), F.col("low").alias("component")).unionByName(
        roots.withColumn("component", F.col("node"))
    )
