"""The two stages of deduplication in one process: what ``exact_dedup`` and ``fuzzy_dedup`` do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from assets.documents import DECISION_SCHEMA, DOCUMENT_SCHEMA
from assets.recipe import Dedup
from assets.refinecode import exact_dedup, fuzzy_dedup
from assets.refinecode.band_index import TABLE, pack_keys, sketch_params, write_settings
from assets.refinecode.local.corpus import FACTS, Corpus, TextStore, read_corpus
from assets.refinecode.local.passes import Stage
from assets.refinecode.local.tables import Parts, Tables

#: As Spark writes it.
_SCHEMA = DOCUMENT_SCHEMA.set(
    DOCUMENT_SCHEMA.get_field_index("content"), pa.field("content", pa.string())
)


def run_exact(out: Path, *, documents: Path, params: Dedup) -> None:
    """Fill ``out/documents`` and ``out/decisions``, as :func:`exact_dedup.run` does."""
    with TextStore(out) as store:
        source = Documents(documents)
        corpus = read_corpus(source.documents(), store, None)
        write_decisions(exact_stage(corpus, params), out)
        _write_documents(source, corpus, out)


def run_fuzzy(out: Path, *, documents: Path, params: Dedup, against: Sequence[Path] = ()) -> None:
    """Fill ``out/documents``, ``out/decisions`` and, at level file, ``out/bands``, as
    :func:`fuzzy_dedup.run` does. Raises ``BandIndexError``."""
    with TextStore(out) as store:
        source = Documents(documents)
        corpus = open_corpus(source.documents(), store, params)
        stage = fuzzy_stage(corpus, params, against)
        write_decisions(stage, out)
        _write_documents(source, corpus, out)
    bands = stage.bands()
    if bands is not None:
        (out / TABLE).mkdir()
        table = pa.table({"doc_id": bands[0], "keys": pack_keys(bands[1])})
        with Parts(out / TABLE, table.schema, plain=table.column_names) as parts:
            parts.write(table)
        write_settings(params, out)


def open_corpus(documents: Iterable[pa.Table], store: TextStore, params: Dedup) -> Corpus:
    """Read documents for :func:`exact_stage` and :func:`fuzzy_stage`, in this order or alone."""
    sketched = params.fuzzy and params.levels[:1] == ("file",)
    return read_corpus(documents, store, sketch_params(params) if sketched else None)


def exact_stage(corpus: Corpus, params: Dedup) -> Stage:
    """What equals something better is dropped from ``corpus``."""
    stage = Stage(corpus, params, exact_dedup.STAGE)
    for level in exact_dedup.levels(params):
        stage.drop_equal(level, exact_dedup.REASON)
    return stage


def fuzzy_stage(corpus: Corpus, params: Dedup, against: Sequence[Path] = ()) -> Stage:
    """What is like something better is dropped from ``corpus``."""
    stage = Stage(corpus, params, fuzzy_dedup.STAGE)
    for level in params.levels if params.fuzzy else ():
        stage.drop_similar(level, fuzzy_dedup.REASON, against)
    return stage


def write_decisions(stage: Stage, out: Path) -> None:
    """Fill ``out/decisions``."""
    (out / "decisions").mkdir(parents=True)
    with Parts(out / "decisions", DECISION_SCHEMA, plain=("doc_id", "path", "detail")) as parts:
        for table in stage.decisions():
            parts.write(table)


def write_changed(corpus: Corpus, out: Path) -> None:
    """Fill ``out/documents`` with doc_id and content of the documents that have lost some text."""
    (out / "documents").mkdir()
    schema = pa.schema([_SCHEMA.field("doc_id"), _SCHEMA.field("content")])
    with Parts(out / "documents", schema, plain=schema.names) as parts:
        for rows, texts in corpus.texts(np.flatnonzero(corpus.changed & corpus.left)):
            names = corpus.facts["doc_id"].take(pa.array(rows))
            parts.write(pa.table({"doc_id": names, "content": texts}).cast(schema))


class Documents:
    """A folder of parquet files in DOCUMENT_SCHEMA."""

    def __init__(self, folder: Path) -> None:
        self.tables = Tables(sorted(folder.glob("*.parquet")))

    def documents(self) -> Iterator[pa.Table]:
        for _, batch in self.tables.batches([*FACTS, "content"]):
            yield pa.Table.from_batches([batch])


def _write_documents(source: Documents, corpus: Corpus, out: Path) -> None:
    """The documents that are left, in the order of their rows."""
    (out / "documents").mkdir()
    plain = ("doc_id", "content", "content_sha256", "path")
    rest = [name for name in _SCHEMA.names if name not in (*FACTS, "content")]
    with Parts(out / "documents", _SCHEMA, plain=plain) as parts:
        for rows, batch in source.tables.batches(rest, corpus.rows()):
            done = 0
            for own, texts in corpus.texts(rows):
                facts = corpus.facts.take(pa.array(own))
                columns = {name: facts[name] for name in FACTS} | {"content": texts}
                columns |= {name: batch.column(name).slice(done, len(own)) for name in rest}
                done += len(own)
                parts.write(pa.table({name: columns[name] for name in _SCHEMA.names}).cast(_SCHEMA))
