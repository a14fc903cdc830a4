"""Band hashes as a table: made once a text, kept with the files that stay (paper 2.1.1).

``bands/`` has a row a kept file: doc_id and keys, the hashes of all bands in 8 bytes each. A later
crawl is deduplicated against it without sketching the earlier texts again. ``bands.json`` says
which choices the hashes depend on; tables of different choices never meet.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.documents import DROPPED
from assets.recipe import Dedup
from assets.refinecode.mapping import sorted_by_id, write_parquet

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from assets.refinecode.minhash import SketchParams

Batches = Iterator[pa.RecordBatch]
U64 = npt.NDArray[np.uint64]
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

    apart = F.col("language") if params.across == "language" else F.lit("")
    rows = texts.select("unit", "node", apart.alias("apart"), "content")
    return rows.mapInArrow(sketcher(sketch_params(params)), "unit string, node bigint, keys binary")


@functools.cache
def salt(apart: str) -> int:
    """What is mixed into all hashes of units that only meet those of the same name; 0 for ``""``.

    >>> salt(""), salt("go") != salt("c")
    (0, True)
    """
    digest = hashlib.blake2b(apart.encode(), digest_size=8).digest() if apart else b""
    return int.from_bytes(digest, "little")


def salts(apart: pa.Array | pa.ChunkedArray) -> U64:
    """:func:`salt` of each row."""
    return np.array([salt(name or "") for name in apart.to_pylist()], np.uint64)


def sketcher(params: SketchParams) -> Callable[[Batches], Batches]:
    """A function from (unit, node, apart, content) to (unit, node, keys)."""

    def sketch(batches: Batches) -> Batches:
        from assets.refinecode.minhash.sketch import Sketches
        from assets.refinecode.unit_stream import stream_units

        sketches = Sketches(params)
        for heads, whole in stream_units(batches, params):
            keys = sketches.band_hashes(whole.hashes, whole.stops, whole.content)
            keys ^= salts(heads.column("apart"))[:, None]
            yield pa.record_batch({
                "unit": heads.column("unit").combine_chunks().cast(pa.string()),
                "node": heads.column("node").combine_chunks(),
                "keys": pack_keys(keys),
            })  # fmt: skip

    return sketch


def write_index(spark: SparkSession, bands: DataFrame, params: Dedup, out: Path) -> None:
    """Keep the band hashes (unit, keys) of the files that ``out/decisions`` does not drop."""
    from pyspark.sql import functions as F

    decisions = spark.read.schema("doc_id string, verdict string").parquet(str(out / "decisions"))
    dropped = decisions.where(F.col("verdict") == DROPPED).select("doc_id")
    kept = bands.select(bands["unit"].alias("doc_id"), "keys")
    kept = kept.join(dropped, "doc_id", "left_anti")
    write_parquet(sorted_by_id(spark, kept), out / TABLE)
    write_settings(params, out)


def write_settings(params: Dedup, out: Path) -> None:
    """Say beside the table ``out/bands`` which choices its hashes depend on."""
    (out / SETTINGS).write_text(json.dumps(_settings(params), sort_keys=True, indent=1) + "\n")


def check_settings(folder: Path, params: Dedup) -> None:
    """Raises ``BandIndexError`` if ``folder`` has no band hashes, or some of other choices."""
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


def pack_keys(keys: U64) -> pa.BinaryArray:
    """Hashes [n, bands] as a binary column of ``8 * bands`` bytes a row."""
    kind = pa.binary(8 * keys.shape[1])
    data = pa.py_buffer(np.ascontiguousarray(keys))
    return pa.FixedSizeBinaryArray.from_buffers(kind, len(keys), [None, data]).cast(pa.binary())


def read_index(spark: SparkSession, folder: Path, params: Dedup) -> DataFrame:
    """unit, node, keys of the files that an earlier run kept; nodes are not those of new files.

    Raises ``BandIndexError`` if the folder has no band hashes, or some of other choices.
    """
    from pyspark.sql import functions as F

    check_settings(folder, params)
    table = spark.read.schema("doc_id string, keys binary").parquet(str(folder / TABLE))
    return table.select(F.col("doc_id").alias("unit"), earlier_node().alias("node"), "keys")


def earlier_node() -> Any:
    """The 64-bit id of an earlier file: the same file of a new crawl has another."""
    from pyspark.sql import functions as F

    return F.xxhash64(F.lit("earlier"), "doc_id")


def _settings(params: Dedup) -> dict[str, str | int]:
    names = {"permutations", "bands", "rows", "ngram", "unit", "sketch", "across"}
    return {"kernel": 1, **params.model_dump(mode="json", include=names)}
