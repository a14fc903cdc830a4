"""Keyword search over the corpus."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from assets.anneal import algorithmic
from assets.documents import DECISION_SCHEMA, DOCUMENT_SCHEMA, read_table
from assets.recipe import Anneal
from assets.table_digest import table_digest

FILES = {
    "a.py": "class Solution:\n    pass\n",
    "b.py": "# from LeetCode 42\n",
    "c.py": "def resolution():\n    pass\n",
    "d.py": "def solution(n):\n    return n\n",
    "e.py": "Dijkstra's way (a*b)\n",
}


def paths(folder: Path) -> list[str]:
    return sorted(read_table(folder)["path"].to_pylist())


def test_papers_keywords_in_any_case_and_one_decision_per_document(write_documents, tmp_path):
    out = tmp_path / "out"
    algorithmic.run(out, documents=write_documents(FILES), params=Anneal(steps=1))
    assert paths(out / "documents") == ["a.py", "b.py", "d.py"]
    decisions = read_table(out / "decisions")
    assert decisions.schema == DECISION_SCHEMA
    rows = {row["path"]: row for row in decisions.to_pylist()}
    assert len(rows) == len(FILES)
    assert rows["a.py"]["detail"] == "keyword=class solution"
    assert (rows["c.py"]["verdict"], rows["c.py"]["reason"]) == ("dropped", "no_keyword")


def test_keywords_of_a_recipe_are_plain_text(write_documents, tmp_path):
    out = tmp_path / "out"
    params = Anneal(steps=1, algorithmic_keywords=["dijkstra", "(a*b)"])
    algorithmic.run(out, documents=write_documents(FILES), params=params)
    assert paths(out / "documents") == ["e.py"]


def test_layout_and_order_of_the_input_do_not_matter(write_documents, tmp_path):
    digests = set()
    for number, (parts, reverse) in enumerate([(1, False), (3, True)]):
        out = tmp_path / f"out{number}"
        documents = write_documents(FILES, parts=parts, reverse=reverse)
        algorithmic.run(out, documents=documents, params=Anneal(steps=1))
        digests.add(table_digest(sorted((out / "documents").glob("*.parquet")))[1])
    assert len(digests) == 1


def test_nothing_found_is_an_empty_table(write_documents, tmp_path):
    out = tmp_path / "out"
    algorithmic.run(out, documents=write_documents({"c.py": "x"}), params=Anneal(steps=1))
    table = read_table(out / "documents")
    assert table.num_rows == 0 and table.schema == DOCUMENT_SCHEMA


def test_no_keywords_at_all_is_an_error():
    with pytest.raises(ValueError, match="algorithmic_keywords"):
        algorithmic.contains_keyword(pa.array(["x"]), [])
