"""What is compared at each level, as arrays: files, repositories, chunks (paper 6.1).

``refinecode.units`` and its neighbours say the same for Spark.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from assets.recipe import Dedup
from assets.refinecode.band_index import salts, sketch_params
from assets.refinecode.chunk_dedup import split_texts
from assets.refinecode.keep import keep_ranks
from assets.refinecode.local.corpus import Corpus
from assets.refinecode.local.tables import in_threads
from assets.refinecode.minhash import Sketcher, band_hashes
from assets.refinecode.units import Level

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Units:
    """Unit i is made of the pieces ``offsets[i]`` to ``offsets[i + 1]``. Piece p is a part of the
    document in row ``docs[p]``, all of it but for chunks: ``sizes[p]`` bytes from ``starts[p]`` on.

    Decisions call unit i ``names[named[i]]``. ``ranks`` are places in the keep rule. Where band
    hashes were asked for, those of unit i are ``keys[keyed[i]]``; otherwise ``equal`` is the same
    number for equal contents that may meet.
    """

    docs: I64
    starts: I64
    sizes: I64
    offsets: I64
    names: pa.Array | pa.ChunkedArray
    named: I64
    ranks: I64
    equal: I64
    keys: U64
    keyed: I64

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def name(self, units: I64) -> list[str]:
        """What decisions call these units."""
        found: list[str] = self.names.take(pa.array(self.named[units])).to_pylist()
        return found

    def pieces(self, units: I64) -> I64:
        """The pieces of these units, unit after unit."""
        sizes = np.diff(self.offsets)[units]
        first = np.repeat(self.offsets[units] - (np.cumsum(sizes) - sizes), sizes)
        return first + np.arange(len(first))


def make_units(corpus: Corpus, params: Dedup, level: Level, sketch: bool) -> Units:
    """The units of what is left of ``corpus``, with their band hashes if ``sketch``, else with the
    numbers of their contents."""
    make = {"file": file_units, "repository": _repository_units, "chunk": _chunk_units}[level]
    return make(corpus, params, sketch)


def file_units(corpus: Corpus, params: Dedup, sketch: bool) -> Units:
    """Each document that is left, in the order of the rows."""
    rows, facts, language = corpus.rows(), corpus.facts, corpus.facts["language"]
    none, keys, keyed = np.zeros(0, np.int64), np.empty((len(rows), 0), np.uint64), None
    if sketch and corpus.hashes is not None:
        keys, keyed = corpus.hashes, corpus.classes[rows]
    elif sketch:
        settings = sketch_params(params)
        made = in_threads(lambda part: band_hashes(part[1], settings), corpus.texts(rows))
        keys = np.concatenate([np.empty((0, params.bands), np.uint64), *made])
    return Units(
        docs=rows, starts=corpus.starts[rows], sizes=corpus.sizes[rows],
        offsets=np.arange(len(rows) + 1), names=facts["doc_id"], named=rows,
        ranks=keep_ranks(facts)[rows],
        equal=none if sketch else _numbered(facts["content_sha256"], language, params)[rows],
        **_apart(keys, keyed, language.take(pa.array(rows)), params),
    )  # fmt: skip


def _repository_units(corpus: Corpus, params: Dedup, sketch: bool) -> Units:
    """The documents of each repository in the order of their paths (with ``across: language``, of
    each repository and language)."""
    facts = corpus.facts.take(pa.array(corpus.rows()))
    name = facts["repository"]
    if params.across == "language":
        name = pc.binary_join_element_wise(name, facts["language"], ":")
    facts = facts.append_column("unit", name).append_column("row", pa.array(corpus.rows()))
    facts = facts.sort_by([(key, "ascending") for key in ("unit", "path", "doc_id")])
    facts = facts.combine_chunks()
    _, starts = np.unique(_codes(facts["unit"]), return_index=True)
    starts = np.sort(starts)
    offsets = np.append(starts, facts.num_rows)
    digests = facts["content_sha256"].to_pylist()
    bounds = zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    whole = [hashlib.sha256(",".join(digests[a:b]).encode()).hexdigest() for a, b in bounds]
    first = facts.take(pa.array(starts))
    best = pa.table({
        "stars": _largest(facts["stars"], starts),
        "popularity_percentile": _largest(facts["popularity_percentile"], starts),
        "commit_time": _largest(facts["commit_time"], starts),
        "doc_id": _smallest(facts["doc_id"], starts),
    })  # fmt: skip
    docs = facts["row"].to_numpy()
    none, keys = np.zeros(0, np.int64), np.empty((len(starts), 0), np.uint64)
    if sketch:
        sketcher = Sketcher(sketch_params(params))
        unit_of, done, made = np.repeat(np.arange(len(starts)), np.diff(offsets)), 0, []
        for rows, texts in corpus.texts(docs):
            made.append(sketcher.add(texts, unit_of[done : done + len(rows)])[1])
            done += len(rows)
        keys = np.concatenate([*made, sketcher.flush()[1]])
    return Units(
        docs=docs, starts=corpus.starts[docs], sizes=corpus.sizes[docs], offsets=offsets,
        names=first["unit"], named=np.arange(len(starts)), ranks=keep_ranks(best),
        equal=none if sketch else _numbered(pa.array(whole, pa.string()), first["language"],
                                            params),
        **_apart(keys, None, first["language"], params),
    )  # fmt: skip


def _chunk_units(corpus: Corpus, params: Dedup, sketch: bool) -> Units:
    """The chunks of each document that is left, in order."""
    settings = sketch_params(params)

    def split(part: tuple[I64, pa.Array]) -> tuple[I64, I64, list[bytes], U64]:
        rows, texts = part
        chunks = split_texts(texts, params.chunk_tokens)
        keys = np.empty((len(chunks.numbers), 0), np.uint64)
        if sketch:
            keys = band_hashes(chunks.content, settings)
        sizes = pc.binary_length(chunks.content).to_numpy()
        return rows[chunks.texts], sizes, chunks.digests, keys

    docs, sizes = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    keys = [np.empty((0, params.bands if sketch else 0), np.uint64)]
    known: dict[bytes, int] = {}
    equal: list[int] = []
    for rows, bytes_, digests, found in in_threads(split, corpus.texts(corpus.rows())):
        docs.append(rows)
        sizes.append(bytes_)
        keys.append(found)
        equal += [known.setdefault(digest, len(known)) for digest in digests]
    doc, size = np.concatenate(docs), np.concatenate(sizes)
    place = np.arange(len(doc))
    first = np.searchsorted(doc, doc)  # the first chunk of the same document
    before = np.cumsum(size) - size
    ranks = np.empty(len(doc), np.int64)
    ranks[np.lexsort((place, keep_ranks(corpus.facts)[doc]))] = place
    language = corpus.facts["language"].take(pa.array(doc))
    return Units(
        docs=doc, starts=corpus.starts[doc] + before - before[first], sizes=size,
        offsets=np.arange(len(doc) + 1), names=corpus.facts["doc_id"], named=doc, ranks=ranks,
        equal=_numbered(pa.array(equal, pa.int64()), language, params),
        **_apart(np.concatenate(keys), None, language, params),
    )  # fmt: skip


def _codes(column: pa.Array | pa.ChunkedArray) -> I64:
    """A number for each value, the same for equal ones."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.dictionary_encode("encode").indices.to_numpy().astype(np.int64)


