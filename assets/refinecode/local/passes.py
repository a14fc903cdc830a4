"""What goes at each level, and what the decisions say of it (paper 2.1.1 and 6.1).

Equal units are found by their digests; similar ones by their band hashes, connected components and
the comparison inside each component that Spark's tasks make, too.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from assets.documents import CHANGED, DECISION_SCHEMA, DROPPED, KEPT, content_digest
from assets.recipe import Dedup
from assets.refinecode import chunk_dedup
from assets.refinecode.band_index import TABLE, check_settings, sketch_params
from assets.refinecode.chunk_dedup import Cut, cut_text
from assets.refinecode.clusters import Forest, unpack_keys
from assets.refinecode.compare import Gone, compare_members
from assets.refinecode.keep import duplicate_detail
from assets.refinecode.local.corpus import FACT_SCHEMA, FACTS, Corpus
from assets.refinecode.local.tables import Tables
from assets.refinecode.local.units import Units, file_units, make_units
from assets.refinecode.minhash import components
from assets.refinecode.units import Level

I64 = npt.NDArray[np.int64]
U64 = npt.NDArray[np.uint64]
Bool = npt.NDArray[np.bool_]

#: What is held of a document that is not kept as it is.
_JUDGED = pa.schema(
    [("row", pa.int64()), *(DECISION_SCHEMA.field(n) for n in ("verdict", "reason", "detail"))]
)
#: Decisions that are made, and told, at a time.
_TOLD_ROWS = 1 << 14


def equal_units(units: Units) -> Iterator[Gone]:
    """(unit, survivor, 1.0) of every unit that has the content of a better one."""
    order = np.argsort(units.ranks)
    _, first, group = np.unique(units.equal[order], return_index=True, return_inverse=True)
    survivors = order[first[group]]
    gone = order != survivors
    for unit, survivor in zip(order[gone].tolist(), survivors[gone].tolist(), strict=True):
        yield unit, survivor, 1.0


def similar_units(
    corpus: Corpus, units: Units, params: Dedup, earlier: Earlier | None = None
) -> Iterator[Gone]:
    """(unit, survivor, similarity) of every unit that is like a better one; units that were there
    ``earlier`` are better than all others and never go."""
    forest = Forest()
    for band in range(units.keys.shape[1]):  # the number of a band is part of its hashes
        keys = units.keys[units.keyed, band]
        order = np.argsort(keys, kind="stable")
        forest.add_stars(keys[order], order)
    nodes, labels = components(*forest.edges())
    fresh = np.ones(len(units), np.bool_)
    if earlier is not None:
        fresh[earlier.first :] = False
        earlier.fetch(corpus, units, nodes[~fresh[nodes]])
    best_first = np.lexsort((units.ranks[nodes], fresh[nodes], labels))
    component = np.zeros(len(units), np.int64)
    component[nodes] = labels
    members = nodes[best_first]
    pieces = units.pieces(members)
    unit_of = np.repeat(members, np.diff(units.offsets)[members])

    def batches() -> Iterator[pa.RecordBatch]:
        for part, texts in corpus.store.read(units.starts[pieces], units.sizes[pieces]):
            unit = unit_of[part]
            yield pa.record_batch({
                "component": component[unit], "node": unit, "unit": unit,
                "earlier": ~fresh[unit], "content": texts,
            })  # fmt: skip

    yield from compare_members(batches(), sketch_params(params), params.verify, params.floor)


class Stage:
    """What one stage finds in ``corpus``, level by level, and its decisions.

    A level sees what earlier ones left. ``name`` is what decisions call it.
    """

    def __init__(self, corpus: Corpus, params: Dedup, name: str) -> None:
        self._corpus, self._params, self.name = corpus, params, name
        self._rows, self._facts = corpus.rows(), corpus.facts
        self._judged = [_JUDGED.empty_table()]
        self._cuts: dict[int, Cut] = {}
        self._bands: Units | None = None

    def drop_equal(self, level: Level, reason: str) -> None:
        units = make_units(self._corpus, self._params, level, sketch=False)
        self._add(level, units, equal_units(units), reason)

    def drop_similar(self, level: Level, reason: str, against: Sequence[Path] = ()) -> None:
        """``against`` are folders of earlier stages, looked at on level file. Raises
        ``BandIndexError`` if their band hashes were made with other choices."""
        corpus, params = self._corpus, self._params
        units = make_units(corpus, params, level, sketch=True)
        earlier = None
        if level == "file":
            self._bands = units
            if against:
                earlier = Earlier(against, params)
                units = earlier.join(corpus, units)
        found = similar_units(corpus, units, params, earlier)
        self._add(level, units, found, reason)

    def decisions(self) -> Iterator[pa.Table]:
        """A row for each document that the stage saw (DECISION_SCHEMA), some at a time. The corpus
        is what is left when all are told."""
        self._cut()
        judged = pa.concat_tables(self._judged).sort_by("row")
        place = np.append(judged["row"].to_numpy(), -1)
        for start in range(0, len(self._rows), _TOLD_ROWS):
            rows = self._rows[start : start + _TOLD_ROWS]
            found = np.searchsorted(place[:-1], rows)
            told = judged.take(pa.array(found, mask=place[found] != rows))
            columns = dict(zip(FACTS, self._facts.take(pa.array(rows)).columns, strict=True))
            columns["stage"] = pa.array([self.name] * len(rows), pa.string())
            for name, kept in (("verdict", KEPT), ("reason", ""), ("detail", "")):
                columns[name] = told[name].fill_null(kept)
            yield pa.table({name: columns[name] for name in DECISION_SCHEMA.names})

    def bands(self) -> tuple[pa.Array, U64] | None:
        """(doc_id, band hashes) of the files that are left; None if files were not compared."""
        if self._bands is None:
            return None
        rows, keys, keyed = self._bands.docs, self._bands.keys, self._bands.keyed
        left = self._corpus.left[rows]
        return self._facts["doc_id"].take(pa.array(rows[left])), keys[keyed[left]]

    def _add(self, level: Level, units: Units, found: Iterator[Gone], reason: str) -> None:
        if level == "chunk":
            self._cuts = _cuts(units, found)
            return
        while gone := list(itertools.islice(found, _TOLD_ROWS)):
            unit, survivor, alike = zip(*gone, strict=True)
            names = units.name(np.array(survivor))
            details = pa.array(map(duplicate_detail, names, alike), pa.string())
            number = np.array(unit)
            rows = units.docs[units.pieces(number)]
            each = np.repeat(np.arange(len(unit)), np.diff(units.offsets)[number])
            self._corpus.left[rows] = False
            self._judge(rows, [DROPPED] * len(rows), reason, details.take(pa.array(each)))

    def _judge(
        self, rows: I64, verdicts: Sequence[str], reason: str, details: Iterable[str] | pa.Array
    ) -> None:
        columns = [rows, verdicts, [reason] * len(rows), details]
        self._judged.append(pa.table(columns, schema=_JUDGED))

    def _cut(self) -> None:
        """Judge the documents that lose chunks: one that loses all of its text is dropped."""
        corpus, words = self._corpus, self._params.chunk_tokens
        for rows, texts in corpus.texts(np.array(sorted(self._cuts), np.int64)):
            cut = [cut_text(text, self._cuts[row], words)
                   for row, text in zip(rows.tolist(), texts.to_pylist(), strict=True)]  # fmt: skip
            corpus.left[rows] = [rest is not None for rest, _ in cut]
            verdicts = [DROPPED if rest is None else CHANGED for rest, _ in cut]
            self._judge(rows, verdicts, chunk_dedup.REASON, [detail for _, detail in cut])
            rests = [rest for rest, _ in cut if rest is not None]
            digests = [content_digest(rest) for rest in rests]
            corpus.change(rows[corpus.left[rows]], pa.array(rests, pa.large_string()), digests)
        self._cuts = {}


def _cuts(units: Units, found: Iterable[Gone]) -> dict[int, Cut]:
    """Chunks that go, by the row of their document."""
    gone: dict[int, list[tuple[int, int, float]]] = {}
    for unit, survivor, alike in found:
        doc = int(units.docs[unit])
        number = unit - int(np.searchsorted(units.docs, doc))
        gone.setdefault(doc, []).append((number, survivor, alike))
    cuts = {}
    for doc, chunks in gone.items():
        chunks.sort()
        [name] = units.name(np.array([chunks[0][1]]))
        cuts[doc] = Cut([number for number, *_ in chunks], name, min(c[2] for c in chunks))
    return cuts


class Earlier:
    """The files that earlier stages kept in ``folders``, as units after those of a corpus: from
    ``first`` on. Raises ``BandIndexError`` if their band hashes were made with other choices."""

    def __init__(self, folders: Sequence[Path], params: Dedup) -> None:
        self._params, self.first = params, 0
        files, facts, keys, known = [], [FACT_SCHEMA.empty_table()], [], []
        for folder in folders:
            check_settings(folder, params)
            own = sorted((folder / "documents").glob("*.parquet"))
            files += own
            tables = [pa.Table.from_batches([batch]) for _, batch in Tables(own).batches(FACTS)]
            there = pa.concat_tables([FACT_SCHEMA.empty_table(), *tables])
            index = pq.read_table(folder / TABLE).combine_chunks()
            place = pc.index_in(there["doc_id"], index["doc_id"]).combine_chunks()
            facts.append(there)
            known.append(pc.is_valid(place).to_numpy(zero_copy_only=False))
            found = place.drop_null().to_numpy()
            if len(found):
                keys.append(unpack_keys(index["keys"].chunk(0), params.bands)[found])
        self._tables, self._facts = Tables(files), pa.concat_tables(facts)
        self._known = np.concatenate(known)
        self._keys = np.concatenate([np.empty((0, params.bands), np.uint64), *keys])

    def join(self, corpus: Corpus, units: Units) -> Units:
        """``units`` of ``corpus`` and these, still without places of their texts."""
        facts = pa.concat_tables([corpus.facts, self._facts]).combine_chunks()
        places = [np.concatenate([place, np.zeros(self._facts.num_rows, np.int64)])
                  for place in (corpus.starts, corpus.sizes)]  # fmt: skip
        both = Corpus(corpus.store, facts, *places)
        both.left = np.concatenate([corpus.left, self._known])
        self.first, self._before = len(units), corpus.facts.num_rows
        joined = file_units(both, self._params, sketch=False)
        known = len(units.keys) + np.arange(len(self._keys))
        return dataclasses.replace(joined, keys=np.concatenate([units.keys, self._keys]),
                                   keyed=np.concatenate([units.keyed, known]))  # fmt: skip

    def fetch(self, corpus: Corpus, units: Units, members: I64) -> None:
        """Lay the texts of these ``members`` down in the corpus' store."""
        members, done = np.sort(members), 0
        for rows, batch in self._tables.batches(["content"], units.docs[members] - self._before):
            own = members[done : done + len(rows)]
            done += len(rows)
            units.starts[own], units.sizes[own] = corpus.store.add(batch.column(0))
