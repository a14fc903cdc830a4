"""The marts about filter rules, built by dbt from a planted table of verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from assets.documents import write_table
from orchestration.dbt import build, project

#: (language, bytes, kept, rules); the last file has a doc type that no rule judges.
VERDICTS: list[tuple[str, int, bool, list[str]]] = [
    ("python", 100, True, []),
    ("python", 200, False, ["short"]),
    ("python", 300, False, ["short", "digits"]),
    ("python", 400, False, ["digits", "short", "autogen"]),
    ("go", 500, False, ["digits"]),
    ("go", 600, False, ["digits", "tests"]),
    ("go", 700, False, []),
]
SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()), ("repository", pa.string()), ("path", pa.string()),
        ("language", pa.string()), ("doc_type", pa.string()), ("size_bytes", pa.int64()),
        ("kept", pa.bool_()), ("rules", pa.list_(pa.string())),
        ("signals", pa.map_(pa.string(), pa.float64())),
    ]
)  # fmt: skip


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    rows = [
        {"doc_id": f"{i}", "repository": "r", "path": f"{i}", "language": language,
         "doc_type": "code", "size_bytes": size, "kept": kept, "rules": rules,
         "signals": [("qsc_code_num_words", 1.0)]}
        for i, (language, size, kept, rules) in enumerate(VERDICTS)
    ]  # fmt: skip
    write_table(folder / "signals", pa.Table.from_pylist(rows, SCHEMA))
    lake = {"filtered_code_signals": f"{folder}/signals/*.parquet"}
    models = ["stg_filter_verdicts", "rule_report", "rule_overlaps"]
    tests = [test for test, model in project().tests if model in models]
    variables = {"recipe_schema": "planted", "lake": lake}
    build([*models, *tests], variables, folder / "warehouse.duckdb", folder / "target")
    assert {"unique_rule_report_language_rule", "rules_alone_within_hits"} <= set(tests)
    return folder


def test_each_rule_says_what_it_hits_and_what_it_alone_drops(warehouse: Path) -> None:
    rows = query(
        warehouse,
        "select language, rule, files, hit_files, hit_bytes, alone_files, alone_bytes, "
        "round(share_of_files, 3) from planted.rule_report",
    )
    assert sorted(rows) == [
        ("go", "digits", 3, 2, 1100, 1, 500, 0.667),
        ("go", "tests", 3, 1, 600, 0, 0, 0.333),
        ("python", "autogen", 4, 1, 400, 0, 0, 0.25),
        ("python", "digits", 4, 2, 700, 0, 0, 0.5),
        ("python", "short", 4, 3, 900, 1, 200, 0.75),
    ]


def test_pairs_of_rules_that_fire_together(warehouse: Path) -> None:
    rows = query(
        warehouse,
        "select rule, other_rule, files, bytes, pair_alone_files, pair_alone_bytes, "
        "round(share_of_rule, 3), round(share_of_other_rule, 3), round(jaccard, 3) "
        "from planted.rule_overlaps",
    )
    assert sorted(rows) == [
        ("autogen", "digits", 1, 400, 0, 0, 1.0, 0.25, 0.25),
        ("autogen", "short", 1, 400, 0, 0, 1.0, 0.333, 0.333),
        ("digits", "short", 2, 700, 1, 300, 0.5, 0.667, 0.4),
        ("digits", "tests", 1, 600, 1, 600, 0.25, 1.0, 0.25),
    ]