def _numbered(content: pa.Array, language: pa.Array, params: Dedup) -> I64:
    codes = _codes(content)
    if params.across == "language":
        languages = _codes(language)
        codes = codes * (languages.max(initial=0) + 1) + languages
    return codes


def _apart(keys: U64, keyed: I64 | None, language: pa.Array, params: Dedup) -> dict[str, Any]:
    """Band hashes of units in these languages, ``keys[keyed]`` or ``keys``; with ``across:
    language`` those of one language never are those of another."""
    if params.across == "language":
        keys, keyed = (keys if keyed is None else keys[keyed]) ^ salts(language)[:, None], None
    return {"keys": keys, "keyed": np.arange(len(keys)) if keyed is None else keyed}


def _largest(column: pa.ChunkedArray, starts: I64) -> pa.Array:
    """The largest value of each group of rows, null where all are null."""
    return _first(column, "descending", starts)


def _smallest(column: pa.ChunkedArray, starts: I64) -> pa.Array:
    return _first(column, "ascending", starts)


def _first(column: pa.ChunkedArray, order: str, starts: I64) -> pa.Array:
    """The value of each group that comes first in this order; nulls come last."""
    values = column.combine_chunks()
    if not len(starts):
        return values
    in_order = pc.sort_indices(values, sort_keys=[("", order)]).to_numpy()
    places = np.empty(len(in_order), np.int64)
    places[in_order] = np.arange(len(in_order))
    return values.take(pa.array(in_order[np.minimum.reduceat(places, starts)]))
