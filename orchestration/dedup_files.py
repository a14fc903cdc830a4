"""Deduplicate any table of texts or folder of files: the stages of the recipes, for people.

Rows become documents, the exact and the fuzzy stage decide, and the rows that stay are copied from
the input with all of their columns. Every row has one line in ``decisions.parquet``: whether it
stayed, and otherwise which row stayed for it and how similar that one is.
"""

from __future__ import annotations

import bisect
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError
from tqdm import tqdm

from assets.documents import CHANGED, DOCUMENT_SCHEMA, DROPPED
from assets.recipe import Dedup, RecipeError
from assets.refinecode.local.start import release_memory
from assets.refinecode.local.tables import Parts
from orchestration.dedup_inputs import (
    Columns,
    DedupInputError,
    Kind,
    Rows,
    documents_of,
    open_rows,
)
from orchestration.dedup_outcomes import read_outcomes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

I64 = npt.NDArray[np.int64]
log = logging.getLogger("cookbook")


@dataclass(frozen=True)
class Summary:
    """What came out, in rows and bytes of text. ``changed`` rows are kept with less text."""

    rows: int
    kept: int
    changed: int
    exact: int
    near: int
    bytes_in: int
    bytes_kept: int

    def lines(self) -> Iterator[str]:
        gone = self.bytes_in - self.bytes_kept
        yield f"rows in            {self.rows:>12,}  {self.bytes_in / 1e6:>12,.1f} MB of text"
        yield f"exact duplicates   {self.exact:>12,}"
        yield f"near-duplicates    {self.near:>12,}"
        yield f"kept               {self.kept:>12,}  {self.bytes_kept / 1e6:>12,.1f} MB of text"
        if self.changed:
            yield f"  with repeated chunks cut {self.changed:>4,}"
        if self.bytes_in:
            share = gone / self.bytes_in
            yield f"removed            {share:>12.1%}  {gone / 1e6:>12,.1f} MB of text"


def dedup_files(
    source: Path,
    out: Path,
    params: Dedup,
    *,
    spark: Callable[[], SparkSession] | None = None,
    columns: Columns | None = None,
    kind: Kind | None = None,
) -> Summary:
    """Write ``out/kept/part-*.parquet`` and ``out/decisions.parquet``.

    ``out`` must not exist, or be empty; it appears when everything is done. What ``source`` and
    ``columns`` may be is said in :mod:`orchestration.dedup_inputs`. ``spark`` gives the session
    that does the work, with the same result; without one it is done in this process. Scratch space
    for the text (with Spark twice) is needed beside ``out``. Raises ``DedupInputError``.
    """
    if not source.exists():
        raise DedupInputError(f"{source}: expected a file or folder, found nothing")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DedupInputError(f"{out}: expected a new or empty folder (--out), found files in it")
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.absolute().parent) as folder:
        scratch = Path(folder)
        log.info("reading %s", source)
        (scratch / "input").mkdir()
        rows = open_rows(source, columns or Columns(), kind, scratch / "input")
        _check_columns(rows, params)
        index = scratch / "index.parquet"
        documents = documents_of(rows, index)
        if spark is None:
            stages = run_local(scratch, documents, params)
        else:
            stages = run_spark(scratch, documents, params, spark)
        result = scratch / "result"
        (result / "kept").mkdir(parents=True)
        log.info("writing %s", out)
        summary = _write(rows, stages, index, result)
        if out.is_dir():
            out.rmdir()
        # a temporary folder is its owner's alone; what comes out of it is not
        result.chmod(0o777 & ~_umask())
        result.rename(out)
    return summary


def dedup_params(options: Mapping[str, Any]) -> Dedup:
    """Deduplication with these choices, None meaning not given; without a preset, threshold, bands
    or rows it is the preset ``verified``. Raises ``RecipeError``."""
    given = {name: value for name, value in options.items() if value is not None}
    if not {"preset", "threshold", "bands", "rows", "permutations"} & given.keys():
        given["preset"] = "verified"
    try:
        return Dedup.model_validate(given)
    except ValidationError as error:
        lines = ["these options do not fit:"]
        for problem in error.errors():
            option = "".join(f"--{part}: " for part in problem["loc"]).replace("_", "-")
            lines.append(f"  {option}{problem['msg'].removeprefix('Value error, ')}")
        raise RecipeError("\n".join(lines)) from error


def run_local(scratch: Path, documents: Iterable[pa.Table], params: Dedup) -> list[Path]:
    """The exact, then the fuzzy stage in this process; their folders, in order. They hold the
    decisions, and the last one the documents that have changed."""
    from assets.refinecode.local.corpus import TextStore
    from assets.refinecode.local.stages import (
        exact_stage,
        fuzzy_stage,
        open_corpus,
        write_changed,
        write_decisions,
    )

    folders = []
    with TextStore(scratch) as store:
        corpus = open_corpus(documents, store, params)
        log.info("%d rows, %.1f MB of text", corpus.facts.num_rows, corpus.sizes.sum() / 1e6)
        release_memory()
        for find in (exact_stage, fuzzy_stage):
            stage = find(corpus, params)
            folders.append(scratch / stage.name)
            write_decisions(stage, folders[-1])
            release_memory()
        write_changed(corpus, folders[-1])
    return folders


