"""Deduplicate any table of texts or folder of files: the stages of the recipes, for people.

Rows become documents, the exact and the fuzzy stage decide, and the rows that stay are copied from
the input with all of their columns. Every row has one line in ``decisions.parquet``: whether it
stayed, and otherwise which row stayed for it and how similar that one is.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError
from tqdm import tqdm

from assets.documents import DOCUMENT_SCHEMA
from assets.recipe import Dedup, RecipeError
from assets.refinecode.local.start import release_libraries
from assets.refinecode.local.tables import Parts
from orchestration.dedup_inputs import (
    Columns,
    DedupInputError,
    Kind,
    Rows,
    documents_of,
    open_rows,
)

if TYPE_CHECKING:
    import duckdb
    from pyspark.sql import SparkSession

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
        release_libraries()
        for find in (exact_stage, fuzzy_stage):
            stage = find(corpus, params)
            folders.append(scratch / stage.name)
            write_decisions(stage, folders[-1])
            release_libraries()
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
    import duckdb

    with duckdb.connect(config={"threads": 1, "preserve_insertion_order": True}) as connection:
        _decide(connection, stages, index, result / "decisions.parquet")
        counts = dict(
            connection.execute(
                "select case when verdict != 'dropped' then verdict when stage = 0 "
                "then 'exact' else 'near' end, count(*) from decided group by all"
            ).fetchall()
        )
        [bytes_in] = connection.execute("select coalesce(sum(bytes), 0) from entry").fetchone() or [
            0
        ]
        bytes_kept = _copy_kept(connection, rows, stages, result / "kept")
    changed = counts.get("changed", 0)
    return Summary(
        rows=rows.total, kept=counts.get("kept", 0) + changed, changed=changed,
        exact=counts.get("exact", 0), near=counts.get("near", 0),
        bytes_in=int(bytes_in), bytes_kept=bytes_kept,
    )  # fmt: skip


def _decide(
    connection: duckdb.DuckDBPyConnection, stages: list[Path], index: Path, out: Path
) -> None:
    """Table ``decided``: the index with verdict, reason, survivor (a doc_id, or a repository),
    similarity to it, and how many chunks were cut of a changed row.

    The survivor is the last one: that of an exact group may be dropped by the fuzzy stage, and the
    similarity is then the one of that survivor, whose text the row has.
    """
    judged = [
        f"select {number} as stage, * from read_parquet('{stage}/decisions/*.parquet') "
        "where verdict != 'kept'"
        for number, stage in enumerate(stages)
    ]
    connection.execute(f"create view entry as from read_parquet('{index}')")
    connection.execute(_DECIDED.format(judged=" union all ".join(judged)))
    connection.execute(f"""
        copy (
            select d.id, d.verdict, d.reason, coalesce(s.id, d.survivor) as duplicate_of,
                d.similarity, d.chunks
            from decided d left join entry s on s.doc_id = d.survivor
            order by d.position
        ) to '{out}' (format parquet, codec zstd)
    """)


_DECIDED = """
create table decided as
with recursive judged as (
    select stage, doc_id, verdict, reason,
        regexp_extract(detail, 'duplicate_of=(.*?)( [a-z_]+=|$)', 1) as survivor,
        try_cast(regexp_extract(detail, 'jaccard=([0-9.]+)', 1) as double) as similarity,
        nullif(regexp_extract(detail, 'chunks=([0-9/]+)', 1), '') as chunks,
        case when regexp_full_match(survivor, '[0-9a-f]{{64}}') then doc_id
            when ends_with(survivor, ':' || language) then repository || ':' || language
            else repository end as unit
    from ({judged})
),
survivors as (
    select unit as name, survivor, similarity from judged where verdict = 'dropped'
    union
    select doc_id, survivor, similarity from judged where verdict = 'dropped'
),
followed as (
    select name, survivor from survivors
    union
    select f.name, s.survivor from followed f join survivors s on s.name = f.survivor
),
ends as (
    select name, any_value(survivor) as survivor from followed
    where survivor not in (select name from survivors) group by name
),
alike as (
    select name, any_value(similarity) as similarity from survivors group by name
),
told as (
    select j.doc_id, j.stage, j.verdict, j.reason, j.chunks,
        coalesce(e.survivor, j.survivor) as survivor,
        case when e.survivor is null then j.similarity
            when j.reason like 'exact%' then alike.similarity end as similarity
    from (
        select j.* from judged j
        join (select doc_id, max(stage) as stage from judged group by doc_id) l
            using (doc_id, stage)
    ) j
    left join ends e on e.name = j.survivor
    left join alike on alike.name = j.survivor
)
select entry.*, coalesce(told.verdict, 'kept') as verdict, coalesce(told.reason, '') as reason,
    told.stage, told.survivor, told.similarity, told.chunks
from entry left join told using (doc_id)
"""


def _copy_kept(
    connection: duckdb.DuckDBPyConnection, rows: Rows, stages: list[Path], out: Path
) -> int:
    """Copy the rows that stay, in their order; the bytes of their text."""
    keep = np.ones(rows.total, np.bool_)
    dropped = connection.execute("select position from decided where verdict = 'dropped'")
    keep[dropped.fetchnumpy()["position"].astype(np.int64)] = False
    changes = _Changes(connection, stages)
    place_of_text = rows.schema.get_field_index(rows.columns.text)
    kept_bytes = 0
    with (
        Parts(out, rows.schema, plain=[rows.columns.text]) as parts,
        tqdm(total=rows.total, unit=" rows", disable=True if rows.total < 10_000 else None) as bar,
    ):
        for place, batch in rows.batches():
            table = pa.Table.from_batches([batch])
            texts = changes.apply(place, table.column(place_of_text).combine_chunks())
            table = table.set_column(place_of_text, rows.schema.field(place_of_text), texts)
            table = table.filter(pa.array(keep[place : place + batch.num_rows]))
            sizes = pc.binary_length(table.column(place_of_text))
            kept_bytes += pc.sum(sizes.cast(pa.int64())).as_py() or 0
            parts.write(table)
            bar.update(batch.num_rows)
    return kept_bytes


class _Changes:
    """New texts of changed rows, streamed in the order of their places."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, stages: list[Path]) -> None:
        cursor = connection.cursor().execute(
            "select d.position, t.content from decided d "
            f"join read_parquet('{stages[-1]}/documents/*.parquet') t using (doc_id) "
            "where d.verdict = 'changed' order by d.position"
        )
        self._rows = _fetched(cursor)
        self._next = next(self._rows, None)

    def apply(self, place: int, texts: pa.Array) -> pa.Array:
        if self._next is None or self._next[0] >= place + len(texts):
            return texts
        values: list[Any] = texts.to_pylist()
        while self._next is not None and self._next[0] < place + len(texts):
            values[self._next[0] - place] = self._next[1]
            self._next = next(self._rows, None)
        return pa.array(values, texts.type)


def _fetched(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, str]]:
    while rows := cursor.fetchmany(256):
        yield from rows


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
