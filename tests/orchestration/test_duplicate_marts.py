"""The marts about clusters of duplicates, built by dbt from planted decisions."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from assets.documents import decisions_table, write_table
from orchestration.dbt import build, project


def file_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


#: file: (language, bytes). The repository is what stands before the slash.
FILES = {
    "big/a.py": ("python", 100), "small/a.py": ("python", 100), "tiny/a.py": ("python", 100),
    "fork/a.py": ("python", 110), "big/b.go": ("go", 50), "small/b.go": ("go", 60),
    "alone/c.go": ("go", 70), "mirror/x.c": ("c", 10), "mirror/y.c": ("c", 20),
    "whole/x.c": ("c", 10), "whole/y.c": ("c", 20), "late/z.py": ("python", 5),
    "again/r.rs": ("rust", 1), "p/s.rs": ("rust", 2), "q/s.rs": ("rust", 2), "w/s.rs": ("rust", 2),
}  # fmt: skip
#: stage -> file -> (survivor, similarity)
DROPPED = {
    "exact_deduped_code": {
        "small/a.py": (file_id("fork/a.py"), 1.0),  # whose survivor is dropped one stage later
        "tiny/a.py": (file_id("big/a.py"), 1.0),
        "mirror/x.c": ("whole", 1.0),
        "mirror/y.c": ("whole", 1.0),
        "p/s.rs": (file_id("q/s.rs"), 1.0),
    },
    "fuzzy_deduped_code": {
        "fork/a.py": (file_id("big/a.py"), 0.9),
        "small/b.go": (file_id("big/b.go"), 0.75),
        "late/z.py": (file_id("earlier/z.py"), 0.8),  # a file of an earlier crawl
        "again/r.rs": (file_id("again/r.rs"), 1.0),  # one that is there again
        "q/s.rs": ("w:rust", 0.9),  # the Rust files of a repository
    },
}
MODELS = ("stg_duplicates", "duplicate_clusters", "cluster_sizes", "top_clusters",
          "duplicate_rates", "vendoring")  # fmt: skip


def decisions(stage: str, names: list[str]) -> pa.Table:
    rows = []
    for name in names:
        survivor, alike = DROPPED[stage].get(name, (None, None))
        reason = "exact_duplicate" if stage.startswith("exact") else "near_duplicate"
        rows.append({
            "doc_id": file_id(name), "stage": stage,
            "verdict": "dropped" if survivor else "kept", "reason": reason if survivor else "",
            "detail": f"duplicate_of={survivor} jaccard={alike:.4f}" if survivor else "",
            "repository": name.split("/")[0], "path": name.split("/")[1],
            "language": FILES[name][0], "size_bytes": FILES[name][1],
        })  # fmt: skip
    return decisions_table(rows)


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("warehouse")
    left = list(FILES)
    lake = {}
    for stage, dropped in DROPPED.items():
        write_table(folder / stage, decisions(stage, left))
        lake[f"{stage}_decisions"] = f"{folder}/{stage}/*.parquet"
        left = [name for name in left if name not in dropped]
    models = MODELS
    tests = [test for test, model in project().tests if model in models]
    variables = {"recipe_schema": "planted", "lake": lake}
    build([*models, *tests], variables, folder / "warehouse.duckdb", folder / "target")
    assert {"clusters_hold_every_duplicate", "unique_vendoring_pair"} <= set(tests)
    return folder


def query(folder: Path, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        return connection.execute(sql).fetchall()


def test_survivors_are_followed_through_both_stages(warehouse: Path) -> None:
    rows = query(
        warehouse,
        "select repository || '/' || path, level, kept_repository, kept_path, similarity "
        "from planted.duplicate_clusters order by 1",
    )
    assert rows == [
        ("again/r.rs", "file", None, None, 1.0),
        ("fork/a.py", "file", "big", "a.py", 0.9),
        ("late/z.py", "file", None, None, 0.8),
        ("mirror/x.c", "repository", "whole", None, 1.0),
        ("mirror/y.c", "repository", "whole", None, 1.0),
        ("p/s.rs", "repository", "w", None, 0.9),
        ("q/s.rs", "repository", "w", None, 0.9),
        ("small/a.py", "file", "big", "a.py", 0.9),  # equal to fork/a.py
        ("small/b.go", "file", "big", "b.go", 0.75),
        ("tiny/a.py", "file", "big", "a.py", 1.0),
    ]


def test_sizes_count_the_one_that_stays(warehouse: Path) -> None:
    rows = query(warehouse, "select * from planted.cluster_sizes order by level, units")
    assert rows == [
        ("file", 2, 3, 3, 66), ("file", 4, 1, 3, 310), ("repository", 2, 1, 2, 30),
        ("repository", 3, 1, 2, 4),
    ]  # fmt: skip


def test_top_clusters_come_largest_first(warehouse: Path) -> None:
    rows = query(
        warehouse,
        "select kept_repository, kept_path, units, repositories, dropped_files, exact_files, "
        "dropped_bytes, lowest_similarity, language from planted.top_clusters",
    )
    assert rows[0] == ("big", "a.py", 4, 3, 3, 2, 310, 0.9, "python")
    assert [row[2] for row in rows] == [4, 3, 2, 2, 2, 2]


def test_rates_by_language_say_exact_and_near(warehouse: Path) -> None:
    rows = query(
        warehouse,
        "select language, files, exact_files, near_files, dropped_bytes, round(exact_rate, 2), "
        "round(near_rate, 2) from planted.duplicate_rates order by language",
    )
    assert rows == [
        ("c", 4, 2, 0, 30, 0.5, 0.0),
        ("go", 3, 0, 1, 60, 0.0, 0.33),
        ("python", 5, 2, 2, 315, 0.4, 0.4),
        ("rust", 4, 1, 2, 5, 0.25, 0.5),
    ]


def test_vendoring_names_pairs_of_repositories(warehouse: Path) -> None:
    rows = query(
        warehouse,
        "select repository, kept_repository, dropped_files, exact_files, share_of_repository "
        "from planted.vendoring order by 1, 2",
    )
    assert rows == [
        ("fork", "big", 1, 0, 1.0),
        ("mirror", "whole", 2, 2, 1.0),
        ("p", "w", 1, 1, 1.0),
        ("q", "w", 1, 0, 1.0),
        ("small", "big", 2, 1, 1.0),
        ("tiny", "big", 1, 1, 1.0),
    ]
