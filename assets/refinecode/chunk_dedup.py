"""Chunks as units: windows of so many words; duplicated ones are cut out (paper 6.1).

A word is a run of bytes between ASCII white space. A chunk starts at the first byte of its first
word (the first one at the start of the file) and ends where the next one starts, so the chunks of
a file are the file. Of equal chunks the one in the best file stays, there the first; a file that
has lost some is ``changed``, one that has lost all is dropped. Cutting whole chunks leaves the
others' bounds where they were.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.documents import CHANGED, DOCUMENT_SCHEMA, DROPPED, KEPT, content_digest
from assets.refinecode.mapping import DOCUMENT_COLUMNS, ddl, write_judged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Batches = Iterator[pa.RecordBatch]
I64 = npt.NDArray[np.int64]
REASON = "duplicate_chunks"
#: Between the doc_id and the number of a chunk in the name of a unit.
MARK = "#"

_SPACE = np.zeros(256, np.bool_)
_SPACE[[9, 10, 11, 12, 13, 32]] = True


def chunk_bounds(text: npt.NDArray[np.uint8], words: int) -> I64:
    """Where the chunks of ``words`` words start, and the end of the text (one more than chunks).

    >>> chunk_bounds(np.frombuffer(b" a b  c d e", np.uint8), 2).tolist()
    [0, 6, 10, 11]
    """
    inside = ~_SPACE[text]
    starts = inside.copy()
    starts[1:] &= ~inside[:-1]
    return np.concatenate([[0], np.flatnonzero(starts)[words::words], [len(text)]])


def chunk_frame(frame: DataFrame, words: int) -> DataFrame:
    """One row a chunk: unit (``doc_id#number``), doc_id, path (its number), language, digest
    (SHA-256 but for white space at both ends), content."""
    columns = frame.select("doc_id", "language", "content")
    return columns.mapInArrow(
        _splitter(words),
        "unit string, doc_id string, path string, language string, digest string, content string",
    )


class Chunks(NamedTuple):
    """Chunks of some texts, in order: the text each is of, its number there, its digest (SHA-256
    but for white space at both ends) and its content (large_string)."""

    texts: I64
    numbers: I64
    digests: list[bytes]
    content: pa.LargeStringArray


def split_texts(texts: pa.Array, words: int) -> Chunks:
    """The chunks of all ``texts``; a text without words is one chunk."""
    from assets.refinecode.minhash import text_buffer

    text, ends = text_buffer(texts)
    bounds = [chunk_bounds(text[ends[i] : ends[i + 1]], words) + ends[i] for i in range(len(texts))]
    counts = np.array([len(found) - 1 for found in bounds], np.int64)
    # Chunks tile the texts: all starts in a row, and the last end, are their offsets.
    starts = np.concatenate([*(found[:-1] for found in bounds), ends[-1:]]).astype(np.int64)
    content = pa.LargeStringArray.from_buffers(
        len(starts) - 1, pa.py_buffer(starts), pa.py_buffer(text)
    )
    digests = [
        hashlib.sha256(text[a:b].tobytes().strip()).digest()
        for a, b in itertools.pairwise(starts.tolist())
    ]
    numbers = np.arange(len(digests)) - np.repeat(np.cumsum(counts) - counts, counts)
    return Chunks(np.repeat(np.arange(len(counts)), counts), numbers, digests, content)


def chunk_name(doc_id: str, number: int) -> str:
    """How a chunk is called; names of a file sort as its chunks do."""
    return f"{doc_id}{MARK}{number:08d}"


def _splitter(words: int) -> Callable[[Batches], Batches]:
    def split(batches: Batches) -> Batches:
        for batch in batches:
            chunks = split_texts(batch.column("content"), words)
            rows, numbers = pa.array(chunks.texts), chunks.numbers.tolist()
            ids = batch.column("doc_id").take(rows).cast(pa.string())
            names = map(chunk_name, ids.to_pylist(), numbers)
            yield pa.record_batch({
                "unit": pa.array(names, pa.string()),
                "doc_id": ids,
                "path": pa.array([f"{number:08d}" for number in numbers], pa.string()),
                "language": batch.column("language").take(rows).cast(pa.string()),
                "digest": pa.array([digest.hex() for digest in chunks.digests], pa.string()),
                "content": chunks.content.cast(pa.string()),
            })  # fmt: skip

    return split


def cuts(duplicates: DataFrame) -> DataFrame:
    """Rows unit, survivor, jaccard of duplicated chunks as one row a file: doc_id, chunks (their
    numbers), survivor (the file that keeps the first of them) and jaccard (the least)."""
    from pyspark.sql import functions as F

    parts = duplicates.select(
        F.substring_index("unit", MARK, 1).alias("doc_id"),
        F.substring_index("unit", MARK, -1).cast("int").alias("chunk"),
        F.substring_index("survivor", MARK, 1).alias("survivor"),
        "jaccard",
    )
    return parts.groupBy("doc_id").agg(
        F.sort_array(F.collect_list("chunk")).alias("chunks"),
        F.min_by("survivor", "chunk").alias("survivor"),
        F.min("jaccard").alias("jaccard"),
    )


def cut_documents(
    spark: SparkSession,
    frame: DataFrame,
    drops: DataFrame | None,
    cut: DataFrame,
    words: int,
    out: Path,
    stage: str,
) -> None:
    """Write ``out/documents`` and ``out/decisions``: without ``drops`` (doc_id, reason, detail) and
    without the chunks of ``cut``. A file whose rest is white space is dropped too."""
    from pyspark.sql import functions as F

    cut = cut.withColumnsRenamed({"survivor": "_survivor", "jaccard": "_jaccard",
                                  "chunks": "_chunks"})  # fmt: skip
    told = frame.join(cut, "doc_id", "left")
    if drops is None:
        told = told.withColumns({"_reason": F.lit(None).cast("string"), "_detail": F.lit("")})
    else:
        named = drops.withColumnsRenamed({"reason": "_reason", "detail": "_detail"})
        told = told.join(named, "doc_id", "left")
    verdicts = "_verdict string, _reason string, _detail string, _size_bytes bigint"
    judged = told.select(
        *DOCUMENT_COLUMNS, "_reason", "_detail", "_chunks", "_survivor", "_jaccard"
    ).mapInArrow(_cutter(words), f"{ddl(DOCUMENT_SCHEMA)}, {verdicts}")
    write_judged(spark, judged, out, stage)


def _cutter(words: int) -> Callable[[Batches], Batches]:
    def cut_batches(batches: Batches) -> Batches:
        for batch in batches:
            columns = {name: batch.column(name) for name in batch.schema.names}
            chunks = columns.pop("_chunks").to_pylist()
            survivors = columns.pop("_survivor").to_pylist()
            alike = columns.pop("_jaccard").to_pylist()
            reasons, details = columns["_reason"].to_pylist(), columns["_detail"].to_pylist()
            texts, digests = columns["content"].to_pylist(), columns["content_sha256"].to_pylist()
            sizes = columns["size_bytes"].to_pylist()
            verdicts = [KEPT] * len(texts)
            before = columns["size_bytes"]
            for i, gone in enumerate(chunks):
                if reasons[i] is not None:
                    verdicts[i], texts[i] = DROPPED, None
                    continue
                reasons[i], details[i] = "", ""
                if gone is None:
                    continue
                cut = Cut(gone, survivors[i], alike[i])
                rest, details[i] = cut_text(texts[i], cut, words)
                verdicts[i], reasons[i] = CHANGED, REASON
                if rest is None:
                    verdicts[i], texts[i] = DROPPED, None
                    continue
                texts[i], digests[i] = rest, content_digest(rest)
                sizes[i] = len(rest.encode("utf-8", "surrogatepass"))
            columns |= {
                "content": pa.array(texts, pa.string()),
                "content_sha256": pa.array(digests, pa.string()),
                "size_bytes": pa.array(sizes, pa.int64()),
                "_verdict": pa.array(verdicts, pa.string()),
                "_reason": pa.array(reasons, pa.string()),
                "_detail": pa.array(details, pa.string()),
                "_size_bytes": before,
            }
            order = [*DOCUMENT_COLUMNS, "_verdict", "_reason", "_detail", "_size_bytes"]
            yield pa.RecordBatch.from_arrays([columns[name] for name in order], names=order)

    return cut_batches


class Cut(NamedTuple):
    """Chunks of one file that go, the file that keeps the first of them, the least similarity."""

    chunks: Sequence[int]
    survivor: str
    jaccard: float


def cut_text(text: str, cut: Cut, words: int) -> tuple[str | None, str]:
    """(the rest of a text, None if that is white space; the detail of the decision)."""
    rest, count = without_chunks(text, set(cut.chunks), words)
    detail = (
        f"duplicate_of={cut.survivor} jaccard={cut.jaccard:.4f} chunks={len(cut.chunks)}/{count}"
    )
    return (rest if rest.strip() else None), detail


def without_chunks(text: str, gone: set[int], words: int) -> tuple[str, int]:
    """(the text without the chunks of these numbers, how many chunks it had)."""
    data = text.encode("utf-8", "surrogatepass")
    bounds = chunk_bounds(np.frombuffer(data, np.uint8), words).tolist()
    parts = [data[a:b] for i, (a, b) in enumerate(itertools.pairwise(bounds))
             if i not in gone]  # fmt: skip
    return b"".join(parts).decode("utf-8", "surrogatepass"), len(bounds) - 1
