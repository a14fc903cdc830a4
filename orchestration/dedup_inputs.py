"""Rows with a text, from anywhere, as the documents that deduplication reads.

Parquet stays where it is; lines of JSON and the files of a folder become parquet once. Whatever
else a row holds is left alone: only the text, the id and the facts of the keep rule are read. A
row's doc_id is made of its id; without one of its place, so that the first of equal rows stays.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.documents import DOCUMENT_SCHEMA, content_digest
from assets.languages import detect
from assets.recipe import Select
from assets.refinecode.local.tables import Tables
from assets.refinecode.minhash import text_buffer
from orchestration.dedup_outcomes import DOC_ID
from orchestration.filter_files import files_below

Kind = Literal["parquet", "jsonl", "files"]
JSON_SUFFIXES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz", ".jsonl.zst", ".ndjson.zst")
INDEX_SCHEMA = pa.schema([("doc_id", pa.string()), ("id", pa.string())])
#: Text of a file that is held before it is written.
_GROUP_BYTES = 16 << 20
_MAX_JSON_BYTES = 64 << 20
_GUESSED = re.compile(r"\b(DATE|TIME|TIMESTAMP(_NS)?|UUID)\b( WITH TIME ZONE)?")

log = logging.getLogger("cookbook")


class DedupInputError(LookupError):
    """The input cannot be read as rows with a text; the message names file and column."""


@dataclass(frozen=True)
class Columns:
    """Which column holds what. None: the column of that name is used if there is one.

    ``text`` is compared. ``id`` names a row in the decisions. ``repository`` and ``path`` say what
    belongs together at repository level, ``language`` what is compared ``across: language``. Of
    duplicates the one stays that has the most ``stars``, then the highest
    ``popularity_percentile`` where stars are unknown, then the latest ``commit_time``, then the
    smallest id or first place.
    """

    text: str = "content"
    id: str | None = None
    repository: str | None = None
    path: str | None = None
    language: str | None = None
    stars: str | None = None
    popularity_percentile: str | None = None
    commit_time: str | None = None


@dataclass(frozen=True)
class Rows:
    """Rows of parquet files, in order. ``columns`` names only columns that are there.

    With ``in_order`` the first of duplicates is the smallest, else the one whose id hashes least,
    which is the same one in any order of the rows.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]
    schema: pa.Schema
    total: int
    columns: Columns
    in_order: bool

    def batches(self) -> Iterator[tuple[int, pa.RecordBatch]]:
        """(place of the first row, some rows), all in ``schema``."""
        for places, batch in Tables(self.files).batches():
            table = _cast(pa.Table.from_batches([batch]), self.schema)
            [whole] = table.combine_chunks().to_batches()
            yield int(places[0]), whole


def open_rows(source: Path, columns: Columns, kind: Kind | None, scratch: Path) -> Rows:
    """The rows of ``source``: a parquet or JSON lines file, or a folder of files.

    Without ``kind`` a folder is parquet or JSON lines if all of its files are, else each of its
    files is a row (path, content, language, repository: the folder below ``source`` that it lies
    in). ``scratch`` is an empty folder for what must be converted. Raises ``DedupInputError``.
    """
    files = list(files_below([source]))
    found = kind or _kind_of(source, files)
    if not files:
        raise DedupInputError(f"{source}: expected files with texts, found an empty folder")
    if found == "files":
        table = scratch / "files.parquet"
        _read_files(source, files, table)
        columns = replace(columns, text="content", id="path")
        return replace(_resolve([table], [source.name], columns), in_order=True)
    elif found == "jsonl":
        wanted = [file for file in files if file.name.endswith(JSON_SUFFIXES)]
        _require(wanted, source, "JSON lines", JSON_SUFFIXES)
        parquet = [scratch / f"{number:05d}.parquet" for number in range(len(wanted))]
        for file, table in zip(wanted, parquet, strict=True):
            _read_json(file, table)
        names = [_name(file, source) for file in wanted]
    else:
        parquet = [file for file in files if file.suffix == ".parquet"]
        _require(parquet, source, "parquet", (".parquet",))
        names = [_name(file, source) for file in parquet]
    return _resolve(parquet, names, columns)


