"""Bits per byte on held-out documents, beside what general compressors need for the same files.

The documents come from repositories that were kept out of training. xz and gzip, at their best
setting, see the same bytes twice: joined in doc_id order (they may learn across files) and file by
file. A model below the joined xz has learnt more about code than a compressor can.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks.base import (
    Benchmark,
    Context,
    Result,
    Score,
    UnavailableError,
    remembered,
)
from evaluation.metrics import Interval, bootstrap_ratio
from evaluation.parallel import each_batch
from evaluation.progress import track
from evaluation.records import Row

_COLUMNS = ("doc_id", "content", "language")
_ALL = "all"
_MAX_CONTEXT_TOKENS = 2048  # longer contexts would cost memory, not change the ranking
_LOGITS_FLOATS = 2**27
_GROUP = 16  # documents scored by one call; fixed, so that results do not depend on cores


@dataclass(frozen=True)
class Document:
    """One held-out file."""

    doc_id: str
    content: str
    language: str


class HeldOut(Benchmark):
    """See the module."""

    name = "heldout"
    metric = "bits_per_byte"
    needs_weights = True
    description = "bits per byte of held-out documents, with xz and gzip on the same files"

    def missing(self, heldout: Path | None = None) -> str | None:
        if heldout is None:
            return "it needs a folder of parquet documents (--heldout DIR)"
        if not list(Path(heldout).rglob("*.parquet")):
            return f"no *.parquet below {heldout}; expected columns {', '.join(_COLUMNS)}"
        return None

    def evaluate(self, context: Context) -> Result:
        lacking = self.missing(context.heldout)
        if lacking or context.heldout is None:
            raise UnavailableError(f"{self.name}: {lacking}")
        from training.bits_per_byte import DocumentBits, document_bits

        documents = read_documents(context.heldout)[: context.limit]
        loaded = context.loaded
        context_length = min(loaded.context_length, _MAX_CONTEXT_TOKENS)
        sizes = [len(document.content.encode()) for document in documents]
        facts = "\0".join((loaded.digest, str(context_length), *(d.content for d in documents)))
        work = hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()
        keys: list[Row] = [
            {
                "benchmark": self.name,
                "chat": context.chat,
                "task_id": document.doc_id,
                "sample": 0,
                "work": work,
            }
            for document in documents
        ]

        def compute() -> list[Row]:
            batch_size = context.batch_size or _batch_size(loaded.model, context_length)

            def cost(texts: list[str]) -> list[DocumentBits]:
                return document_bits(
                    loaded.model, loaded.tokenizer, texts, context_length, batch_size=batch_size
                )

            texts = [document.content for document in documents]
            groups = [texts[place : place + _GROUP] for place in range(0, len(texts), _GROUP)]
            done = track(each_batch(loaded, groups, cost), len(groups), "held-out documents")
            costs = [item for group in done for item in group]
            return [
                {"language": document.language, "bits": float(cost.bits), "bytes": size}
                for document, cost, size in zip(documents, costs, sizes, strict=True)
            ]

        rows = remembered(context.out, keys, compute)
        bits = [float(row["bits"]) for row in rows]
        table = _language_table(documents, bits, sizes)
        whole = table[0]
        intervals = {
            "bits_per_byte": bootstrap_ratio(bits, sizes, seed=context.seed),
            **compressor_intervals(documents, sizes, seed=context.seed),
        }
        scores = [
            Score(
                self.name,
                metric,
                float(whole[metric]),
                *intervals.get(metric, Interval(float(whole[metric]), float(whole[metric]))),
                len(documents),
                context.model,
                context.chat,
                "",
            )
            for metric in _METRICS
        ]
        return Result(rows, scores, {"heldout_languages": table})


_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "xz": lambda data: lzma.compress(data, preset=9),
    "gzip": lambda data: gzip.compress(data, compresslevel=9, mtime=0),
}
_METRICS = (
    "bits_per_byte",
    *(f"{name}_{way}_bits_per_byte" for name in _COMPRESSORS for way in ("joined", "by_file")),
)


def read_documents(folder: Path) -> list[Document]:
    """All documents below a folder of parquet files, sorted by doc_id; empty ones are left out.

    Raises ValueError naming the file when a column is missing or a doc_id appears twice.
    """
    import pyarrow.parquet as parquet

    documents: dict[str, Document] = {}
    for path in sorted(Path(folder).rglob("*.parquet")):
        names = set(parquet.read_schema(path).names)
        if absent := [name for name in _COLUMNS if name not in names]:
            raise ValueError(f"{path}: expected columns {_COLUMNS}, missing {absent}")
        table = parquet.ParquetFile(path).read(columns=list(_COLUMNS))
        for row in table.to_pylist():
            if row["doc_id"] in documents:
                raise ValueError(f"{path}: doc_id {row['doc_id']} appears twice below {folder}")
            if row["content"]:
                language = row["language"] or "unknown"
                documents[row["doc_id"]] = Document(row["doc_id"], row["content"], language)
    if not documents:
        raise ValueError(f"{folder}: no document with content")
    return [documents[doc_id] for doc_id in sorted(documents)]


def compressor_bits_per_byte(documents: Sequence[Document]) -> dict[str, float]:
    """Bits per byte of each compressor over the documents, joined and file by file."""
    contents = [document.content.encode() for document in documents]
    total = sum(len(content) for content in contents)
    found: dict[str, float] = {}
    for name, compress in _COMPRESSORS.items():
        joined = len(compress(b"".join(contents)))
        by_file = sum(len(compress(content)) for content in contents)
        found[f"{name}_joined_bits_per_byte"] = 8 * joined / total
        found[f"{name}_by_file_bits_per_byte"] = 8 * by_file / total
    return found


def compressor_intervals(
    documents: Sequence[Document], sizes: Sequence[int], *, seed: int
) -> dict[str, Interval]:
    """Bootstrap intervals of the file-by-file figures (joined ones are one number, not a mean)."""
    return {
        f"{name}_by_file_bits_per_byte": bootstrap_ratio(
            [8.0 * len(compress(document.content.encode())) for document in documents],
            sizes,
            seed=seed,
        )
        for name, compress in _COMPRESSORS.items()
    }


def _batch_size(model: Any, context_length: int) -> int:
    """Windows scored together: the logits of a batch stay below half a GiB."""
    return max(1, min(8, _LOGITS_FLOATS // (context_length * int(model.config.vocab_size))))


def _language_table(
    documents: Sequence[Document], bits: Sequence[float], sizes: Sequence[int]
) -> list[Row]:
    by_language: dict[str, list[int]] = {_ALL: list(range(len(documents)))}
    for place, document in enumerate(documents):
        by_language.setdefault(document.language, []).append(place)
    table: list[Row] = []
    order = sorted(by_language, key=lambda name: (-sum(sizes[i] for i in by_language[name]), name))
    for language in [_ALL, *(name for name in order if name != _ALL)]:
        places = by_language[language]
        total = sum(sizes[place] for place in places)
        table.append(
            {
                "language": language,
                "documents": len(places),
                "bytes": total,
                "bits_per_byte": sum(bits[place] for place in places) / total,
                **compressor_bits_per_byte([documents[place] for place in places]),
            }
        )
    return table


BENCHMARKS = (HeldOut(),)
