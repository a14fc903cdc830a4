"""Reading parquet documents: order and samples do not depend on files."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.config import ConfigError
from training.documents import (
    FirstByHash,
    content_digest,
    has_column,
    iter_rows,
    sample_documents,
)
from training.sampling import sample_text

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
    with pytest.raises(ConfigError, match=r"5\.parquet: expected a readable parquet file"):
        sample_documents(tmp_path / "5.parquet", 100)
    with pytest.raises(ConfigError, match="'a' twice"):
        list(iter_rows(written("4.parquet", doc_id=twice, content=ids), ["doc_id", "content"]))
    not_utf8 = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.array(["abc"]).buffers()[1], pa.py_buffer(b"\xed\xa0\x80")]
    )
    one = pa.array(["a"])
    with pytest.raises(ConfigError, match=r"5\.parquet: expected UTF-8 text in content"):
        list(iter_rows(written("5.parquet", doc_id=one, content=not_utf8), ["doc_id", "content"]))


def test_files_that_are_torn_or_not_parquet_are_named(tmp_path: Path) -> None:
    file = tmp_path / "part.parquet"
    pq.write_table(pa.table({"doc_id": ["a"], "content": ["text" * 99]}), file)
    whole = file.read_bytes()
    torn = bytes(len(whole) - 400) + whole[-400:]  # the footer is there, the pages are not
    for data in (b"", b"PK not parquet", whole[:-9], torn):
        file.write_bytes(data)
        with pytest.raises(ConfigError, match=r"part\.parquet: expected a readable parquet file"):
            list(iter_rows(tmp_path, ["doc_id", "content"]))
    file.write_bytes(b"")
    with pytest.raises(ConfigError, match="expected a readable parquet file"):
        has_column(tmp_path, "language")


def test_a_corpus_may_have_more_files_than_can_be_open(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    for number in range(120):
        rows = {"doc_id": [f"{number:03d}-b", f"{number:03d}-a"], "content": ["x", "y"]}
        pq.write_table(pa.table(rows), tmp_path / f"{number * 7 % 120:03d}.parquet")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    open_now = len(list(Path("/dev/fd").iterdir()))
    resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 60, hard))
    try:
        ids = [row[0] for row in iter_rows(tmp_path, ["doc_id", "content"])]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert ids == [f"{number:03d}-{letter}" for number in range(120) for letter in "ab"]


def test_files_of_any_overlap_are_merged(write_documents: Any, tmp_path: Path) -> None:
    spans = [("c", "f"), ("a", "b"), ("e", "g"), ("h", "h"), ("g0", "g9"), ("i", "k")]
    for number, span in enumerate(spans):
        write_documents(tmp_path / f"{number}", dict.fromkeys(span[: len(set(span))], "text"))
    write_documents(tmp_path / "none", {})
    ids = [row[0] for row in iter_rows(tmp_path, ["doc_id"])]
    assert ids == sorted({name for span in spans for name in span})


def test_text_of_any_arrow_type_is_read(tmp_path: Path) -> None:
    kinds = (pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), "string"))
    for kind in kinds:
        columns = {"doc_id": pa.array(["b", "a"], kind), "content": pa.array(["x", "y"], kind)}
        pq.write_table(pa.table(columns), tmp_path / "part.parquet")
        assert list(iter_rows(tmp_path, ["doc_id", "content"])) == [("a", "y"), ("b", "x")]


def test_a_sample_has_text_when_there_is_any(write_documents: Any, tmp_path: Path) -> None:
    empty = {f"empty-{number}": "" for number in range(9)}
    folder = write_documents(tmp_path / "d", {**empty, "long": "text " * 99})
    assert "long" in [document.doc_id for document in sample_documents(folder, 20)]
    with pytest.raises(ConfigError, match="at least one document with text"):
        sample_documents(write_documents(tmp_path / "e", empty), 20)


def test_content_digest_follows_the_bytes(write_documents: Any, tmp_path: Path) -> None:
    first = content_digest(write_documents(tmp_path / "a", DOCUMENTS))
    assert content_digest(write_documents(tmp_path / "b", DOCUMENTS)) == first
    assert content_digest(write_documents(tmp_path / "c", {**DOCUMENTS, "x": "y"})) != first


def test_a_sample_holds_no_more_than_it_may_need() -> None:
    sizes = {f"id-{number}": number * 7 % 13 for number in range(2000)}
    first: FirstByHash[str] = FirstByHash(100)
    for doc_id, size_bytes in sizes.items():
        first.add(doc_id, size_bytes, doc_id)
    in_order = sorted(sizes, key=lambda doc_id: hashlib.sha256(doc_id.encode()).digest())
    assert list(first) == in_order[: len(first)]
    assert 100 < sum(sizes[doc_id] for doc_id in first) < 100 + 13
    assert len(first) < 30


@pytest.mark.parametrize("max_bytes", [40, 900, 10**6])
def test_a_text_sample_is_that_of_all_documents_in_order(
    write_documents: Any, tmp_path: Path, max_bytes: int
) -> None:
    texts = {f"id-{number}": "x" * (number * 37 % 101) for number in range(60)}
    texts["id-7"] = "y" * 500  # may cross the budget by far
    folder = write_documents(tmp_path / "docs", texts)
    sample = sample_text(folder, max_bytes=max_bytes, exponent=1, measure_bytes_per_language=200)
    found = sample.languages["Python"]
    in_order = sorted(texts, key=lambda doc_id: hashlib.sha256(doc_id.encode()).digest())
    left = min(max_bytes, sum(map(len, texts.values())))
    learn: dict[str, int] = {}
    while left > 0:
        doc_id = in_order[len(learn)]
        learn[doc_id] = min(left, len(texts[doc_id]))
        left -= len(texts[doc_id])
    assert found.learn == learn
    behind = in_order[len(learn) :]
    assert found.unseen == bool(behind)
    assert list(found.measure) == (behind or in_order)[: len(found.measure)]
    assert sum(found.measure.values()) == 200
