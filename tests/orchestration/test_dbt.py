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


def test_the_project_is_parsed_once_for_all_recipes_and_warehouses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for recipe, total in (("planted", 10), ("other", 5)):
        warehouse = tmp_path / recipe / f"of-{recipe}.duckdb"
        monkeypatch.setenv("COOKBOOK_WAREHOUSE", str(warehouse))
        warehouse.parent.mkdir()
        row = dict.fromkeys(COLUMNS, recipe) | {"size_bytes": total}
        write_table(warehouse.parent / "documents", pa.Table.from_pylist([row]))
        variables = {
            "recipe_schema": recipe,
            "lake": {"filtered_code_documents": f"{warehouse.parent}/documents/*.parquet"},
            "total_bytes": total,
        }
        names = ["stg_filtered_documents", "composition", "sampling_plan", "budget_within_total"]
        build(names, variables, warehouse, tmp_path / "target")
        # what dbt saves where it had to parse something
        assert not (tmp_path / "target" / "partial_parse.msgpack").exists()
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            plan = connection.execute(f"select sum(budget_bytes) from {recipe}.sampling_plan")
            assert plan.fetchall() == [(total,)]


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
