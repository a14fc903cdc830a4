"""Parquet files as one table: rows found by their number, files and row groups of bounded size."""

from __future__ import annotations

import collections
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

I64 = npt.NDArray[np.int64]
Given = TypeVar("Given")
Made = TypeVar("Made")

#: Bytes decoded at a time, of a row group written, and of a file before the next one is begun.
_BATCH_BYTES, _GROUP_BYTES, _PART_BYTES = 2 << 20, 4 << 20, 512 << 20
_MOST_ROWS = 4096


class Tables:
    """The rows of parquet files, one after the other, decoded a few megabytes at a time."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)
        self._meta = [pq.read_metadata(file) for file in files]
        rows = [[meta.row_group(group).num_rows for group in range(meta.num_row_groups)]
                for meta in self._meta]  # fmt: skip
        ends = np.cumsum([0, *(count for file in rows for count in file)], dtype=np.int64)
        firsts = np.cumsum([0, *map(len, rows)])
        self._bounds = [ends[a : a + len(file) + 1] for a, file in zip(firsts, rows, strict=False)]
        self._total = int(ends[-1])

    def __len__(self) -> int:
        return self._total

    def batches(
        self, columns: Sequence[str] | None = None, rows: I64 | None = None
    ) -> Iterator[tuple[I64, pa.RecordBatch]]:
        """(numbers of some rows, these rows), in order: all of them, or ascending ``rows``.

        Only row groups that hold one of them are read.
        """
        for file, meta, bounds in zip(self._files, self._meta, self._bounds, strict=True):
            groups = np.arange(len(bounds) - 1)
            if rows is not None:
                places = np.searchsorted(rows, bounds)
                groups = groups[places[1:] > places[:-1]]
            if not len(groups):
                continue
            numbers = np.concatenate([np.arange(bounds[g], bounds[g + 1]) for g in groups])
            # Without pre_buffer a column of a row group is read as it is decoded.
            with pq.ParquetFile(file, pre_buffer=False, buffer_size=1 << 20) as reader:
                at = 0
                for batch in reader.iter_batches(
                    _batch_rows(meta, columns), row_groups=groups.tolist(), columns=columns
                ):
                    here = numbers[at : at + batch.num_rows]
                    at += batch.num_rows
                    if rows is not None:
                        first, stop = np.searchsorted(rows, [here[0], here[-1] + 1])
                        wanted = rows[first:stop]
                        if len(wanted) < len(here):
                            batch = batch.take(pa.array(np.searchsorted(here, wanted)))
                            here = wanted
                    if len(here):
                        yield here, batch


def _batch_rows(meta: pq.FileMetaData, columns: Sequence[str] | None) -> int:
    """How many rows of these columns are about ``_BATCH_BYTES``."""
    size = 0
    for group in map(meta.row_group, range(meta.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if columns is None or column.path_in_schema.split(".")[0] in columns:
                size += column.total_uncompressed_size
    return max(16, min(_MOST_ROWS, _BATCH_BYTES * meta.num_rows // max(size, 1)))


class Parts:
    """A folder that a table is written to, as ``part-00000.parquet``, ...

    ``plain`` columns are unlike from row to row (texts, hashes): no dictionary is tried on them.
    """

    def __init__(
        self, folder: Path, schema: pa.Schema, compression: str = "zstd", plain: Sequence[str] = ()
    ) -> None:
        self._folder, self._schema = folder, schema
        small = [name for name in schema.names if name not in plain]
        # A path says which leaf of a nested column is meant: then the writer's own choice stays.
        nested = any(pa.types.is_nested(field.type) for field in schema)
        choices = {} if nested else {"use_dictionary": small, "write_statistics": small}
        self._choices = {"compression": compression, **choices}
        self._waiting: list[pa.Table] = []
        self._waiting_bytes = self._part_bytes = self._number = 0
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *error: object) -> None:
        if not error[0]:
            self._flush()
            if self._number == 0:  # a table without rows is still a table
                self._open().write_table(self._schema.empty_table())
        if self._writer is not None:
            self._writer.close()

    def write(self, table: pa.Table) -> None:
        self._waiting.append(table)
        self._waiting_bytes += table.nbytes
        if self._waiting_bytes >= _GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if not sum(table.num_rows for table in self._waiting):
            return
        if self._writer is not None and self._part_bytes >= _PART_BYTES:
            self._writer.close()
            self._writer = None
        writer = self._writer or self._open()
        writer.write_table(pa.concat_tables(self._waiting))
        self._part_bytes += self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0

    def _open(self) -> pq.ParquetWriter:
        file = self._folder / f"part-{self._number:05d}.parquet"
        self._writer = pq.ParquetWriter(file, self._schema, **self._choices)
        self._number, self._part_bytes = self._number + 1, 0
        return self._writer


def in_threads(function: Callable[[Given], Made], items: Iterable[Given]) -> Iterator[Made]:
    """``map`` in threads, in order; at most two items a thread are held."""
    threads = os.cpu_count() or 1
    running: collections.deque[Future[Made]] = collections.deque()
    with ThreadPoolExecutor(threads) as pool:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) >= 2 * threads:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