def documents_of(rows: Rows, index: Path) -> Iterator[pa.Table]:
    """The rows as documents, some at a time; when all are given, ``index`` holds doc_id and id of
    each, in order.

    Raises ``DedupInputError`` for values that cannot be what their column is used for, and for an
    id that two rows have.
    """
    with pq.ParquetWriter(index, INDEX_SCHEMA, compression="snappy") as places:
        for place, batch in rows.batches():
            table, entries = _documents(rows, place, batch)
            places.write_table(entries)
            yield table
    if not rows.in_order:
        _unique(rows, index)


def _kind_of(source: Path, files: Sequence[Path]) -> Kind:
    if not source.is_dir():
        if source.suffix == ".parquet":
            return "parquet"
        if source.name.endswith(JSON_SUFFIXES):
            return "jsonl"
        raise DedupInputError(
            f"{source}: expected a .parquet file, a file of JSON lines "
            f"({', '.join(JSON_SUFFIXES)}) or a folder; or say --format"
        )
    visible = [file for file in files if not file.name.startswith((".", "_"))]
    if visible and all(file.suffix == ".parquet" for file in visible):
        return "parquet"
    if visible and all(file.name.endswith(JSON_SUFFIXES) for file in visible):
        return "jsonl"
    return "files"


def _require(found: Sequence[Path], source: Path, what: str, suffixes: Sequence[str]) -> None:
    if not found:
        raise DedupInputError(f"{source}: expected {what} ({', '.join(suffixes)}), found none")


def _name(file: Path, source: Path) -> str:
    return file.name if file == source else file.relative_to(source).as_posix()


