"""The two stages of deduplication in one process: what ``exact_dedup`` and ``fuzzy_dedup`` do."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from assets.documents import DECISION_SCHEMA, DOCUMENT_SCHEMA
from assets.recipe import Dedup
from assets.refinecode import exact_dedup, fuzzy_dedup
from assets.refinecode.band_index import TABLE, pack_keys, sketch_params, write_settings
from assets.refinecode.local.corpus import Corpus, Documents, Source, read_corpus
from assets.refinecode.local.passes import Stage
from assets.refinecode.local.tables import Parts

#: As Spark writes it.
_SCHEMA = DOCUMENT_SCHEMA.set(
    DOCUMENT_SCHEMA.get_field_index("content"), pa.field("content", pa.string())
)


def run_exact(out: Path, *, documents: Path, params: Dedup) -> None:
    """Fill ``out/documents`` and ``out/decisions``, as :func:`exact_dedup.run` does."""
    source = Documents(documents)
    with tempfile.TemporaryDirectory(prefix=".texts-", dir=out) as scratch:
        corpus = read_corpus(source, None)
        stage = exact_stage(corpus, params, Path(scratch))
        write_stage(stage, out)
        _write_documents(source, corpus, out)


def run_fuzzy(out: Path, *, documents: Path, params: Dedup, against: Sequence[Path] = ()) -> None:
    """Fill ``out/documents``, ``out/decisions`` and, at level file, ``out/bands``, as
    :func:`fuzzy_dedup.run` does. Raises ``BandIndexError``."""
    source = Documents(documents)
    with tempfile.TemporaryDirectory(prefix=".texts-", dir=out) as scratch:
        corpus = open_corpus(source, params)
        stage = fuzzy_stage(corpus, params, Path(scratch), against)
        write_stage(stage, out)
        _write_documents(source, corpus, out)
    bands = stage.bands()
    if bands is not None:
        (out / TABLE).mkdir()
        table = pa.table({"doc_id": bands[0], "keys": pack_keys(bands[1])})
        with Parts(out / TABLE, table.schema, plain=("doc_id", "keys")) as parts:
            parts.write(table)
        write_settings(params, out)


def open_corpus(source: Source, params: Dedup) -> Corpus:
    """Read ``source`` for :func:`exact_stage` and :func:`fuzzy_stage`, in this order or alone."""
    sketched = params.fuzzy and params.levels[:1] == ("file",)
    return read_corpus(source, sketch_params(params) if sketched else None)


def exact_stage(corpus: Corpus, params: Dedup, scratch: Path) -> Stage:
    """What equals something better is dropped from ``corpus``."""
    stage = Stage(corpus, params, scratch, exact_dedup.STAGE)
    for level in exact_dedup.levels(params):
        stage.drop_equal(level, exact_dedup.REASON)
    return stage


def fuzzy_stage(
    corpus: Corpus, params: Dedup, scratch: Path, against: Sequence[Path] = ()
) -> Stage:
    """What is like something better is dropped from ``corpus``."""
    stage = Stage(corpus, params, scratch, fuzzy_dedup.STAGE)
    for level in params.levels if params.fuzzy else ():
        stage.drop_similar(level, fuzzy_dedup.REASON, against)
    return stage


def write_stage(stage: Stage, out: Path) -> None:
    """Fill ``out/decisions``."""
    (out / "decisions").mkdir(parents=True)
    with Parts(out / "decisions", DECISION_SCHEMA, plain=("doc_id", "path", "detail")) as parts:
        parts.write(stage.decisions())


def _write_documents(source: Documents, corpus: Corpus, out: Path) -> None:
    """The documents that are left, in the order of their rows."""
    (out / "documents").mkdir()
    plain = ("doc_id", "content", "content_sha256", "path")
    facts = corpus.facts.select(["content_sha256", "size_bytes"])
    with Parts(out / "documents", _SCHEMA, plain=plain) as parts:
        for rows, table in source.whole(corpus.rows()):
            content = corpus.changed(rows, table["content"])
            now = facts.take(pa.array(rows))
            columns = {name: table[name] for name in _SCHEMA.names}
            columns |= {"content": content, **{name: now[name] for name in now.column_names}}
            parts.write(pa.table(columns).cast(_SCHEMA))
