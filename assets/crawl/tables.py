"""Write a table sorted by key in bounded memory.

Rows are spread over 16 buckets by the first hex digit of their key and spilled to disk as they
come; at the end each bucket is sorted on its own, and the buckets in order are the sorted table.
The result does not depend on the order in which rows came.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

_HEX = "0123456789abcdef"


class SortedWriter:
    """Context manager that leaves ``folder/part-*.parquet`` (zstd), sorted by ``key``.

    ``key`` must start with a hex digit (all ids here are hex hashes). ``weight`` names the column
    with the bytes of a row's content, if it has one: it decides when to spill and where to start a
    new part. A failure inside the block leaves no table.
    """

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        key: str = "doc_id",
        weight: str | None = None,
        spill_bytes: int = 4_000_000,
        part_bytes: int = 64_000_000,
    ) -> None:
        self.folder, self.schema, self.key, self.weight = folder, schema, key, weight
        self.rows = 0
        self._spill_bytes, self._part_bytes = spill_bytes, part_bytes
        self._columns = {digit: self._empty() for digit in _HEX}
        self._held = dict.fromkeys(_HEX, 0)
        self._total = dict.fromkeys(_HEX, 0)
        self._spills: dict[str, pa.ipc.RecordBatchFileWriter] = {}

    def __enter__(self) -> Self:
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        self._temporary = Path(tempfile.mkdtemp(prefix=".spill-", dir=self.folder.parent))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            if kind is None:
                self._finish()
        finally:
            for writer in self._spills.values():
                writer.close()
            shutil.rmtree(self._temporary, ignore_errors=True)

    def write(self, row: Mapping[str, Any]) -> None:
        """Add one row; strings may be given as UTF-8 bytes."""
        digit = row[self.key][0]
        columns = self._columns[digit]
        for name, values in columns.items():
            values.append(row[name])
        size = 200 + (row[self.weight] if self.weight is not None else 0)
        self._held[digit] += size
        self._total[digit] += size
        self.rows += 1
        if self._held[digit] > self._spill_bytes:
            self._spill(digit)

    def _empty(self) -> dict[str, list[Any]]:
        return {name: [] for name in self.schema.names}

    def _spill(self, digit: str) -> None:
        columns = self._columns[digit]
        batch = pa.record_batch(
            [pa.array(columns[column.name], column.type) for column in self.schema],
            schema=self.schema,
        )
        if digit not in self._spills:
            file = self._temporary / f"{digit}.arrow"
            self._spills[digit] = pa.ipc.new_file(str(file), self.schema)
        self._spills[digit].write_batch(batch)
        self._columns[digit], self._held[digit] = self._empty(), 0

    def _finish(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        part: pq.ParquetWriter | None = None
        index, filled = 0, 0
        wide = {"content"} & set(self.schema.names)
        for digit in _HEX:
            if self._columns[digit][self.key]:
                self._spill(digit)
            if part is None:
                part = pq.ParquetWriter(
                    self.folder / f"part-{index:05d}.parquet", self.schema, compression="zstd",
                    use_dictionary=[n for n in self.schema.names if n not in wide],
                    write_statistics=[n for n in self.schema.names if n not in wide],
                )  # fmt: skip
            if digit in self._spills:
                self._spills.pop(digit).close()
                with pa.memory_map(str(self._temporary / f"{digit}.arrow")) as source:
                    table = pa.ipc.open_file(source).read_all().sort_by(self.key)
                    part.write_table(table, row_group_size=4096)
                    del table
            filled += self._total[digit]
            if filled >= self._part_bytes:
                part.close()
                part, filled, index = None, 0, index + 1
        if part is not None:
            part.close()
