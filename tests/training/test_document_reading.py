"""Reading parquet documents: order and samples do not depend on files."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.config import ConfigError
from training.documents import content_digest, iter_rows, sample_documents

DOCUMENTS = {f"id-{number * 7 % 23:02d}": f"text {number}\n" * 3 for number in range(23)}


def test_rows_come_by_id_whatever_the_files(write_documents: Any, tmp_path: Path) -> None:
    one = write_documents(tmp_path / "one", DOCUMENTS)
    many = write_documents(tmp_path / "many", dict(reversed(DOCUMENTS.items())), files=5)
    rows = list(iter_rows(one, ["doc_id", "content"]))
    assert rows == sorted(DOCUMENTS.items())
    assert list(iter_rows(many, ["doc_id", "content"])) == rows
    assert sample_documents(many, 120) == sample_documents(one, 120)


def test_sample_stops_at_the_byte_limit_but_is_never_empty(
    write_documents: Any, tmp_path: Path
) -> None:
    folder = write_documents(tmp_path / "d", DOCUMENTS)
    sample = sample_documents(folder, 120)
    assert 0 < sum(len(doc.content.encode()) for doc in sample) <= 120
    assert [doc.doc_id for doc in sample] != sorted(doc.doc_id for doc in sample)
    assert len(sample_documents(folder, 1)) == 1
    assert len(sample_documents(folder, 10**9)) == len(DOCUMENTS)


def test_bad_data_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="found none"):
        list(iter_rows(tmp_path / "empty", ["doc_id"]))

    def written(name: str, **columns: pa.Array) -> Path:
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    ids = pa.array(["a", "b"])
    with pytest.raises(ConfigError, match="missing content"):
        list(iter_rows(written("1.parquet", doc_id=ids), ["doc_id", "content"]))
    nulls = pa.array(["x", None], pa.string())
    with pytest.raises(ConfigError, match="found null"):
        list(iter_rows(written("2.parquet", doc_id=ids, content=nulls), ["doc_id", "content"]))
    numbers = pa.array([1, 2])
    with pytest.raises(ConfigError, match="expected text in content, found int64"):
        list(iter_rows(written("3.parquet", doc_id=ids, content=numbers), ["doc_id", "content"]))
    twice = pa.array(["a", "a"])
    (tmp_path / "5.parquet").write_text("no parquet")
    with pytest.raises(ConfigError, match=r"5\.parquet: expected a parquet file"):
        sample_documents(tmp_path / "5.parquet", 100)
    with pytest.raises(ConfigError, match="'a' twice"):
        list(iter_rows(written("4.parquet", doc_id=twice, content=ids), ["doc_id", "content"]))


def test_content_digest_follows_the_bytes(write_documents: Any, tmp_path: Path) -> None:
    first = content_digest(write_documents(tmp_path / "a", DOCUMENTS))
    assert content_digest(write_documents(tmp_path / "b", DOCUMENTS)) == first
    assert content_digest(write_documents(tmp_path / "c", {**DOCUMENTS, "x": "y"})) != first
