"""Score one checkpoint: run the evaluation library and keep its tables.

The run's own folder (append-only, resumable, with timings) goes under ``logs/``; the artifact's
content is the table ``scores``, the table ``results`` (one row a task and sample) and the report.
"""

from __future__ import annotations

import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets.documents import write_table
from assets.recipe import Evaluation
from assets.sandbox import settle_level

VERSION = "2"

SCORE_SCHEMA = pa.schema(
    [
        ("benchmark", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("low", pa.float64()),
        ("high", pa.float64()),
        ("n", pa.int64()),
        ("model", pa.string()),
        ("chat", pa.bool_()),
        ("level", pa.string()),
        ("grade", pa.string()),
    ]
)
LIKELIHOOD = ("humaneval_bpb",)
HELDOUT = ("heldout",)
EXECUTION = ("humaneval",)


def run(
    out: Path,
    *,
    model: Path,
    name: str,
    chat: bool,
    heldout: Path | None,
    params: Evaluation,
    seed: int,
    limit: int | None = None,
) -> None:
    """Fill ``out`` with the scores of the Hugging Face folder or GGUF file ``model``.

    ``heldout`` is a folder of documents; None leaves their bits per byte out.
    """
    from evaluation.run import evaluate

    if params.execution:
        settle_level()
    folder = out / "logs" / "run"
    scores = evaluate(
        model,
        [
            *LIKELIHOOD,
            *(HELDOUT if heldout is not None else ()),
            *(EXECUTION if params.execution else ()),
        ],
        folder,
        chat=chat,
        limit=limit or params.limit,
        max_new_tokens=params.max_new_tokens,
        heldout=heldout,
        seed=seed,
        name=name,
    )
    rows = [asdict(score) for score in scores]
    _write_scores(out, rows)
    write_table(out / "results", pq.read_table(folder / "results.parquet"), sort_by=None)
    shutil.copyfile(folder / "summary.json", out / "summary.json")
    shutil.copyfile(folder / "report.html", out / "report.html")


def write_no_scores(out: Path) -> None:
    """An empty table: there was no model to score."""
    _write_scores(out, [])


def _write_scores(out: Path, rows: list[dict[str, Any]]) -> None:
    table = pa.Table.from_pylist(
        [{column: row.get(column) for column in SCORE_SCHEMA.names} for row in rows], SCORE_SCHEMA
    )
    write_table(out / "scores", table, sort_by="benchmark")
