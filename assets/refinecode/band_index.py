"""Band hashes as a table: made once a text, kept with the files that stay (paper 2.1.1).

``bands/`` has a row a kept file: doc_id and keys, the hashes of all bands in 8 bytes each. A later
crawl is deduplicated against it without sketching the earlier texts again. ``bands.json`` says
which choices the hashes depend on; tables of different choices never meet.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from assets.recipe import Dedup
from assets.refinecode.mapping import sorted_by_id, write_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from assets.refinecode.minhash import SketchParams

Batches = Iterator[pa.RecordBatch]
TABLE = "bands"
SETTINGS = "bands.json"


class BandIndexError(RuntimeError):
    """Band hashes of an earlier corpus that cannot be compared with these."""


def sketch_params(params: Dedup) -> SketchParams:
    """What the kernels need of the recipe's section."""
    from assets.refinecode.minhash import SketchParams

    return SketchParams(
        permutations=params.permutations, bands=params.bands, rows=params.rows,
        ngram=params.ngram, unit=params.unit, sketch=params.sketch,
    )  # fmt: skip


def band_table(texts: DataFrame, params: Dedup) -> DataFrame:
    """unit, node, keys of units whose rows (unit, node, language, content) stand in a row.

    With ``across: language`` the language is mixed into every hash.
    """
    from pyspark.sql import functions as F

    salt = F.xxhash64("language") if params.across == "language" else F.lit(0).cast("bigint")
    rows = texts.select("unit", "node", salt.alias("salt"), "content")
    return rows.mapInArrow(sketcher(sketch_params(params)), "unit string, node bigint, keys binary")


def sketcher(params: SketchParams) -> Callable[[Batches], Batches]:
    """A function from (unit, node, salt, content) to (unit, node, keys)."""

    def sketch(batches: Batches) -> Batches:
        from assets.refinecode.minhash.sketch import Sketches
        from assets.refinecode.unit_stream import stream_units

        sketches = Sketches(params)
        for heads, whole in stream_units(batches, params):
            keys = sketches.band_hashes(whole.hashes, whole.stops, whole.content)
            keys ^= heads.column("salt").to_numpy().view(np.uint64)[:, None]
            size = 8 * params.bands
            packed = pa.FixedSizeBinaryArray.from_buffers(
                pa.binary(size), len(keys), [None, pa.py_buffer(np.ascontiguousarray(keys))]
            )
            yield pa.record_batch({
                "unit": heads.column("unit").combine_chunks().cast(pa.string()),
                "node": heads.column("node").combine_chunks(),
                "keys": packed.cast(pa.binary()),
            })  # fmt: skip

    return sketch


def write_index(
    spark: SparkSession, bands: DataFrame, drops: DataFrame, params: Dedup, out: Path
) -> None:
    """Keep the band hashes (unit, keys) of the files that are not in ``drops`` (doc_id)."""
    kept = bands.select(bands["unit"].alias("doc_id"), "keys")
    kept = kept.join(drops.select("doc_id"), "doc_id", "left_anti")
    write_parquet(sorted_by_id(spark, kept), out / TABLE)
    (out / SETTINGS).write_text(json.dumps(_settings(params), sort_keys=True, indent=1) + "\n")


def read_index(spark: SparkSession, folder: Path, params: Dedup) -> DataFrame:
    """unit, node, keys of the files that an earlier run kept; nodes are not those of new files.

    Raises ``BandIndexError`` if the folder has no band hashes, or some of other choices.
    """
    from pyspark.sql import functions as F

    path = folder / SETTINGS
    if not path.is_file():
        raise BandIndexError(
            f"{path}: not found; only fuzzy deduplication at level file keeps band hashes: run the "
            "earlier recipe again at such a level"
        )
    there, here = json.loads(path.read_text()), _settings(params)
    differ = [f"{k}: {there.get(k)!r} there, {here[k]!r} here" for k in here
              if there.get(k) != here[k]]  # fmt: skip
    if differ:
        raise BandIndexError(
            f"{path}: band hashes of other choices ({'; '.join(differ)}); give both recipes the "
            "same section dedup"
        )
    table = spark.read.schema("doc_id string, keys binary").parquet(str(folder / TABLE))
    return table.select(F.col("doc_id").alias("unit"), earlier_node().alias("node"), "keys")


def earlier_node() -> Any:
    """The 64-bit id of an earlier file: the same file of a new crawl has another."""
    from pyspark.sql import functions as F

    return F.xxhash64(F.lit("earlier"), "doc_id")


def _settings(params: Dedup) -> dict[str, str | int]:
    names = {"permutations", "bands", "rows", "ngram", "unit", "sketch", "across"}
    return {"kernel": 1, **params.model_dump(mode="json", include=names)}
