"""Filter: drop files that a quality rule fires on (paper 2.1.1 and appendix A).

The decision of a dropped file names the first rule and lists all of them with value and
threshold, so that each rule can be judged by what it alone would drop.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assets.documents import DROPPED
from assets.recipe import Filters
from assets.refinecode.filters import evaluate
from assets.refinecode.filters.rules import check_names
from assets.refinecode.mapping import UNCHANGED, Document, Outcome, map_documents

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

STAGE = "filtered_code"
VERSION = "1"


def run(out: Path, *, documents: Path, params: Filters, spark: SparkSession) -> None:
    """Fill ``out/documents`` and ``out/decisions``.

    Raises ``RuleError`` before any work if ``params.thresholds`` names an unknown rule.
    """
    check_names(params.thresholds)
    judge = functools.partial(judged, thresholds=dict(params.thresholds), enabled=params.enabled)
    map_documents(spark, documents, judge, out, STAGE)


def judged(
    document: Document, thresholds: Mapping[str, float | None], enabled: bool = True
) -> Outcome:
    """Kept, or dropped with every rule that fired."""
    if not enabled:
        return UNCHANGED
    verdict = evaluate(
        document.content,
        document.path,
        thresholds=thresholds,
        program=document.language,
        doc_type=document.doc_type,
        size_bytes=document.size_bytes,
    )
    if verdict.kept:
        return UNCHANGED
    return Outcome(DROPPED, verdict.reason, verdict.detail)