def run_spark(
    scratch: Path,
    documents: Iterable[pa.Table],
    params: Dedup,
    spark: Callable[[], SparkSession],
) -> list[Path]:
    """The exact, then the fuzzy stage in Spark, as a recipe runs them; their folders, in order."""
    from assets.refinecode import exact_dedup, fuzzy_dedup

    given, exact, fuzzy = (
        scratch / name for name in ("documents", exact_dedup.STAGE, fuzzy_dedup.STAGE)
    )
    for folder in (given, exact, fuzzy):
        folder.mkdir()
    with Parts(given, DOCUMENT_SCHEMA, "snappy", plain=("content",)) as parts:
        for table in documents:
            parts.write(table)
    session = spark()
    log.info("exact duplicates ...")
    exact_dedup.run(exact, documents=given, params=params, spark=session)
    log.info("near-duplicates ...")
    fuzzy_dedup.run(fuzzy, documents=exact / "documents", params=params, spark=session)
    return [exact, fuzzy]


def _check_columns(rows: Rows, params: Dedup) -> None:
    for needed, choice in (("repository", params.level), ("language", params.across)):
        if needed in choice.split("+") and getattr(rows.columns, needed) is None:
            raise DedupInputError(
                f"{rows.names[0]}: {choice!r} needs to know the {needed} of each row: no column "
                f"{needed!r}; name one with --{needed}-column"
            )


def _write(rows: Rows, stages: list[Path], index: Path, result: Path) -> Summary:
    outcomes = read_outcomes(index, stages)
    outcomes.write(result / "decisions.parquet")
    dropped, changed = outcomes.places(DROPPED), outcomes.places(CHANGED)
    exact = len(outcomes.places(DROPPED, stage=0))
    changes = _Changes(stages[-1], outcomes.doc_ids(changed), changed)
    bytes_in, bytes_kept = _copy_kept(rows, dropped, changes, result / "kept")
    return Summary(
        rows=rows.total, kept=rows.total - len(dropped), changed=len(changed),
        exact=exact, near=len(dropped) - exact, bytes_in=bytes_in, bytes_kept=bytes_kept,
    )  # fmt: skip


def _copy_kept(rows: Rows, dropped: I64, changes: _Changes, out: Path) -> tuple[int, int]:
    """Copy the rows that stay, in their order; the bytes of all texts and of those that stay."""
    keep = np.ones(rows.total, np.bool_)
    keep[dropped] = False
    place_of_text = rows.schema.get_field_index(rows.columns.text)
    bytes_in = bytes_kept = 0
    with (
        Parts(out, rows.schema, plain=[rows.columns.text]) as parts,
        tqdm(total=rows.total, unit=" rows", disable=True if rows.total < 10_000 else None) as bar,
    ):
        for place, batch in rows.batches():
            table = pa.Table.from_batches([batch])
            texts = table.column(place_of_text).combine_chunks()
            bytes_in += _text_bytes(texts)
            texts = changes.apply(place, texts)
            table = table.set_column(place_of_text, rows.schema.field(place_of_text), texts)
            table = table.filter(pa.array(keep[place : place + batch.num_rows]))
            bytes_kept += _text_bytes(table.column(place_of_text))
            parts.write(table)
            bar.update(batch.num_rows)
    return bytes_in, bytes_kept


def _text_bytes(texts: pa.Array | pa.ChunkedArray) -> int:
    return pc.sum(pc.binary_length(texts).cast(pa.int64())).as_py() or 0


class _Changes:
    """The texts that ``stage`` left of the documents ``doc_ids``, rows ``places`` (ascending)."""

    def __init__(self, stage: Path, doc_ids: pa.ChunkedArray, places: I64) -> None:
        self._places = places.tolist()
        self._texts = _texts(stage, pa.table({"doc_id": doc_ids, "place": places}))
        self._done = 0

    def apply(self, place: int, texts: pa.Array) -> pa.Array:
        stop = bisect.bisect_left(self._places, place + len(texts), self._done)
        if stop == self._done:
            return texts
        values: list[Any] = texts.to_pylist()
        for changed in self._places[self._done : stop]:
            values[changed - place] = next(self._texts)
        self._done = stop
        return pa.array(values, texts.type)


def _texts(stage: Path, wanted: pa.Table) -> Iterator[str]:
    """The texts of the documents ``wanted`` (doc_id, place), in the order of the places."""
    if not wanted.num_rows:
        return
    import duckdb

    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("wanted", wanted)
        connection.execute(
            f"select content from read_parquet('{stage}/documents/*.parquet') "
            "join wanted using (doc_id) order by place"
        )
        while rows := connection.fetchmany(256):
            for (text,) in rows:
                yield text


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
