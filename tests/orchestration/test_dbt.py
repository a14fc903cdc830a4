"""dbt in this process: what fails is named, and the warehouse is free again afterwards."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import duckdb
import pyarrow as pa
import pytest

from assets.documents import write_table
from orchestration.dbt import build, project

COLUMNS = ("doc_id", "repository", "path", "language", "doc_type", "license")


def test_models_come_after_what_they_read() -> None:
    models = project().models
    built: set[str] = set()
    ours = {model.name for model in models}
    for model in models:
        assert set(model.reads) & ours <= built, model.name
        built.add(model.name)
    assert {"composition", "sampling_plan", "funnel", "scoreboard"} <= built


def test_a_failed_test_is_named_and_the_file_is_let_go(tmp_path: Path) -> None:
    row = dict.fromkeys(COLUMNS, "same") | {"size_bytes": 10}
    write_table(tmp_path / "documents", pa.Table.from_pylist([row, row]))
    variables = {
        "recipe_schema": "planted",
        "lake": {"filtered_code_documents": f"{tmp_path}/documents/*.parquet"},
    }
    names = ["stg_filtered_documents", "unique_stg_filtered_documents_doc_id"]
    warehouse = tmp_path / "warehouse.duckdb"
    with pytest.raises(dg.Failure, match="unique_stg_filtered_documents_doc_id: Got 1 result"):
        build(names, variables, warehouse, tmp_path / "target")
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        found = connection.execute("from planted.stg_filtered_documents").fetchall()
    assert len(found) == 2
