"""What enters the corpus, and how much of it stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.documents import read_table
from assets.recipe import Select
from assets.refinecode import sample, select
from tests.assets.refinecode.conftest import document, outcome

Write = Callable[..., Path]


def test_repositories_are_matched_with_and_without_registry_and_version() -> None:
    known = ["pypi/boltons@26.2.0", "npm/@capacitor/android@8.5.2", "git/boltons-extra", "local"]
    match = select.match_repositories
    assert match(["boltons"], known) == ["pypi/boltons@26.2.0"]
    assert match(["pypi/boltons"], known) == ["pypi/boltons@26.2.0"]
    assert match(["npm/@capacitor/android"], known) == ["npm/@capacitor/android@8.5.2"]
    assert match(["@capacitor/android", "local"], known) == ["local", known[1]]
    with pytest.raises(select.SelectError, match=r"'bolton'.*Remove or correct"):
        match(["bolton"], known)


@pytest.mark.spark
def test_select_names_the_reason_and_sets_heldout_aside(
    spark: Any, write: Write, tmp_path: Path
) -> None:
    held = "pypi/boltons@26.2.0"
    rows = [
        good := document("x = 1\n" * 20, stars=9),
        held_row := document("held = 1\n", repository=held),
        held_big := document("big" * 200, path="b.py", repository=held),
        copy := document("held = 1\n", path="vendored.py", stars=9),
        big := document("y" * 501, path="big.py", stars=9),
        blob := document("??", path="x.blob", doc_type="unknown"),
        pdf := document("pdf", path="x.pdf", doc_type="excluded"),
        poor := document("z = 1", path="poor.py", stars=4),
        no_stars := document("w = 1", path="w.py"),
    ]
    params = Select(max_bytes=500, min_stars=5)
    select.run(tmp_path, documents=write(rows), params=params, heldout_repositories=["boltons"],
               spark=spark)  # fmt: skip
    kept, judged = outcome(tmp_path, rows, select.STAGE)
    assert kept.keys() == {good["doc_id"]}
    said = {i: (row["reason"], row["detail"]) for i, row in judged.items()}
    assert said[held_row["doc_id"]] == ("held_out", f"repository={held}")
    assert said[copy["doc_id"]][0] == "heldout_copy"
    assert said[big["doc_id"]] == ("too_large", "size_bytes=501>500")
    assert said[held_big["doc_id"]][0] == "too_large"
    assert said[blob["doc_id"]] == ("doc_type", "doc_type=unknown")
    assert said[pdf["doc_id"]] == ("doc_type", "doc_type=excluded")
    assert said[poor["doc_id"]] == ("few_stars", "stars=4<5")
    assert said[no_stars["doc_id"]] == ("few_stars", "stars=unknown<5")
    assert read_table(tmp_path / "heldout").to_pylist() == [held_row]


def _plan(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    schema = pa.schema([("language", pa.string()), ("budget_bytes", pa.int64())])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "plan.parquet")
    return folder


@pytest.mark.spark
def test_sample_keeps_budgets_and_larger_budgets_extend_smaller_ones(
    spark: Any, write: Write, tmp_path: Path
) -> None:
    rows = [document(f"{i:03}" + "x" * 97, path=f"{i}.py") for i in range(20)]
    rows += [document(f"{i:03}", path=f"{i}.go", language="go") for i in range(4)]
    rows += [document(f"{i:03}", path=f"{i}.c", language="c") for i in range(4)]
    documents = write(rows, files=3)
    kept_at = {}
    for budget in (0, 450, 1200):
        plan = _plan(tmp_path / f"plan-{budget}", [
            {"language": "python", "budget_bytes": budget}, {"language": "go", "budget_bytes": None}
        ])  # fmt: skip
        out = tmp_path / f"out-{budget}"
        out.mkdir()
        sample.run(out, documents=documents, plan=plan, seed=1, spark=spark)
        kept, judged = outcome(out, rows, sample.STAGE)
        python = {i for i, row in kept.items() if row["language"] == "python"}
        assert len(python) == budget // 100 and len(kept) - len(python) == 8
        dropped = [row for row in judged.values() if row["verdict"] == "dropped"]
        assert {row["reason"] for row in dropped} <= {"over_budget"}
        kept_at[budget] = python
    assert kept_at[450] < kept_at[1200]


@pytest.mark.spark
def test_an_impossible_plan_is_refused(spark: Any, write: Write, tmp_path: Path) -> None:
    documents = write([document("a")])
    twice = _plan(tmp_path / "plan", [{"language": "c", "budget_bytes": 1}] * 2)
    with pytest.raises(sample.PlanError, match=r"\['c'\] twice"):
        sample.run(tmp_path / "out", documents=documents, plan=twice, seed=0,
                   spark=spark)  # fmt: skip
