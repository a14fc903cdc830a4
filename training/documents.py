"""Reading parquet documents in an order that no partitioning can change.

A folder may hold any number of parquet files; rows come out by doc_id, merged from the files
without holding the corpus in memory when the files are sorted, and without opening more than those
whose ids overlap (the files of a corpus artifact are sorted, and no two overlap).
Samples take documents by the hash of their doc_id, so they are the same for every partitioning.
pyarrow is imported where a file is read: training on shards alone does not need it.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from training.config import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

Row = tuple[str, ...]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Document:
    """One document of a sample; `language` is empty when the data has no such column."""

    doc_id: str
    content: str
    language: str


def iter_rows(path: Path, columns: Sequence[str]) -> Iterator[Row]:
    """Rows of text columns, ordered by the first column, which must be unique (an id).

    Raises ConfigError when there is no parquet file or one cannot be read, a column is missing, a
    value is null or not UTF-8, or an id comes twice.
    """
    parts = [part for file in parquet_files(path) if (part := _part(file, columns)) is not None]
    previous: str | None = None
    for group in _groups(parts):
        streams = [_sorted_rows(part, columns) for part in group]
        for row in heapq.merge(*streams, key=lambda row: row[0]):
            if row[0] == previous:
                raise ConfigError(
                    f"{path}: expected unique {columns[0]}, found {row[0]!r} twice; "
                    "remove the duplicate rows"
                )
            previous = row[0]
            yield row


class FirstByHash(Generic[Item]):
    """Items by the sha-256 of their id, from the smallest on, until they have `enough` bytes.

    What comes after more than that is forgotten, so memory follows `enough`, not the documents.
    """

    def __init__(self, enough: int) -> None:
        self._enough, self._kept_bytes = enough, 0
        self._kept: list[tuple[int, int, Item]] = []  # a heap with the largest hash on top

    def add(self, doc_id: str, size_bytes: int, item: Item) -> None:
        """Keep `item` under an id that no other has, counting it as `size_bytes`."""
        digest = int.from_bytes(hashlib.sha256(doc_id.encode("utf-8")).digest(), "big")
        heapq.heappush(self._kept, (-digest, size_bytes, item))
        self._kept_bytes += size_bytes
        while self._kept_bytes - self._kept[0][1] > self._enough:
            self._kept_bytes -= heapq.heappop(self._kept)[1]

    def __len__(self) -> int:
        return len(self._kept)

    def __iter__(self) -> Iterator[Item]:
        """The items from the smallest hash on."""
        return (item for _, _, item in sorted(self._kept, key=lambda kept: -kept[0]))


def sample_documents(path: Path, max_bytes: int) -> list[Document]:
    """Documents ordered by the sha-256 of their doc_id, until `max_bytes` of UTF-8 are reached.

    The document that crosses the limit is left out, unless it would be the first with any text.
    ConfigError when there is no text at all.
    """
    columns = ["doc_id", "content"] + (["language"] if has_column(path, "language") else [])
    first: FirstByHash[tuple[int, Document]] = FirstByHash(max_bytes)
    for doc_id, content, *language in iter_rows(path, columns):
        size_bytes = len(content.encode("utf-8"))
        document = Document(doc_id, content, "".join(language))
        first.add(doc_id, size_bytes, (size_bytes, document))
    chosen: list[Document] = []
    taken_bytes = 0
    for size_bytes, document in first:
        if taken_bytes and taken_bytes + size_bytes > max_bytes:
            break
        chosen.append(document)
        taken_bytes += size_bytes
    if not taken_bytes:
        raise ConfigError(f"{path}: expected at least one document with text, found none")
    return chosen


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
    import pyarrow.parquet as pq

    for file in parquet_files(path):
        with _readable(file):
            if name not in pq.read_schema(file).names:
                return False
    return True


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


@dataclass(frozen=True)
class _Part:
    """A parquet file with the smallest and the largest of its ids."""

    first: str
    last: str
    file: Path
    is_sorted: bool


def _part(file: Path, columns: Sequence[str]) -> _Part | None:
    """The part that a file is; None when it has no rows. ConfigError when a column is missing."""
    import pyarrow.parquet as pq

    with _readable(file):
        found = pq.read_schema(file).names
    missing = [name for name in columns if name not in found]
    if missing:
        raise ConfigError(
            f"{file}: expected the columns {', '.join(columns)}; "
            f"missing {', '.join(missing)}, found {', '.join(found)}"
        )
    first = last = previous = None
    is_sorted = True
    for (row_id,) in _file_rows(file, columns[:1], 65_536):
        first = row_id if first is None else min(first, row_id)
        last = row_id if last is None else max(last, row_id)
        is_sorted = is_sorted and (previous is None or previous <= row_id)
        previous = row_id
    return None if first is None or last is None else _Part(first, last, file, is_sorted)


def _groups(parts: Sequence[_Part]) -> Iterator[list[_Part]]:
    """Parts whose ranges of ids overlap, group after group in the order of the ids."""
    group: list[_Part] = []
    last = ""
    for part in sorted(parts, key=lambda part: (part.first, part.file)):
        if group and part.first > last:
            yield group
            group = []
        group.append(part)
        last = max(last, part.last)
    if group:
        yield group


def _sorted_rows(part: _Part, columns: Sequence[str]) -> Iterator[Row]:
    rows = _file_rows(part.file, columns, 256)
    if part.is_sorted:
        return rows
    log.debug("%s is not sorted by %s; sorting it in memory", part.file, columns[0])
    return iter(sorted(rows, key=lambda row: row[0]))


def _file_rows(file: Path, columns: Sequence[str], batch_size: int) -> Iterator[Row]:
    import pyarrow.parquet as pq

    with _readable(file), pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches(batch_size=batch_size, columns=list(columns)):
            yield from _rows(file, columns, batch)


def _rows(file: Path, columns: Sequence[str], batch: pa.RecordBatch) -> Iterator[Row]:
    import pyarrow as pa

    values: list[list[str]] = []
    for name in columns:
        value = batch.column(batch.schema.get_field_index(name))
        if value.null_count:
            raise ConfigError(f"{file}: expected text in {name}, found null")
        kind = value.type.value_type if pa.types.is_dictionary(value.type) else value.type
        if kind not in (pa.string(), pa.large_string(), pa.string_view()):
            raise ConfigError(f"{file}: expected text in {name}, found {value.type}")
        try:
            values.append(value.to_pylist())
        except UnicodeDecodeError as error:
            raise ConfigError(
                f"{file}: expected UTF-8 text in {name}, found bytes that are not ({error}); "
                "write it again with these replaced"
            ) from error
    yield from zip(*values, strict=True)


@contextlib.contextmanager
def _readable(file: Path) -> Iterator[None]:
    """ConfigError for a file that is not parquet, is torn or may not be opened."""
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(
            f"{file}: expected a readable parquet file, found: {error}; write it again"
        ) from error
