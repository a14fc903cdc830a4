"""One process gives what Spark gives: the same documents, decisions and band hashes."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.documents import read_table
from assets.recipe import Dedup
from assets.refinecode import exact_dedup, fuzzy_dedup
from assets.refinecode.keep import duplicate_detail
from assets.refinecode.local import stages
from assets.table_digest import table_digest
from tests.assets.refinecode.conftest import Row, document, words

Write = Callable[..., Path]
BANDS: dict[str, Any] = {"permutations": 128, "bands": 32, "rows": 4}
YEARS = (2020, 2024)
#: Goes through all levels; the others are slow tests.
ALL = {"level": "repository+file+chunk", "across": "language", "verify": "exact"}
MORE: list[dict[str, Any]] = [
    {"level": level, "across": across, "verify": verify}
    for level, across, verify in [
        ("file", "language", "signature"),
        ("file", "corpus", "exact"),
        ("file", "corpus", "none"),
        ("repository", "corpus", "none"),
        ("repository", "language", "exact"),
        ("chunk", "corpus", "exact"),
        ("chunk", "language", "none"),
        ("file+chunk", "corpus", "none"),
        ("repository+file", "corpus", "signature"),
        ("repository+chunk", "corpus", "exact"),
        ("none", "corpus", "none"),
    ]
] + [
    {"level": "file+chunk", "fuzzy": False},
    {"level": "file", "exact": False, "unit": "token"},
    {"level": "file", "sketch": "exact", "unit": "char", "ngram": 7},
]  # fmt: skip


def corpus(seed: int = 0) -> list[Row]:
    """Repositories that share files, whole, a little changed or in part; facts that tie or lack."""
    draw = random.Random(seed)
    rows: list[Row] = []
    texts = [" ".join(words(number, draw.randint(40, 260))) for number in range(20)]
    texts += ["", " \n", "...", "one", "One", "one two", "+ -", "\u00c4pfel und \u0416"]
    for number in range(14):
        more: dict[str, Any] = {
            "repository": f"pypi/r{number}@1", "language": draw.choice(["python", "go"]),
            "stars": draw.choice([None, None, 3, 3, 50]),
            "popularity_percentile": draw.choice([None, 10.0, 90.5]),
            "commit_time": draw.choice([None, *(datetime(y, 5, 1, tzinfo=UTC) for y in YEARS)]),
        }  # fmt: skip
        for place, text in enumerate(draw.sample(texts, 7)):
            kind = draw.randint(0, 5)
            if kind == 0:
                text = f"{text} {' '.join(words(100 * number + place, 5))}"
            elif kind == 1:
                text = text.upper().replace(" ", "\n", 3)
            elif kind == 2:
                text = f"{' '.join(words(number, 64))} {text}"
            rows.append(document(text, path=f"src/{place}.py", **more))
    for name in ("mirror", "fork"):  # of the first repository
        for row in rows[:7]:
            text = row["content"] + (" more" if name == "fork" else "")
            rows.append(document(text, path=row["path"], repository=f"pypi/{name}@1"))
    return rows


def _tables(out: Path) -> dict[str, Any]:
    """Rows and digest (over names, types and values) of each table."""
    return {
        folder.name: table_digest(sorted(folder.iterdir()))[:2]
        for folder in sorted(out.iterdir()) if folder.is_dir()
    }  # fmt: skip


def _both(tmp_path: Path, documents: Path, params: Dedup, spark: Any, against: list[Path]) -> None:
    """Both stages in Spark and in this process, on the same input."""
    for stage, local in ((exact_dedup, stages.run_exact), (fuzzy_dedup, stages.run_fuzzy)):
        more = {"against": against} if stage is fuzzy_dedup else {}
        outs = [tmp_path / f"{stage.STAGE}-{engine}" for engine in ("spark", "local")]
        for out in outs:
            out.mkdir(parents=True)
        stage.run(outs[0], documents=documents, params=params, spark=spark, **more)
        local(outs[1], documents=documents, params=params, **more)
        decisions = [
            [row for row in read_table(out / "decisions").to_pylist() if row["verdict"] != "kept"]
            for out in outs
        ]
        assert decisions[0] == decisions[1]
        assert _tables(outs[0]) == _tables(outs[1])
        files = [sorted(path.name for path in out.iterdir()) for out in outs]
        assert files[0] == files[1]
        documents = outs[0] / "documents"


def _chosen(choice: dict[str, Any]) -> Dedup:
    return Dedup(**{**BANDS, "chunk_tokens": 32, "min_similarity": 0.7, **choice})


@pytest.mark.timeout(900)  # ten passes of Spark on a machine that may be busy
@pytest.mark.spark
def test_same_tables_on_other_partitions(spark: Any, write: Write, tmp_path: Path) -> None:
    documents = write(corpus(), files=3, in_order=False)
    before = spark.conf.get("spark.sql.shuffle.partitions")
    spark.conf.set("spark.sql.shuffle.partitions", "5")
    try:
        _both(tmp_path, documents, _chosen(ALL), spark, [])
    finally:
        spark.conf.set("spark.sql.shuffle.partitions", before)


@pytest.mark.slow
@pytest.mark.spark
@pytest.mark.parametrize("choice", MORE, ids=lambda choice: "-".join(map(str, choice.values())))
@pytest.mark.parametrize("seed", [0, 1])
def test_same_tables_at_every_level(
    spark: Any, write: Write, tmp_path: Path, choice: dict[str, Any], seed: int
) -> None:
    _both(tmp_path, write(corpus(seed), files=2, in_order=False), _chosen(choice), spark, [])


@pytest.mark.spark
def test_same_tables_for_a_crawl_after_a_crawl(spark: Any, write: Write, tmp_path: Path) -> None:
    params = _chosen({"level": "file", "verify": "exact", "across": "language"})
    rows = corpus(3)
    earlier = []
    for number in range(2):
        out = tmp_path / f"earlier-{number}"
        out.mkdir()
        part = [row for row in rows if row["repository"].endswith(f"{number}@1")]
        stages.run_fuzzy(out, documents=write(part, files=2), params=params)
        earlier.append(out)
    new = [row for row in rows if not row["repository"].endswith(("0@1", "1@1"))] + part[:3]
    _both(tmp_path, write(new, files=2), params, spark, earlier)


@pytest.mark.spark
def test_similarities_are_rounded_alike(spark: Any) -> None:
    """Halves of the last digit are where two ways to round differ."""
    from pyspark.sql import functions as F

    values = [k / 20_000 for k in range(1, 20_000, 14)] + [1 / 3, 1.0, 0.0, 5 / 32]
    frame = spark.createDataFrame(pa.table({"alike": values}))
    told = F.format_string("duplicate_of=%s jaccard=%.4f", F.lit("a"), "alike")
    found = frame.select("alike", told.alias("told")).toArrow().to_pylist()
    assert [duplicate_detail("a", row["alike"]) for row in found] == [r["told"] for r in found]


def test_a_process_that_only_deduplicates_starts_without_pandas() -> None:
    program = (
        "import sys; from assets.refinecode.local.start import load_engine; load_engine();"
        "print([m for m in ('pandas', 'scipy', 'dagster', 'pyspark') if m in sys.modules]);"
        "import pandas; print(pandas.Series([1]).sum())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split("\n")[:2] == ["[]", "1"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is mapped")
def test_pages_of_libraries_are_let_go_and_come_back() -> None:
    program = (
        "import re; from assets.refinecode.local import start\n"
        "release, start.release_memory = start.release_memory, lambda: None\n"
        "def of_files(): return int(re.search(r'RssFile:\\s+(\\d+)', "
        "open('/proc/self/status').read())[1])\n"
        "start.load_engine(); before = of_files(); release(); after = of_files()\n"
        "import numpy as np; from assets.refinecode.minhash import components\n"
        "_, labels = components(np.array([0, 1]), np.array([1, 2]))\n"
        "print(before, after, labels.tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    before, after, found = done.stdout.split(maxsplit=2)
    assert int(after) < int(before) / 2
    assert found.strip() == "[0, 0, 0]"
