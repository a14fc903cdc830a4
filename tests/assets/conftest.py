"""A document table made of a few planted files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from assets.documents import DOCUMENT_SCHEMA, content_digest, document_id, write_table

WriteDocuments = Callable[..., Path]


@pytest.fixture(scope="session")
def write_documents(tmp_path_factory: pytest.TempPathFactory) -> WriteDocuments:
    """Write ``path -> content`` as a document table, in one file or several; its folder."""

    def write(
        files: Mapping[str, str],
        *,
        language: str = "python",
        parts: int = 1,
        reverse: bool = False,
    ) -> Path:
        rows = []
        for path, content in files.items():
            digest = content_digest(content)
            rows.append(
                {
                    "doc_id": document_id("pypi/planted@1", path, digest),
                    "content": content,
                    "content_sha256": digest,
                    "repository": "pypi/planted@1",
                    "path": path,
                    "language": language,
                    "doc_type": "code",
                    "size_bytes": len(content),
                    "source": "pypi",
                }
            )
        if reverse:
            rows.reverse()
        folder = tmp_path_factory.mktemp("corpus") / "documents"
        for part in range(parts):
            table = pa.Table.from_pylist(rows[part::parts], DOCUMENT_SCHEMA)
            write_table(folder / f"{part}", table, sort_by=None)
            (folder / f"{part}" / "part-00000.parquet").rename(folder / f"part-{part:05}.parquet")
            (folder / f"{part}").rmdir()
        return folder

    return write
