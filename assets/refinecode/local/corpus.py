"""The documents of a run: their facts in memory, their texts in a file without a name.

Documents are read once. Their texts are hashed on the way, once for all that are equal, and laid
down uncompressed, so that later passes have them in any order for the price of a copy.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.documents import DOCUMENT_SCHEMA
from assets.refinecode.local.tables import in_threads
from assets.refinecode.minhash import SketchParams, band_hashes, text_buffer

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]

#: What is held of a document: what decides, and what decisions say.
FACTS = ("doc_id", "content_sha256", "repository", "path", "language", "stars",
         "popularity_percentile", "commit_time", "size_bytes")  # fmt: skip
FACT_SCHEMA = pa.schema([DOCUMENT_SCHEMA.field(name) for name in FACTS])
#: Text that is read at a time.
_READ_BYTES = 2 << 20


class TextStore:
    """Texts, one after the other in a file in ``folder`` that is gone when it is closed."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._end = 0

    def __enter__(self) -> TextStore:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, texts: pa.Array | pa.ChunkedArray) -> tuple[I64, I64]:
        """(where each text starts, its bytes)"""
        starts, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
            text, ends = text_buffer(chunk)
            self._file.write(text[ends[0] : ends[-1]].data)
            starts.append(self._end + ends[:-1] - ends[0])
            sizes.append(np.diff(ends))
            self._end += int(ends[-1] - ends[0])
        return np.concatenate(starts), np.concatenate(sizes)

    def read(self, starts: I64, sizes: I64) -> Iterator[tuple[slice, pa.LargeStringArray]]:
        """(which of them, their texts) in this order, a few megabytes at a time."""
        self._file.flush()
        ends = np.cumsum(sizes)
        row = 0
        while row < len(sizes):
            before = int(ends[row - 1]) if row else 0
            stop = max(row + 1, int(np.searchsorted(ends, before + _READ_BYTES, side="right")))
            own = slice(row, stop)
            # Neighbours in the file are read at once.
            breaks = starts[own][1:] != starts[own][:-1] + sizes[own][:-1]
            first = np.concatenate([[0], np.flatnonzero(breaks) + 1])
            pieces = zip(starts[own][first].tolist(),
                         np.add.reduceat(sizes[own], first).tolist(), strict=True)  # fmt: skip
            data = b"".join([os.pread(self._file.fileno(), size, at) for at, size in pieces])
            offsets = np.concatenate([[0], ends[own] - before]).astype(np.int64)
            yield (
                own,
                pa.LargeStringArray.from_buffers(
                    stop - row, pa.py_buffer(offsets), pa.py_buffer(data)
                ),
            )
            row = stop


class Corpus:
    """``facts`` has a row a document, whose text is ``sizes[row]`` bytes from ``starts[row]`` on in
    ``store``; ``left`` (bool [rows]) says which were not dropped, ``changed`` which have another
    text than when they were read. Where ``hashes`` were made while
    reading, those of a row are ``hashes[classes[row]]``: equal texts share theirs."""

    def __init__(self, store: TextStore, facts: pa.Table, starts: I64, sizes: I64) -> None:
        self.store, self.facts, self.starts, self.sizes = store, facts, starts, sizes
        self.left = np.ones(facts.num_rows, np.bool_)
        self.changed = np.zeros(facts.num_rows, np.bool_)
        self.classes = np.zeros(0, np.int64)
        self.hashes: U64 | None = None

    def rows(self) -> I64:
        """Numbers of the documents that are left."""
        return np.flatnonzero(self.left)

    def texts(self, rows: I64) -> Iterator[tuple[I64, pa.LargeStringArray]]:
        """(some of ``rows``, their texts) in this order."""
        for part, texts in self.store.read(self.starts[rows], self.sizes[rows]):
            yield rows[part], texts

    def change(self, rows: I64, texts: pa.Array, digests: list[str]) -> None:
        """These are the texts of these rows from now on; ``digests`` are their SHA-256."""
        self.starts[rows], self.sizes[rows] = self.store.add(texts)
        self.changed[rows] = True
        changes = {"content_sha256": digests, "size_bytes": self.sizes[rows].tolist()}
        for name, values in changes.items():
            column = self.facts[name].to_pylist()
            for row, value in zip(rows.tolist(), values, strict=True):
                column[row] = value
            place = self.facts.schema.get_field_index(name)
            field = self.facts.schema.field(place)
            self.facts = self.facts.set_column(place, field, pa.array(column, field.type))


def read_corpus(
    documents: Iterable[pa.Table], store: TextStore, sketch: SketchParams | None
) -> Corpus:
    """Read tables with the columns ``FACTS`` and ``content``; with ``sketch`` their band hashes are
    made on the way."""
    facts = [FACT_SCHEMA.empty_table()]
    places: list[tuple[I64, I64]] = []
    classes = [np.zeros(0, np.int64)]
    known: dict[str, int] = {}

    def fresh_texts() -> Iterator[pa.Array | pa.ChunkedArray]:
        """The texts, or if they are sketched those of a content not seen before."""
        for table in documents:
            facts.append(table.select(FACTS))
            texts = table["content"]
            places.append(store.add(texts))
            if sketch is None:
                continue
            count = len(known)
            digests = table["content_sha256"].to_pylist()
            own = np.array([known.setdefault(digest, len(known)) for digest in digests], np.int64)
            classes.append(own)
            numbers, first = np.unique(own, return_index=True)
            fresh = first[numbers >= count]  # numbers are given in the order of the rows
            yield texts if len(fresh) == len(own) else texts.take(pa.array(fresh))

    def sketched(texts: pa.Array | pa.ChunkedArray) -> U64:
        assert sketch is not None
        return band_hashes(texts, sketch)

    hashes = list(in_threads(sketched, fresh_texts()))
    starts, sizes = (np.concatenate([np.zeros(0, np.int64), *(place[i] for place in places)])
                     for i in (0, 1))  # fmt: skip
    corpus = Corpus(store, pa.concat_tables(facts).combine_chunks(), starts, sizes)
    if sketch is not None:
        corpus.classes = np.concatenate(classes)
        corpus.hashes = np.concatenate([np.empty((0, sketch.bands), np.uint64), *hashes])
    return corpus
