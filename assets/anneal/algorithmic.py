"""Algorithmic documents: files of the corpus that contain one of a few keywords (paper 2.2).

Every document of the filtered corpus is searched for ``leetcode``, ``def solution`` and ``class
solution``; a recipe may add keywords of its own, since a small crawl holds few of the paper's.
Keywords are plain text, found anywhere in the content whatever its case: the paper writes them in
lower case, but means ``class Solution`` as well.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from assets.documents import (
    DOCUMENT_SCHEMA,
    DROPPED,
    KEPT,
    decisions_table,
    read_batches,
    write_table,
)
from assets.recipe import Anneal

STAGE = "algorithmic_corpus"
VERSION = "1"

log = logging.getLogger(__name__)


def run(out: Path, *, documents: Path, params: Anneal) -> None:
    """Write ``documents`` (rows unchanged) and ``decisions`` (one per input document)."""
    kept: list[pa.RecordBatch] = []
    decisions: list[dict[str, object]] = []
    for batch in read_batches(documents, DOCUMENT_SCHEMA.names):
        selected = contains_keyword(batch.column("content"), params.algorithmic_keywords)
        kept.append(batch.filter(selected))
        decisions += _decisions(batch, selected, params.algorithmic_keywords)
    table = pa.Table.from_batches(kept) if kept else DOCUMENT_SCHEMA.empty_table()
    write_table(out / "documents", table.cast(DOCUMENT_SCHEMA))
    write_table(out / "decisions", decisions_table(decisions))
    log.info("%d of %d documents hold an algorithmic keyword", table.num_rows, len(decisions))


def contains_keyword(content: pa.Array, keywords: Sequence[str]) -> pa.BooleanArray:
    """Which texts contain any of ``keywords``, whatever the case; null counts as no.

    >>> contains_keyword(pa.array(["class Solution:", "x = 1"]), ["class solution"]).to_pylist()
    [True, False]
    """
    if not keywords:
        raise ValueError(
            "anneal.algorithmic_keywords is empty: expected at least one keyword, "
            "such as the paper's 'leetcode'"
        )
    pattern = "|".join(re.escape(keyword) for keyword in keywords)
    return pc.fill_null(pc.match_substring_regex(content, pattern, ignore_case=True), False)


def _decisions(
    batch: pa.RecordBatch, selected: pa.BooleanArray, keywords: Sequence[str]
) -> list[dict[str, object]]:
    told = ["doc_id", "repository", "path", "language", "size_bytes"]
    rows = []
    for position, (row, keep) in enumerate(
        zip(batch.select(told).to_pylist(), selected.to_pylist(), strict=True)
    ):
        detail = ""
        if keep:
            text = batch.column("content")[position].as_py().lower()
            found = [keyword for keyword in keywords if keyword.lower() in text]
            detail = f"keyword={','.join(found)}"
        rows.append(
            row
            | {
                "stage": STAGE,
                "verdict": KEPT if keep else DROPPED,
                "reason": "" if keep else "no_keyword",
                "detail": detail,
            }
        )
    return rows
