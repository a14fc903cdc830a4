"""Band hashes to components: however they are cut, at whatever size, in few bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.recipe import Dedup
from assets.refinecode import clusters, fuzzy_dedup
from assets.refinecode.band_index import band_table
from assets.refinecode.minhash import components
from assets.refinecode.units import unit_texts
from tests.assets.refinecode.conftest import document, words


def _table(seed: int, units: int, width: int, values: int) -> tuple[Any, Any]:
    draw = np.random.default_rng(seed)
    keys = draw.integers(0, 1 << 64, values, dtype=np.uint64)[
        draw.integers(0, values, (units, width))
    ]
    nodes = draw.choice(1 << 40, units, replace=False).astype(np.int64) - (1 << 39)
    return nodes, keys


def _batches(nodes: Any, keys: Any, rows: int) -> Any:
    for at in range(0, len(nodes), rows):
        blobs = [row.tobytes() for row in keys[at : at + rows]]
        yield pa.record_batch({"node": pa.array(nodes[at : at + rows], pa.int64()),
                               "keys": pa.array(blobs, pa.binary())})  # fmt: skip


def _expected(nodes: Any, keys: Any) -> dict[int, int]:
    """Components by joining all members of every bucket."""
    left, right = [], []
    for key in np.unique(keys):
        members = nodes[np.any(keys == key, axis=1)]
        left += [members[0]] * (len(members) - 1)
        right += members[1:].tolist()
    found = components(np.array(left, np.int64), np.array(right, np.int64))
    return dict(zip(*(side.tolist() for side in found), strict=True))


@pytest.mark.parametrize("held", [1 << 20, 32])
@pytest.mark.parametrize("tasks", [1, 3])
def test_components_do_not_depend_on_how_band_hashes_are_cut(
    monkeypatch: pytest.MonkeyPatch, held: int, tasks: int
) -> None:
    monkeypatch.setattr(clusters, "_PACKED_PAIRS", held)
    monkeypatch.setattr(clusters, "_FOREST_EDGES", held)
    nodes, keys = _table(0, 300, 4, 1500)
    parts: dict[int, list[pa.RecordBatch]] = {}
    for task in range(tasks):
        batches = _batches(nodes[task::tasks], keys[task::tasks], 17)
        for block in clusters.pack(5, 4)(batches):
            parts.setdefault(block.column("part")[0].as_py(), []).append(block)
    assert set(parts) <= set(range(5)) and len(parts) > 1
    forests = [next(clusters.bucket_forests(iter(blocks))) for blocks in parts.values()]
    low = np.concatenate([forest.column("low").to_numpy() for forest in forests])
    high = np.concatenate([forest.column("high").to_numpy() for forest in forests])
    found = dict(zip(*(side.tolist() for side in components(low, high)), strict=True))
    assert found == _expected(nodes, keys)


def test_a_huge_bucket_leaves_its_task_as_a_few_rows() -> None:
    nodes = np.arange(100_000, dtype=np.int64)
    keys = np.stack(
        [np.full(len(nodes), 7, np.uint64), nodes.astype(np.uint64) << np.uint64(40)], 1
    )
    blocks = list(clusters.pack(4, 2)(_batches(nodes, keys, 5000)))
    size = sum(len(b.column(c)[0].as_py()) for b in blocks for c in ("left", "right"))
    assert size <= 32 * len(nodes) + 100
    forest = next(clusters.bucket_forests(iter(blocks)))
    assert forest.num_rows == len(nodes) - 1


def test_keys_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match="expected 16 bytes a row"):
        clusters.unpack_keys(pa.array([b"x" * 16, b"x" * 8], pa.binary()), 2)


@pytest.mark.spark
def test_components_in_spark_equal_the_union_find(spark: Any, tmp_path: Path) -> None:
    """A sparse and a dense random graph, and a long chain in no order."""
    draw = np.random.default_rng(0)
    path = 300 + draw.permutation(12)
    graphs = [
        draw.integers(0, 200, (2, 100)),
        draw.integers(200, 300, (2, 400)),
        np.stack([path[:-1], path[1:]]),
    ]
    low, high = np.concatenate(graphs, axis=1).astype(np.int64) - 40
    differ = low != high
    frame = spark.createDataFrame(pa.table({"low": low[differ], "high": high[differ]}))
    found = clusters.spark_components(spark, frame, tmp_path).toArrow()
    rows = sorted(zip(found["node"].to_pylist(), found["component"].to_pylist(), strict=True))
    expected = components(low[differ], high[differ])
    assert rows == list(zip(*(side.tolist() for side in expected), strict=True))


def _shuffled_bytes(spark: Any) -> int:
    """What all stages so far have written for others to read, by Spark's own account."""
    jvm = spark.sparkContext._jvm
    store = spark.sparkContext._jsc.sc().statusStore()
    none = jvm.java.util.ArrayList()
    quantiles = spark.sparkContext._gateway.new_array(jvm.double, 0)
    stages = store.stageList(none, False, False, quantiles, none)
    return sum(stages.apply(i).shuffleWriteBytes() for i in range(stages.size()))


@pytest.mark.spark
def test_a_file_shuffles_at_most_300_bytes_at_16_bands(
    spark: Any, write: Any, tmp_path: Path
) -> None:
    rows = [document(" ".join(words(i % 900, 60)), path=f"{i}.py") for i in range(1000)]
    params = Dedup(permutations=128, bands=16, rows=8)
    frame = fuzzy_dedup.read_documents(spark, write(rows, files=3))
    band_table(unit_texts(frame, params, "file"), params).write.parquet(str(tmp_path / "bands"))
    bands = spark.read.parquet(str(tmp_path / "bands"))
    before = _shuffled_bytes(spark)
    clusters.bucket_edges(bands, 16, 2).write.parquet(str(tmp_path / "edges"))
    spent = (_shuffled_bytes(spark) - before) / len(rows)
    assert 100 < spent <= 300  # 256 but for what compresses
    found, count = clusters.find_components(spark, bands, 16, tmp_path / "work")
    assert count == found.count() == 200 and found.select("component").distinct().count() == 100


@pytest.mark.slow
@pytest.mark.spark
def test_a_graph_too_large_for_the_driver_gives_the_same(
    spark: Any, write: Any, tmp_path: Path
) -> None:
    rows = [document(" ".join(words(i % 40, 60)), path=f"{i}.py") for i in range(100)]
    params = Dedup(permutations=64, bands=16, rows=4)
    frame = fuzzy_dedup.read_documents(spark, write(rows, files=2))
    seen = []
    for name, limit in (("driver", clusters.DRIVER_EDGES), ("spark", 1)):
        (tmp_path / name).mkdir()
        spark.conf.set(clusters.DRIVER_EDGES_SETTING, str(limit))
        try:
            found = fuzzy_dedup.similar_units(spark, frame, params, "file", tmp_path / name)
        finally:
            spark.conf.unset(clusters.DRIVER_EDGES_SETTING)
        seen.append(sorted(map(tuple, found.collect())))
    assert (tmp_path / "spark" / "stars-0").is_dir()
    assert len(seen[0]) == 60 and seen[0] == seen[1]
