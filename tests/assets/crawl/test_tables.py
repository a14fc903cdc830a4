"""The spilling writer: sorted, complete, independent of the order of rows, clean after failure."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.crawl.tables import SortedWriter
from assets.documents import content_digest, read_table

SCHEMA = pa.schema([("doc_id", pa.string()), ("size_bytes", pa.int64()), ("note", pa.string())])
ROWS = [
    {"doc_id": content_digest(str(i)), "size_bytes": i % 300, "note": f"é{i}".encode()}
    for i in range(500)
]


def write(folder: Path, rows: list[dict[str, object]]) -> list[Path]:
    with SortedWriter(
        folder, SCHEMA, weight="size_bytes", spill_bytes=2_000, part_bytes=40_000
    ) as writer:
        for row in rows:
            writer.write(row)
    return sorted(folder.glob("*"))


def test_parts_in_order_are_the_sorted_table(tmp_path: Path) -> None:
    parts = write(tmp_path / "table", ROWS)
    assert len(parts) > 1
    ids = [i for part in parts for i in pq.read_table(part)["doc_id"].to_pylist()]
    assert ids == sorted(str(row["doc_id"]) for row in ROWS)
    notes = set(read_table(tmp_path / "table")["note"].to_pylist())
    assert notes == {f"é{i}" for i in range(500)}
    assert [path.name for path in tmp_path.iterdir()] == ["table"]


def test_files_do_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", ROWS), write(tmp_path / "two", ROWS[::-1])
    assert [p.read_bytes() for p in one] == [p.read_bytes() for p in two]


def test_empty_table_has_its_schema(tmp_path: Path) -> None:
    (part,) = write(tmp_path / "table", [])
    assert pq.read_table(part).schema.equals(SCHEMA)


def test_failure_leaves_nothing(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="torn"),
        SortedWriter(tmp_path / "table", SCHEMA, spill_bytes=1) as writer,
    ):
        writer.write(ROWS[0])
        raise RuntimeError("torn")
    assert list(tmp_path.iterdir()) == []
