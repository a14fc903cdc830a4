"""The document and decision tables that every data stage reads and writes.

One schema from the crawl on, parquet with zstd, sorted by ``doc_id``. A stage that may drop or
change documents writes exactly one decision per input document, so nothing disappears silently:
``input rows = kept + changed + dropped`` and ``output rows = kept + changed``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq

#: Column types of ``documents/``. ``stars`` and ``popularity_percentile`` are null where unknown;
#: registries know no stars, so the percentile (0-100 within one registry) stands in for them.
DOCUMENT_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("content", pa.large_string()),
        ("content_sha256", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("doc_type", pa.string()),
        ("license", pa.string()),
        ("stars", pa.int64()),
        ("popularity_percentile", pa.float64()),
        ("commit_time", pa.timestamp("us", tz="UTC")),
        ("size_bytes", pa.int64()),
        ("source", pa.string()),
    ]
)

#: Column types of ``decisions/``. ``verdict`` is kept, changed or dropped; ``reason`` names the
#: rule (empty for kept); ``detail`` holds ``rule=value`` or ``duplicate_of=<doc_id>``.
DECISION_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("stage", pa.string()),
        ("verdict", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("language", pa.string()),
        ("size_bytes", pa.int64()),
    ]
)

KEPT, CHANGED, DROPPED = "kept", "changed", "dropped"


def content_digest(content: str | bytes | memoryview) -> str:
    """Hex SHA-256 of a file's bytes (UTF-8 for text)."""
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()


def document_id(repository: str, path: str, content_sha256: str) -> str:
    """Identity of one file of one repository: SHA-256 of repository, path and content hash."""
    return hashlib.sha256(f"{repository}\0{path}\0{content_sha256}".encode()).hexdigest()


def read_table(folder: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The parquet dataset in ``folder`` as one table, sorted by ``doc_id`` where it has one."""
    table = pads.dataset(folder, format="parquet").to_table(columns=columns)
    if "doc_id" in table.column_names:
        table = table.sort_by("doc_id")
    return table


def read_batches(
    folder: Path, columns: Sequence[str] | None = None, batch_rows: int = 512
) -> Iterator[pa.RecordBatch]:
    """Stream the parquet dataset in ``folder``; at most ``batch_rows`` rows at a time."""
    yield from pads.dataset(folder, format="parquet").to_batches(
        columns=columns, batch_size=batch_rows
    )


def write_table(folder: Path, table: pa.Table, sort_by: str | None = "doc_id") -> None:
    """Write ``table`` to ``folder/part-00000.parquet`` (zstd), sorted so that runs agree."""
    folder.mkdir(parents=True, exist_ok=True)
    if sort_by is not None:
        table = table.sort_by(sort_by)
    pq.write_table(table, folder / "part-00000.parquet", compression="zstd", row_group_size=4096)


def decisions_table(rows: Iterable[dict[str, object]]) -> pa.Table:
    """Decision rows (dicts with the columns of ``DECISION_SCHEMA``) as a table."""
    return pa.Table.from_pylist(list(rows), schema=DECISION_SCHEMA)
