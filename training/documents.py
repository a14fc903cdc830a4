"""Reading parquet documents in an order that no partitioning can change.

A folder may hold any number of parquet files; rows come out by doc_id, merged from the files
without holding the corpus in memory when the files are sorted (as the corpus artifacts are).
Samples take documents by the hash of their doc_id, so they are the same for every partitioning.
pyarrow is imported where a file is read: training on shards alone does not need it.
"""

from __future__ import annotations

import hashlib
import heapq
import itertools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from training.config import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

log = logging.getLogger(__name__)

Row = tuple[str, ...]


@dataclass(frozen=True)
class Document:
    """One document of a sample; `language` is empty when the data has no such column."""

    doc_id: str
    content: str
    language: str


def iter_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of text columns, ordered by the first column, which must be unique (an id).

    Raises ConfigError when there is no parquet file, a column is missing, a value is null or an
    id comes twice.
    """
    streams = [_sorted_rows(file, columns) for file in parquet_files(path)]
    previous: str | None = None
    for row in heapq.merge(*streams, key=lambda row: row[0]):
        if row[0] == previous:
            raise ConfigError(
                f"{path}: expected unique {columns[0]}, found {row[0]!r} twice; "
                "remove the duplicate rows"
            )
        previous = row[0]
        yield row


def sample_documents(path: Path, max_bytes: int) -> list[Document]:
    """Documents ordered by the sha-256 of their doc_id, until `max_bytes` of UTF-8 are reached.

    The document that crosses the limit is left out, unless it would be the first.
    """
    has_language = has_column(path, "language")
    keys: list[tuple[bytes, str, int]] = []
    for doc_id, content in iter_rows(path, ["doc_id", "content"]):
        key = hashlib.sha256(doc_id.encode("utf-8")).digest()
        keys.append((key, doc_id, len(content.encode("utf-8"))))
    order: dict[str, int] = {}
    taken_bytes = 0
    for _, doc_id, size_bytes in sorted(keys):
        if order and taken_bytes + size_bytes > max_bytes:
            break
        order[doc_id] = len(order)
        taken_bytes += size_bytes
    columns = ["doc_id", "content"] + (["language"] if has_language else [])
    chosen = [row for row in iter_rows(path, columns) if row[0] in order]
    chosen.sort(key=lambda row: order[row[0]])
    return [Document(row[0], row[1], row[2] if has_language else "") for row in chosen]


def parquet_files(path: Path) -> list[Path]:
    """The parquet files at a path (a file, or a folder searched with its subfolders), sorted."""
    if path.is_file():
        return [path]
    files = sorted(
        file
        for file in path.rglob("*.parquet")
        if not any(part.startswith(("_", ".")) for part in file.relative_to(path).parts)
    )
    if not files:
        raise ConfigError(f"{path}: expected a parquet file or a folder with some, found none")
    return files


def has_column(path: Path, name: str) -> bool:
    """Whether every parquet file at a path has a column of this name."""
    return all(name in _open(file).schema_arrow.names for file in parquet_files(path))


def content_digest(path: Path) -> str:
    """sha-256 over the bytes of the parquet files, in the order of their names."""
    total = hashlib.sha256()
    for file in parquet_files(path):
        total.update(bytes.fromhex(file_digest(file)))
    return total.hexdigest()


def file_digest(file: Path) -> str:
    """sha-256 (hex) of a file's bytes; ConfigError when it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{file}: expected a file that can be read, found: {error}") from error


def _open(file: Path) -> pq.ParquetFile:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise ConfigError(f"{file}: expected a parquet file, found: {error}") from error


def _sorted_rows(file: Path, columns: Sequence[str]) -> Iterator[Row]:
    import pyarrow as pa

    parquet = _open(file)
    missing = [name for name in columns if name not in parquet.schema_arrow.names]
    if missing:
        raise ConfigError(
            f"{file}: expected the columns {', '.join(columns)}; "
            f"missing {', '.join(missing)}, found {', '.join(parquet.schema_arrow.names)}"
        )
    ids = parquet.read([columns[0]]).column(0).to_pylist()
    if None in ids:
        raise ConfigError(f"{file}: expected text in {columns[0]}, found null")
    if all(left <= right for left, right in itertools.pairwise(ids)):
        for batch in parquet.iter_batches(batch_size=256, columns=list(columns)):
            yield from _rows(file, columns, batch)
        return
    log.debug("%s is not sorted by %s; sorting it in memory", file, columns[0])
    order = np.argsort(np.array(ids, dtype=object), kind="stable")
    table = parquet.read(list(columns)).take(pa.array(order))
    for batch in table.to_batches(max_chunksize=256):
        yield from _rows(file, columns, batch)


def _rows(file: Path, columns: Sequence[str], batch: pa.RecordBatch) -> Iterator[Row]:
    import pyarrow as pa

    values = [batch.column(batch.schema.get_field_index(name)) for name in columns]
    for name, value in zip(columns, values, strict=True):
        if value.null_count:
            raise ConfigError(f"{file}: expected text in {name}, found null")
        if not (
            pa.types.is_string(value.type)
            or pa.types.is_large_string(value.type)
            or pa.types.is_dictionary(value.type)
        ):
            raise ConfigError(f"{file}: expected text in {name}, found {value.type}")
    yield from zip(*(value.to_pylist() for value in values), strict=True)
