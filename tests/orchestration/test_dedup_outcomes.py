"""What is told of each row when its survivor did not stay either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from assets.documents import decisions_table
from assets.refinecode import exact_dedup, fuzzy_dedup
from assets.refinecode.keep import duplicate_detail
from orchestration.dedup_inputs import INDEX_SCHEMA
from orchestration.dedup_outcomes import read_outcomes

IDS = [f"{i:064x}" for i in range(6)]
REPOSITORIES = ["p", "r", "q:x", "t", "u", "s"]
#: Of row 1 repository r was dropped for s, and of row 2 repository q:x for r.
EXACT: dict[int, tuple[str, str, str]] = {
    0: ("dropped", exact_dedup.REASON, duplicate_detail(IDS[1], 1.0)),
}
FUZZY: dict[int, tuple[str, str, str]] = {
    1: ("dropped", fuzzy_dedup.REASON, duplicate_detail("s", 0.8)),
    2: ("dropped", fuzzy_dedup.REASON, duplicate_detail("r", 0.9)),
    3: ("changed", "duplicate_chunks", duplicate_detail(IDS[1], 0.75) + " chunks=1/3"),
    4: ("dropped", fuzzy_dedup.REASON, duplicate_detail("q:x", 0.7)),
}


def _stage(folder: Path, rows: dict[int, tuple[str, str, str]], left: list[int]) -> Path:
    told: list[dict[str, Any]] = []
    for i in left:
        verdict, reason, detail = rows.get(i, ("kept", "", ""))
        told.append({"doc_id": IDS[i], "stage": folder.name, "verdict": verdict, "reason": reason,
                     "detail": detail, "repository": REPOSITORIES[i], "path": f"{i}.py",
                     "language": "python", "size_bytes": 1})  # fmt: skip
    (folder / "decisions").mkdir(parents=True)
    for number, part in enumerate((told[3:], told[:3])):
        pq.write_table(decisions_table(part), folder / "decisions" / f"part-{number}.parquet")
    return folder


def test_survivors_are_followed_to_the_last_one(tmp_path: Path) -> None:
    index = tmp_path / "index.parquet"
    names = [f"row {i}" for i in range(6)]
    pq.write_table(pa.table({"doc_id": IDS, "id": names}, schema=INDEX_SCHEMA), index)
    stages = [_stage(tmp_path / "exact", EXACT, [5, 4, 3, 2, 1, 0]),
              _stage(tmp_path / "fuzzy", FUZZY, [1, 2, 3, 4, 5])]  # fmt: skip
    outcomes = read_outcomes(index, stages)
    outcomes.write(tmp_path / "decisions.parquet")
    told = pq.read_table(tmp_path / "decisions.parquet").to_pylist()
    assert [row["id"] for row in told] == names
    columns = ("verdict", "duplicate_of", "similarity", "chunks")
    assert [tuple(row[c] for c in columns) for row in told] == [
        ("dropped", "s", 0.8, None),  # it has the text of row 1
        ("dropped", "s", 0.8, None),
        ("dropped", "s", None, None),  # like r, but nobody compared it to s
        ("changed", "s", None, "1/3"),
        ("dropped", "s", None, None),
        ("kept", None, None, None),
    ]
    assert outcomes.places("dropped").tolist() == [0, 1, 2, 4]
    assert outcomes.places("dropped", stage=0).tolist() == [0]
    assert outcomes.places("changed").tolist() == [3]