def _resolve(files: Sequence[Path], names: Sequence[str], columns: Columns) -> Rows:
    schemas, total = [], 0
    for file, name in zip(files, names, strict=True):
        try:
            parquet = pq.ParquetFile(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise DedupInputError(f"{name}: not a parquet file: {error}") from error
        schema = parquet.schema_arrow
        for role, column in _given(columns):
            if column not in schema.names:
                raise DedupInputError(
                    f"{name}: no column {column!r} (--{role.replace('_', '-')}-column); it has "
                    f"{', '.join(schema.names)}"
                )
        schemas.append(schema)
        total += parquet.metadata.num_rows
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise DedupInputError(f"{names[0]} and others: columns do not agree: {error}") from error
    kind = schema.field(columns.text).type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise DedupInputError(
            f"{names[0]}: column {columns.text!r} (--text-column) is {kind}, expected text"
        )
    found = {
        role: next((n for n in (own, *_DEFAULTS.get(role, (role,))) if n in schema.names), None)
        for role, own in ((f.name, getattr(columns, f.name)) for f in fields(Columns))
    }
    named = Columns(**found)  # type: ignore[arg-type]
    return Rows(tuple(files), tuple(names), schema, total, named, in_order=named.id is None)


_DEFAULTS = {"id": ("doc_id",), "text": ()}


def _given(columns: Columns) -> Iterator[tuple[str, str]]:
    for role in fields(Columns):
        value = getattr(columns, role.name)
        if value is not None:
            yield role.name, value


def _cast(table: pa.Table, schema: pa.Schema) -> pa.Table:
    arrays = [
        table[field.name].cast(field.type) if field.name in table.column_names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]  # fmt: skip
    return pa.Table.from_arrays(arrays, schema=schema)


def _documents(rows: Rows, place: int, batch: pa.RecordBatch) -> tuple[pa.Table, pa.Table]:
    count, columns = batch.num_rows, rows.columns

    def column(role: str, kind: pa.DataType) -> pa.Array:
        name = getattr(columns, role)
        if name is None:
            return pa.nulls(count, kind)
        try:
            return _convert(batch.column(name), kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise DedupInputError(
                f"{rows.names[0]}: column {name!r} cannot be used as {role}: {error}"
            ) from error

    texts = pc.fill_null(column("text", pa.large_string()), "")
    text, ends = text_buffer(texts)
    digests = [content_digest(text[a:b].data) for a, b in itertools.pairwise(ends.tolist())]
    sizes = pc.cast(pc.binary_length(texts), pa.int64())
    places = range(place, place + count)
    ids = column("id", pa.string()).to_pylist() if columns.id else [str(i) for i in places]
    if None in ids:
        raise DedupInputError(
            f"{rows.names[0]}: column {columns.id!r} (--id-column) is null in row "
            f"{place + ids.index(None)}; every row needs an id"
        )
    if not rows.in_order:
        doc_ids = [i if DOC_ID.fullmatch(i) else content_digest(i) for i in ids]
    else:  # evenly spread over all ids, in the order of the rows
        doc_ids = [f"{(i << 256) // rows.total:064x}" for i in places]
    paths = column("path", pa.string()) if columns.path else pa.nulls(count, pa.string())
    values: dict[str, Any] = {
        "doc_id": pa.array(doc_ids),
        "content": texts,
        "content_sha256": pa.array(digests),
        "repository": pc.fill_null(column("repository", pa.string()), ""),
        "path": pc.coalesce(paths, pa.array([f"{i:015d}" for i in places])),
        "language": pc.fill_null(column("language", pa.string()), ""),
        "doc_type": pa.array([""] * count),
        "license": pa.nulls(count, pa.string()),
        "stars": column("stars", pa.int64()),
        "popularity_percentile": column("popularity_percentile", pa.float64()),
        "commit_time": column("commit_time", pa.timestamp("us", tz="UTC")),
        "size_bytes": sizes,
        "source": pa.array(["dedup"] * count),
    }
    documents = pa.table(values, schema=DOCUMENT_SCHEMA)
    entries = pa.Table.from_arrays([values["doc_id"], pa.array(ids)], schema=INDEX_SCHEMA)
    return documents, entries


def _convert(values: pa.Array, kind: pa.DataType) -> pa.Array:
    if pa.types.is_timestamp(kind) and pa.types.is_string(values.type):
        zoned = pc.match_substring_regex(values, r"(Z|[+-]\d\d:?\d\d)$")
        if not pc.all(pc.fill_null(zoned, True)).as_py():
            values = values.cast(pa.timestamp("us"))
    return values.cast(kind)


def _unique(rows: Rows, index: Path) -> None:
    import duckdb

    twice = duckdb.execute(
        "select id, count(*) from read_parquet($index) group by doc_id, id having count(*) > 1 "
        "order by id limit 1",
        {"index": str(index)},
    ).fetchone()
    if twice:
        raise DedupInputError(
            f"{rows.names[0]}: {twice[1]} rows have the id {twice[0]!r} in column "
            f"{rows.columns.id!r} (--id-column); expected one row an id"
        )


def _read_json(file: Path, table: Path) -> None:
    """Lines of JSON as parquet: every key a column, strings left as they are."""
    import duckdb

    options = (
        f"format = 'newline_delimited', sample_size = -1, maximum_object_size = {_MAX_JSON_BYTES}"
    )
    with duckdb.connect(config={"threads": 1, "preserve_insertion_order": True}) as connection:
        try:
            described = connection.execute(
                f"describe from read_json($file, {options})", {"file": str(file)}
            ).fetchall()
            # Strings that look like dates or identifiers stay strings.
            kinds = {name: _GUESSED.sub("VARCHAR", kind) for name, kind, *_ in described}
            columns = ", ".join(f"{_quoted(n)}: {_quoted(k)}" for n, k in kinds.items())
            connection.execute(
                f"copy (from read_json({_quoted(str(file))}, {options}, columns = {{{columns}}})) "
                f"to {_quoted(str(table))} (format parquet, row_group_size 4096)"
            )
        except duckdb.Error as error:
            raise DedupInputError(f"{file}: not lines of JSON objects: {error}") from error


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _read_files(folder: Path, files: Sequence[Path], table: Path) -> None:
    """Text files as rows; binary files (with a NUL byte) and those over 8 MB are left out."""
    kinds = ("path", "repository", "language", "content")
    schema = pa.schema([(n, pa.large_string() if n == "content" else pa.string()) for n in kinds])
    limit = Select().max_bytes
    root = folder if folder.is_dir() else folder.parent
    rows: list[dict[str, str]] = []
    with pq.ParquetWriter(table, schema, compression="snappy") as writer:
        held = left_out = 0
        for file in files:
            data = file.read_bytes() if file.stat().st_size <= limit else b"\0"
            if b"\0" in data:
                left_out += 1
                continue
            path = os.fsencode(file.relative_to(root)).decode("utf-8", "replace")
            rows.append({
                "path": path, "repository": path.split("/")[0] if "/" in path else root.name,
                "language": detect(path).language, "content": data.decode("utf-8", "replace"),
            })  # fmt: skip
            held += len(data)
            if held >= _GROUP_BYTES:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows, held = [], 0
        writer.write_table(pa.Table.from_pylist(rows, schema))
    if left_out:
        log.info("%d files are binary or over %d bytes, and left out", left_out, limit)
