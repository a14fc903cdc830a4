"""Small tables of documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.documents import (
    DECISION_SCHEMA,
    DOCUMENT_SCHEMA,
    content_digest,
    document_id,
    read_table,
    write_table,
)

Row = dict[str, Any]


def document(
    content: str, path: str = "src/a.py", repository: str = "pypi/one@1.0", **more: Any
) -> Row:
    """A row in DOCUMENT_SCHEMA; ``more`` overrides single columns."""
    digest = content_digest(content)
    return {
        "doc_id": document_id(repository, path, digest),
        "content": content,
        "content_sha256": digest,
        "repository": repository,
        "path": path,
        "language": "python",
        "doc_type": "code",
        "license": "MIT",
        "stars": None,
        "popularity_percentile": 50.0,
        "commit_time": datetime(2024, 1, 1, tzinfo=UTC),
        "size_bytes": len(content.encode()),
        "source": "test",
    } | more


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write rows as a documents table, in the given number of files; returns its folder."""
    made = iter(range(1000))

    def write_rows(rows: list[Row], files: int = 1, in_order: bool = True) -> Path:
        folder = tmp_path / f"input-{next(made)}" / "documents"
        if in_order:
            rows = sorted(rows, key=lambda row: row["doc_id"])
        for number in range(files):
            part = pa.Table.from_pylist(rows[number::files], schema=DOCUMENT_SCHEMA)
            write_table(folder / f"{number}", part, sort_by=None)
            (folder / f"{number}" / "part-00000.parquet").rename(folder / f"part-{number}.parquet")
            (folder / f"{number}").rmdir()
        return folder

    return write_rows


def outcome(out: Path, inputs: list[Row], stage: str) -> tuple[dict[str, Row], dict[str, Row]]:
    """(documents, decisions) by id, after checking what holds for every stage."""
    for table in ("documents", "decisions"):
        files = sorted((out / table).iterdir())
        assert files and all(file.suffix == ".parquet" for file in files), "stray files"
    documents, decisions = read_table(out / "documents"), read_table(out / "decisions")
    expected = [(c.name, "string" if c.name == "content" else str(c.type)) for c in DOCUMENT_SCHEMA]
    assert [(c.name, str(c.type)) for c in documents.schema] == expected
    assert [(c.name, c.type) for c in decisions.schema] == [
        (c.name, c.type) for c in DECISION_SCHEMA
    ]
    judged = {row["doc_id"]: row for row in decisions.to_pylist()}
    kept = {row["doc_id"]: row for row in documents.to_pylist()}
    given = {row["doc_id"]: row for row in inputs}
    assert decisions.num_rows == len(judged) and judged.keys() == given.keys()
    assert documents.num_rows == len(kept)
    assert kept.keys() == {i for i, row in judged.items() if row["verdict"] in ("kept", "changed")}
    assert {row["stage"] for row in judged.values()} <= {stage}
    for doc_id, row in judged.items():
        assert row["size_bytes"] == given[doc_id]["size_bytes"]
        assert (row["verdict"] == "kept") == (row["reason"] == "")
        if row["verdict"] == "kept":
            assert kept[doc_id] == given[doc_id]
    return kept, judged


def words(seed: int, count: int) -> list[str]:
    """Pseudo-words that depend on the seed alone."""
    return [hashlib.sha256(f"{seed}:{i}".encode()).hexdigest()[:6] for i in range(count)]
