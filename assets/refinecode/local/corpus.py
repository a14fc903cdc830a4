"""The documents of a run: their facts in memory, their texts wherever they lie.

A text is hashed when its document is first seen, once for all documents that are equal to it.
Later passes ask for the texts of some documents, in the order in which they lie; those that must
meet in another order go through a file (:class:`Spill`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.documents import DOCUMENT_SCHEMA
from assets.refinecode.chunk_dedup import Cut, cut_text
from assets.refinecode.local.tables import Tables, in_threads
from assets.refinecode.minhash import SketchParams, band_hashes, text_buffer

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

#: What is held of a document: what decides, and what decisions say.
FACTS = ("doc_id", "content_sha256", "repository", "path", "language", "stars",
         "popularity_percentile", "commit_time", "size_bytes")  # fmt: skip
_SPILL_BYTES = 4 << 20


class Texts(Protocol):
    """Texts of documents that are known by their row number."""

    def texts(self, rows: I64) -> Iterator[tuple[I64, pa.Array]]:
        """(row numbers, their texts) of ascending ``rows``, some at a time."""


class Source(Texts, Protocol):
    """Where documents come from; a row number is a place in the order of ``documents``."""

    def documents(self) -> Iterator[pa.Table]:
        """All rows with the columns ``FACTS`` and ``content``, some at a time."""


class Documents:
    """A folder of parquet files in DOCUMENT_SCHEMA."""

    def __init__(self, folder: Path) -> None:
        self._tables = Tables(sorted(folder.glob("*.parquet")))

    def documents(self) -> Iterator[pa.Table]:
        for _, batch in self._tables.batches([*FACTS, "content"]):
            yield pa.Table.from_batches([batch])

    def texts(self, rows: I64) -> Iterator[tuple[I64, pa.Array]]:
        for numbers, batch in self._tables.batches(["content"], rows):
            yield numbers, batch.column(0)

    def whole(self, rows: I64) -> Iterator[tuple[I64, pa.Table]]:
        """(row numbers, the rows with all columns) of ascending ``rows``, some at a time."""
        for numbers, batch in self._tables.batches(DOCUMENT_SCHEMA.names, rows):
            yield numbers, pa.Table.from_batches([batch])


class Corpus:
    """Facts of all documents, which of them are left, and how to get at their texts.

    ``facts`` has a row a document; ``left`` (bool [rows]) says which were not dropped; ``hashes``
    are the band hashes of all if they were made while reading.
    """

    def __init__(self, source: Texts, facts: pa.Table, hashes: BandHashes | None = None) -> None:
        self.facts, self.hashes = facts, hashes
        self.left = np.ones(facts.num_rows, np.bool_)
        self._source = source
        self._cuts: list[tuple[dict[int, Cut], int]] = []

    def rows(self) -> I64:
        """Row numbers of the documents that are left."""
        return np.flatnonzero(self.left)

    def texts(self, rows: I64) -> Iterator[tuple[I64, pa.Array]]:
        """(row numbers, their texts) of ascending ``rows``, without the chunks cut so far."""
        for numbers, texts in self._source.texts(rows):
            yield numbers, self.changed(numbers, texts)

    def changed(self, numbers: I64, texts: pa.Array) -> pa.Array:
        """These texts of these rows without the chunks cut so far."""
        for cuts, words in self._cuts:
            found = [i for i, row in enumerate(numbers.tolist()) if row in cuts]
            if found:
                values = texts.to_pylist()
                for i in found:
                    values[i] = cut_text(values[i], cuts[int(numbers[i])], words)[0] or ""
                texts = pa.array(values, texts.type)
        return texts

    def cut(self, cuts: dict[int, Cut], words: int, digests: Mapping[int, tuple[str, int]]) -> None:
        """Leave these chunks (of ``words`` words) out of the texts of these rows; ``digests`` has
        the SHA-256 and the size of what then is the text."""
        self._cuts.append((cuts, words))
        columns = [self.facts[name].to_pylist() for name in ("content_sha256", "size_bytes")]
        for row, values in digests.items():
            for column, value in zip(columns, values, strict=True):
                column[row] = value
        for name, column in zip(("content_sha256", "size_bytes"), columns, strict=True):
            place = self.facts.schema.get_field_index(name)
            field = self.facts.schema.field(place)
            self.facts = self.facts.set_column(place, field, pa.array(column, field.type))


class BandHashes:
    """Band hashes of all rows; rows of equal texts share theirs."""

    def __init__(self, classes: I64, hashes: U64) -> None:
        self._classes, self._hashes = classes, hashes

    def of(self, rows: I64) -> U64:
        """uint64 [rows, bands]"""
        return self._hashes[self._classes[rows]]


def read_corpus(source: Source, sketch: SketchParams | None) -> Corpus:
    """Read all documents once; ``sketch`` makes their band hashes on the way."""
    facts: list[pa.Table] = []
    classes: list[I64] = []
    known: dict[str, int] = {}

    def fresh_texts() -> Iterator[pa.Array | pa.ChunkedArray]:
        for table in source.documents():
            facts.append(table.select(FACTS))
            count = len(known)
            digests = table["content_sha256"].to_pylist()
            own = np.array([known.setdefault(digest, len(known)) for digest in digests], np.int64)
            classes.append(own)
            if sketch is not None:
                _, first = np.unique(own, return_index=True)
                fresh = np.sort(first[own[first] >= count])
                content = table["content"]
                yield content if len(fresh) == len(own) else content.take(pa.array(fresh))

    def sketched(texts: pa.Array | pa.ChunkedArray) -> U64:
        assert sketch is not None
        return band_hashes(texts, sketch)

    hashes = list(in_threads(sketched, fresh_texts()))
    empty = pa.schema([DOCUMENT_SCHEMA.field(name) for name in FACTS]).empty_table()
    corpus = Corpus(source, pa.concat_tables([empty, *facts]).combine_chunks())
    if sketch is not None:
        none = np.empty((0, sketch.bands), np.uint64)
        numbers = np.concatenate([np.zeros(0, np.int64), *classes])
        corpus.hashes = BandHashes(numbers, np.concatenate([none, *hashes]))
    return corpus


class Joined:
    """Texts of corpora, the rows of one after those of the other."""

    def __init__(self, parts: Sequence[Corpus]) -> None:
        self._parts = parts
        self._bounds = np.cumsum([0, *(part.facts.num_rows for part in parts)])

    def texts(self, rows: I64) -> Iterator[tuple[I64, pa.Array]]:
        places = np.searchsorted(rows, self._bounds)
        for part, start, first, stop in zip(
            self._parts, self._bounds, places, places[1:], strict=False
        ):
            for numbers, texts in part.texts(rows[first:stop] - start):
                yield numbers + start, texts


class Spill:
    """Texts under numbers, written in one order and read in another; they lie in a file."""

    def __init__(self, folder: Path, count: int) -> None:
        self._file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._starts = np.zeros(count, np.int64)
        self._sizes = np.zeros(count, np.int64)
        self._end = 0

    def __enter__(self) -> Spill:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, numbers: I64, texts: pa.Array) -> None:
        text, ends = text_buffer(texts)
        self._starts[numbers] = self._end + ends[:-1] - ends[0]
        self._sizes[numbers] = np.diff(ends)
        self._file.write(text[ends[0] : ends[-1]].tobytes())
        self._end += int(ends[-1] - ends[0])

    def batches(self, numbers: I64) -> Iterator[tuple[I64, pa.LargeStringArray]]:
        """(some of ``numbers``, their texts) in this order, a few megabytes at a time."""
        self._file.flush()
        ends = np.cumsum(self._sizes[numbers])
        row = 0
        while row < len(numbers):
            before = ends[row - 1] if row else 0
            stop = max(row + 1, int(np.searchsorted(ends, before + _SPILL_BYTES, side="right")))
            own = numbers[row:stop]
            places = zip(self._sizes[own].tolist(), self._starts[own].tolist(), strict=True)
            data = b"".join(os.pread(self._file.fileno(), size, at) for size, at in places)
            offsets = np.concatenate([[0], ends[row:stop] - before]).astype(np.int64)
            texts = pa.LargeStringArray.from_buffers(
                len(own), pa.py_buffer(offsets), pa.py_buffer(data)
            )
            yield own, texts
            row = stop
