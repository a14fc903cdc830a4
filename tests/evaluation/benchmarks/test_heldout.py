"""Held-out documents: reading, compressors, and the whole benchmark on a tiny model."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from evaluation.benchmarks.heldout import (
    BENCHMARKS,
    Document,
    compressor_bits_per_byte,
    read_documents,
)

DOCUMENTS = [
    ("c", "def f(x):\n    return x + 1\n" * 5, "Python"),
    ("a", "int main() { return 0; }\n" * 4, "C"),
    ("b", "print('é')\n" * 3, "Python"),
    ("d", "", "Python"),
]


def write_documents(folder: Path, rows: list[tuple[str, str, str]] = DOCUMENTS) -> Path:
    folder.mkdir(parents=True)
    for place, row in enumerate(rows):
        names = ("doc_id", "content", "language")
        table = pa.Table.from_pylist([dict(zip(names, row, strict=True))])
        parquet.write_table(table, folder / f"part-{place}.parquet")
    return folder


def test_documents_are_sorted_and_empty_ones_left_out(tmp_path: Path) -> None:
    assert [d.doc_id for d in read_documents(write_documents(tmp_path / "x"))] == ["a", "b", "c"]


def test_bad_folders_are_named(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"doc_id": ["a"], "content": ["x"]}), tmp_path / "p.parquet")
    with pytest.raises(ValueError, match=r"p\.parquet.*missing \['language'\]"):
        read_documents(tmp_path)
    doubled = write_documents(tmp_path / "d", [DOCUMENTS[0], DOCUMENTS[0]])
    with pytest.raises(ValueError, match="twice"):
        read_documents(doubled)
    assert "--heldout" in str(BENCHMARKS[0].missing(None))
    assert "no *.parquet" in str(BENCHMARKS[0].missing(tmp_path / "nowhere"))


def test_compressors_see_the_same_bytes() -> None:
    documents = [Document(*row) for row in sorted(DOCUMENTS) if row[1]]
    found = compressor_bits_per_byte(documents)
    contents = [document.content.encode() for document in documents]
    total = sum(map(len, contents))
    joined = b"".join(contents)
    assert found["xz_joined_bits_per_byte"] == 8 * len(lzma.compress(joined, preset=9)) / total
    by_file = sum(len(gzip.compress(content, 9)) for content in contents)
    assert found["gzip_by_file_bits_per_byte"] == 8 * by_file / total
    assert found["xz_joined_bits_per_byte"] < found["xz_by_file_bits_per_byte"]


def test_a_model_is_scored_beside_the_compressors(tmp_path: Path, tiny_model: Path) -> None:
    pytest.importorskip("training.bits_per_byte")
    import json

    from evaluation.run import evaluate

    folder = write_documents(tmp_path / "documents")
    scores = evaluate(tiny_model, ["heldout"], tmp_path / "out", heldout=folder)
    by_metric = {score.metric: score for score in scores}
    model = by_metric["bits_per_byte"]
    assert model.n == 3
    assert model.low <= model.value <= model.high
    assert 2 < model.value < 12  # random weights: about log2(vocabulary) / bytes per token
    assert by_metric["xz_joined_bits_per_byte"].value > 0
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    table = summary["tables"]["heldout_languages"]
    assert [row["language"] for row in table] == ["all", "Python", "C"]
    assert sum(row["documents"] for row in table[1:]) == table[0]["documents"] == 3
    before = (tmp_path / "out/summary.json").read_bytes()
    evaluate(tiny_model, ["heldout"], tmp_path / "out", heldout=folder)
    assert (tmp_path / "out/summary.json").read_bytes() == before
