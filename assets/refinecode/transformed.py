"""Transform: cut licence headers and mask personal data, before filtering (paper 2.1.1).

Repairing comes first so that a good file is not filtered out for its header. No document is
dropped; a changed one keeps its id and gets new content, hash and size.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING

from assets.documents import CHANGED
from assets.recipe import Transform
from assets.refinecode.mapping import UNCHANGED, Document, Outcome, map_documents
from assets.refinecode.transform.copyright import cut_copyright
from assets.refinecode.transform.pii import mask_pii

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "transformed_code"
VERSION = "1"
#: Cutting one header can bare the next; more rounds than this are no honest file.
_MAX_ROUNDS = 8


def run(out: Path, *, documents: Path, params: Transform, spark: SparkSession) -> None:
    """Fill ``out/documents`` and ``out/decisions`` (kept or changed; the reason is ``copyright``
    or ``pii``, the detail counts all replacements)."""
    map_documents(spark, documents, functools.partial(transform, params=params), out, STAGE)


def transform(document: Document, params: Transform) -> Outcome:
    """The repaired document: transforming the result again changes nothing."""
    content, counts = transform_text(document.content, document.language, params)
    if content == document.content:
        return UNCHANGED
    reason = "copyright" if counts.get("copyright") else "pii"
    detail = ";".join(f"{name}={count}" for name, count in counts.items())
    return Outcome(CHANGED, reason, detail, content)


def transform_text(content: str, language: str, params: Transform) -> tuple[str, dict[str, int]]:
    """(repaired text, number of replacements of each kind), repeated until nothing changes."""
    total: dict[str, int] = {}
    for _ in range(_MAX_ROUNDS):
        before = content
        counts: dict[str, int] = {}
        if params.copyright:
            content, cut = cut_copyright(content, language)
            counts = {"copyright": cut} if cut else {}
        if params.pii:
            content, masked = mask_pii(content)
            counts |= masked
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
        if content == before:
            break
    return content, total
