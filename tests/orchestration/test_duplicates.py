"""`cookbook duplicates`: the cluster of a file, read from a planted lake."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from assets.documents import DOCUMENT_SCHEMA, decisions_table, write_table
from assets.resources import Factory, Handles
from orchestration.cli import main
from orchestration.duplicates import duplicates, keep_key, keep_reason
from tests.assets.refinecode.conftest import Row, document

EARLIER = "e" * 64


def file(repository: str, path: str, text: str, **more: Any) -> Row:
    return document(text, path=path, repository=repository, **more)


BASE = "one\ntwo\nthree\n"
FILES = {
    "kept": file("big", "src/a.py", BASE, stars=50),
    "fork": file("fork", "a.py", BASE + "four\n", stars=7),
    "copy": file("copy", "lib/a.py", BASE + "four\n", stars=3),
    "alone": file("alone", "b.py", "nothing like it\n"),
    "same1": file("twins", "x/c.py", "c\n"),
    "same2": file("twins", "y/c.py", "c\n"),
    "old": file("late", "old.py", "old\n"),
    "left1": file("left", "m.py", "one\n"),
    "left2": file("left", "n.py", "two\n"),
    "right1": file("right", "m.py", "one, or so\n"),
    "right2": file("right", "n.py", "two\n"),
    "cut": file("cut", "chunks.py", "head\nbody\n"),
}
SELECTED_OUT = file("big", "data/huge.py", "never selected")


def dropped(name: str, survivor: str, alike: float, reason: str = "near_duplicate") -> Row:
    told = f"duplicate_of={survivor} jaccard={alike:.4f}"
    return {**FILES[name], "verdict": "dropped", "reason": reason, "detail": told}


def table_of(rows: list[Row], out: Path, stage: str, judged: list[Row]) -> None:
    write_table(out / "documents", pa.Table.from_pylist(rows, DOCUMENT_SCHEMA))
    known = {row["doc_id"]: row for row in judged}
    kept = {"verdict": "kept", "reason": "", "detail": ""}
    everything = {row["doc_id"]: row for row in [*rows, *judged]}.values()
    write_table(out / "decisions", decisions_table(
        {**kept, **known.get(row["doc_id"], row), "stage": stage} for row in everything
    ))  # fmt: skip


@pytest.fixture
def recipe() -> str:
    ids = {name: row["doc_id"] for name, row in FILES.items()}
    exact = [
        dropped("copy", ids["fork"], 1.0, "exact_duplicate"),
        dropped("same2", ids["same1"], 1.0, "exact_duplicate"),
        dropped("right1", "left", 0.9), dropped("right2", "left", 0.9),
    ]  # fmt: skip
    cut = {**FILES["cut"], "content": "head\n", "verdict": "changed", "reason": "duplicate_chunks",
           "detail": f"duplicate_of={ids['kept']} jaccard=1.0000 chunks=1/2"}  # fmt: skip
    fuzzy = [dropped("fork", ids["kept"], 0.75), dropped("old", EARLIER, 0.8), cut]
    left = {name: row for name, row in FILES.items()}
    tables = {"selected_code": (list(FILES.values()), [
        {**SELECTED_OUT, "verdict": "dropped", "reason": "too_large", "detail": "bytes=9"}
    ])}  # fmt: skip
    for stage, judged in (("exact_deduped_code", exact), ("fuzzy_deduped_code", fuzzy)):
        for row in judged:
            name = next(n for n, one in FILES.items() if one["doc_id"] == row["doc_id"])
            if row["verdict"] == "dropped":
                del left[name]
            else:
                left[name] = row
        tables[stage] = (list(left.values()), judged)
    factory = Factory()
    for stage, (rows, judged) in tables.items():
        artifact = factory.lake.materialize(
            stage, {}, {}, lambda out, s=stage, r=rows, j=judged: table_of(r, out, s, j)  # type: ignore[misc]
        )  # fmt: skip
        Handles(factory.settings.home).write(stage, "planted", artifact)
    return "planted"


def test_survivors_are_followed_and_say_why_they_stay(recipe: str) -> None:
    text = duplicates("lib/a.py", recipe)
    assert "copy/lib/a.py  (python, 19 bytes)\none of 3 files that are duplicates" in text
    assert "kept: big/src/a.py\nwhy:  most stars: 50, next 7\n" in text
    # equal to fork/a.py, whose similarity to the file that stays it therefore has
    lines = {line.split()[-1]: line.split() for line in text.splitlines() if "/a.py" in line}
    assert lines["file"][:2] == ["0.7500", "exact_duplicate"]
    assert lines["fork/a.py"][:2] == ["0.7500", "near_duplicate"]
    assert text.endswith("@@ -1,3 +1,4 @@\n one\n two\n three\n+four")
    assert "--- big/src/a.py  (kept)\n+++ copy/lib/a.py  (dropped)" in text
    assert duplicates("fork/a.py", recipe).count("<- this file") == 1


def test_the_file_that_was_kept_is_compared_with_the_least_like_it(recipe: str) -> None:
    text = duplicates("big/src/a.py", recipe, diff_lines=3)
    assert "kept: big/src/a.py  (this file)" in text and "+++ fork/a.py  (dropped)" in text
    assert text.endswith("... and 4 more lines; --lines shows more")


def test_equal_files_have_no_diff(recipe: str) -> None:
    text = duplicates("y/c.py", recipe)
    assert "twins/y/c.py  (dropped) is equal, byte for byte" in text
    assert "why:  smallest doc_id" in text


def test_whole_repositories(recipe: str) -> None:
    text = duplicates("right/m.py", recipe)
    assert "its repository is one of 2 that are duplicates as a whole\nkept: left\n" in text
    assert "0.9000  near_duplicate    right  <- of this file" in text
    assert "--- left/m.py  (kept)\n+++ right/m.py  (dropped)" in text
    assert "kept: left  (its own)" in duplicates("left/m.py", recipe)
    assert "+++ right/m.py  (dropped)" in duplicates("left/m.py", recipe)


def test_other_fates(recipe: str) -> None:
    assert duplicates("b.py", recipe).endswith("found no other file like it, and kept it")
    assert f"kept: a file of an earlier crawl, {EARLIER}" in duplicates("old.py", recipe)
    cut = duplicates("chunks.py", recipe)
    assert "chunks=1/2" in cut and cut.endswith(" head\n-body")


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.py", "no file of recipe 'planted' ends with 'nowhere.py'"),
        (
            "/c.py",
            "2 files of recipe 'planted' end with '/c.py'; give more of the path:\n  twins/x",
        ),
        ("huge.py", "never reached deduplication: selected_code dropped it (too_large bytes=9)"),
    ],
)
def test_paths_that_have_no_cluster(recipe: str, path: str, message: str) -> None:
    result = CliRunner().invoke(main, ["duplicates", path, "--recipe", recipe])
    assert result.exit_code == 2 and message in result.output


def test_the_keep_rule_in_words() -> None:
    def facts(stars: int | None, percentile: float | None, year: int | None, doc_id: str) -> Row:
        time = None if year is None else datetime(year, 1, 1, tzinfo=UTC)
        return {"stars": stars, "popularity_percentile": percentile, "commit_time": time,
                "doc_id": doc_id}  # fmt: skip

    order = [
        facts(5, None, None, "f"), facts(0, 99.0, 2024, "e"), facts(0, None, 1999, "a"),
        facts(None, 80.0, 2000, "d"), facts(None, 10.0, None, "c"), facts(None, None, 2025, "b"),
        facts(None, None, None, "a"), facts(None, None, None, "b"),
    ]  # fmt: skip
    assert sorted(reversed(order), key=keep_key) == order
    reasons = [keep_reason(*pair) for pair in pairwise(order)]
    assert reasons == [
        "most stars: 5, next 0",
        "latest commit: 2024-01-01, next 1999-01-01",
        "most stars: 0, next unknown",
        "most popular: percentile 80.0, next 10.0",
        "most popular: percentile 10.0, next unknown",
        "latest commit: 2025-01-01, next -",
        "smallest doc_id: stars, popularity and commit time decide nothing",
    ]
