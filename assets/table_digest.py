"""Digest of a parquet table: the same for the same rows, whatever their order and files.

It is a multiset hash, so an artifact has one digest on any partitioning of the work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq


def table_digest(files: list[Path]) -> tuple[int, str, pa.Schema]:
    """(rows, digest, schema) of a parquet table, whatever its split into files or row order.

    The digest is a multiset hash: the sum modulo 2**256 of the SHA-256 of each row. Raises
    ``ValueError`` if the files differ in schema.
    """
    rows, total = 0, 0
    schema = pq.read_schema(files[0]).remove_metadata()
    for file in files:
        parquet = pq.ParquetFile(file)
        if parquet.schema_arrow.remove_metadata() != schema:
            raise ValueError(f"{file} has another schema than {files[0]}")
        for batch in parquet.iter_batches(batch_size=1024):
            for row in _row_bytes(batch):
                total += int.from_bytes(hashlib.sha256(row).digest(), "big")
                rows += 1
    names = ",".join(f"{column.name}:{column.type}" for column in schema)
    total %= 2**256
    return rows, hashlib.sha256(f"{names}|{rows}|{total:064x}".encode()).hexdigest(), schema


def _row_bytes(batch: pa.RecordBatch) -> Iterator[bytes]:
    """Each row as length-prefixed cells; null is marked apart from the empty string."""
    columns = [_cells(batch.column(i)) for i in range(batch.num_columns)]
    for cells in zip(*columns, strict=True):
        yield b"".join(b"-" if cell is None else b"%d:%b" % (len(cell), cell) for cell in cells)


def _cells(column: pa.Array) -> list[bytes | None]:
    if pa.types.is_nested(column.type):
        return [
            None if value is None else json.dumps(value, sort_keys=True, default=str).encode()
            for value in column.to_pylist()
        ]
    if not (pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)):
        column = pc.cast(pc.cast(column, pa.large_string()), pa.large_binary())
    return column.to_pylist()
