"""Verdicts of a whole Arrow batch of documents: columns in, columns out.

The shape that Spark's ``mapInArrow`` needs, and the quickest way to judge a parquet file without
Spark. Rows stay in order, one verdict a document (paper 2.1.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from assets.refinecode.filters.rules import RuleSetName, Threshold
from assets.refinecode.filters.verdict import FilterVerdict, evaluate

SIGNALS_TYPE = pa.map_(pa.string(), pa.float64())
#: One row a document. ``rules`` are the names of rules that fired, in order; ``signals`` leaves out
#: those that are not defined for the file, and gives booleans as 0 and 1.
VERDICT_SCHEMA = pa.schema(
    [
        ("kept", pa.bool_()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("program", pa.string()),
        ("doc_type", pa.string()),
        ("rules", pa.list_(pa.string())),
        ("signals", SIGNALS_TYPE),
    ]
)


def evaluate_batch(
    batch: pa.RecordBatch,
    rules: RuleSetName = "cookbook",
    *,
    thresholds: Mapping[str, Threshold] | None = None,
    enabled: bool = True,
) -> pa.RecordBatch:
    """Verdicts (VERDICT_SCHEMA) of documents with at least the columns content and path.

    Columns size_bytes, language and doc_type are used where there are any; but ``opencoder`` rules
    tell language and doc type from the path themselves, since they split its name differently.
    With ``enabled`` false every document is kept and nothing is measured. Raises ``RuleError``.
    """
    verdicts = [
        evaluate(row["content"] or "", row["path"], rules, thresholds=thresholds,
                 program=row["language"], doc_type=row["doc_type"], size_bytes=row["size_bytes"])
        if enabled
        else FilterVerdict(row["language"] or "", row["doc_type"] or "", kept=True)
        for row in _rows(batch, given=not (enabled and rules == "opencoder"))
    ]  # fmt: skip
    return verdict_batch(verdicts)


def verdict_batch(verdicts: list[FilterVerdict]) -> pa.RecordBatch:
    """Verdicts as a batch in VERDICT_SCHEMA."""
    columns = {
        "kept": [v.kept for v in verdicts],
        "reason": [v.reason for v in verdicts],
        "detail": [v.detail for v in verdicts],
        "program": [v.program for v in verdicts],
        "doc_type": [v.doc_type for v in verdicts],
        "rules": [list(dict.fromkeys(hit.rule for hit in v.fired)) for v in verdicts],
        "signals": [
            [(name, float(value)) for name, value in v.signals.items() if value is not None]
            for v in verdicts
        ],
    }
    return pa.RecordBatch.from_arrays(
        [pa.array(columns[name], VERDICT_SCHEMA.field(name).type) for name in VERDICT_SCHEMA.names],
        schema=VERDICT_SCHEMA,
    )


def _rows(batch: pa.RecordBatch, given: bool) -> Iterator[dict[str, Any]]:
    """The columns a verdict needs, row by row; ``given``: language and doc type, too."""
    wanted = ["content", "path", "size_bytes", *(["language", "doc_type"] if given else [])]
    held = {name: batch.column(name).to_pylist() for name in wanted if name in batch.schema.names}
    for i in range(batch.num_rows):
        row: dict[str, Any] = dict.fromkeys(("size_bytes", "language", "doc_type"))
        yield row | {name: column[i] for name, column in held.items()}
