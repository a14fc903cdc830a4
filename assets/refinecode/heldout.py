"""Held-out text: the files that bits per byte are measured on, never trained on.

Documents of the held-out repositories pass the same repairs and rules as the corpus, then a byte
budget is filled round-robin over languages, in the order of a hash of the id: a larger budget
extends the set of a smaller one, and no language or order of input can crowd out another.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from assets.documents import (
    CHANGED,
    DOCUMENT_SCHEMA,
    DROPPED,
    content_digest,
    decisions_table,
    read_batches,
    write_table,
)
from assets.recipe import Filters, Transform
from assets.refinecode.filtered import judged
from assets.refinecode.filters.rules import check_names
from assets.refinecode.mapping import UNCHANGED, Document, Outcome
from assets.refinecode.transformed import transform as transformed

STAGE = "heldout_code"
VERSION = "2"
#: Longer documents are left out: one file must not be a sizeable part of the score.
MAX_DOCUMENT_BYTES = 20_000

_WITH_STRINGS = pa.schema(
    [(c.name, pa.string() if c.name == "content" else c.type) for c in DOCUMENT_SCHEMA]
)


@dataclass(frozen=True)
class Candidate:
    """What the budget looks at."""

    doc_id: str
    language: str
    size_bytes: int


def run(
    out: Path, *, heldout: Path, transform: Transform, filters: Filters, heldout_bytes: int
) -> None:
    """Fill ``out/documents`` (at most ``heldout_bytes`` of text) and ``out/decisions``.

    ``heldout`` is that table of ``selected_code``. Reasons of drops: ``not_code`` (data and prose
    say little of a code model), a filter rule, ``too_long`` (over 20 kB), or ``over_budget``.
    """
    check_names(filters.thresholds, filters.rules)
    outcomes: dict[str, Outcome] = {}
    rows: list[dict[str, object]] = []
    kept: dict[str, dict[str, object]] = {}
    for batch in read_batches(heldout):
        for row in batch.to_pylist():
            document = Document(row["doc_id"], row["content"], row["path"], row["language"],
                                row["doc_type"], row["size_bytes"])  # fmt: skip
            outcome, result = _prepare(document, row, transform, filters)
            outcomes[document.doc_id] = outcome
            rows.append({name: row[name] for name in
                         ("doc_id", "repository", "path", "language", "size_bytes")})  # fmt: skip
            if outcome.verdict != DROPPED:
                kept[document.doc_id] = result
    chosen = fill_budget(
        (Candidate(i, str(r["language"]), int(str(r["size_bytes"]))) for i, r in kept.items()),
        heldout_bytes,
    )
    for doc_id in kept.keys() - chosen:
        outcomes[doc_id] = Outcome(DROPPED, "over_budget", f"budget_bytes={heldout_bytes}")
    documents = [kept[doc_id] for doc_id in sorted(chosen)]
    write_table(out / "documents", pa.Table.from_pylist(documents, schema=_WITH_STRINGS))
    decisions = [
        {**row, "stage": STAGE, "verdict": outcome.verdict, "reason": outcome.reason,
         "detail": outcome.detail}
        for row in rows
        for outcome in [outcomes[str(row["doc_id"])]]
    ]  # fmt: skip
    write_table(out / "decisions", decisions_table(decisions))


def fill_budget(candidates: Iterable[Candidate], budget_bytes: int) -> set[str]:
    """Ids of the documents taken in turns over the languages, until one does not fit."""
    queues: dict[str, deque[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda c: hashlib.sha256(c.doc_id.encode()).digest()):
        queues.setdefault(candidate.language, deque()).append(candidate)
    chosen: set[str] = set()
    total = 0
    turns = deque(sorted(queues))
    while turns:
        language = turns.popleft()
        candidate = queues[language].popleft()
        total += candidate.size_bytes
        if total > budget_bytes:
            break
        chosen.add(candidate.doc_id)
        if queues[language]:
            turns.append(language)
    return chosen


def _prepare(
    document: Document, row: dict[str, object], transform: Transform, filters: Filters
) -> tuple[Outcome, dict[str, object]]:
    """The outcome before the budget, and the row as it would be kept."""
    if document.doc_type != "code":
        return Outcome(DROPPED, "not_code", f"doc_type={document.doc_type}"), row
    repaired = transformed(document, transform)
    result = dict(row)
    if repaired.verdict == CHANGED and repaired.content is not None:
        size = len(repaired.content.encode("utf-8", "surrogatepass"))
        result |= {"content": repaired.content, "size_bytes": size,
                   "content_sha256": content_digest(repaired.content)}  # fmt: skip
        document = Document(document.doc_id, repaired.content, document.path, document.language,
                            document.doc_type, size)  # fmt: skip
    verdict = judged(document, dict(filters.thresholds), filters.enabled, filters.rules)
    if verdict.verdict == DROPPED:
        return verdict, result
    if document.size_bytes > MAX_DOCUMENT_BYTES:
        detail = f"size_bytes={document.size_bytes}>{MAX_DOCUMENT_BYTES}"
        return Outcome(DROPPED, "too_long", detail), result
    if repaired.verdict == CHANGED:
        return Outcome(CHANGED, repaired.reason, repaired.detail), result
    return UNCHANGED, result
