"""Planted duplicates collapse onto the right survivor, however the input is cut."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.recipe import Dedup
from assets.refinecode import exact_dedup, fuzzy_dedup
from assets.refinecode.minhash import jaccard, shingle_set
from tests.assets.refinecode.conftest import Row, document, outcome, words

Write = Callable[..., Path]
PARAMS = Dedup(permutations=256, bands=25, rows=10)


def _near(seed: int, changed: int, **more: Any) -> Row:
    """A text of 400 words, ``changed`` of them replaced in one place."""
    text = words(seed, 400)
    text[100 : 100 + changed] = words(1000 + seed + changed, changed)
    return document(" ".join(text) + "\n", path=f"{seed}-{changed}.py", **more)


@pytest.mark.spark
def test_exact_keep_rule(spark: Any, write: Write, tmp_path: Path) -> None:
    def version(group: str, name: str, **more: Any) -> Row:
        return document(f"text of {group}", path=f"{group}/{name}.py", **more)

    late = datetime(2025, 1, 1, tzinfo=UTC)
    winners = [
        version("stars", "most", stars=10, popularity_percentile=None),
        version("time", "late", stars=3, commit_time=late),
        version("percentile", "high", popularity_percentile=90.0),
        version("known", "few", stars=0, popularity_percentile=1.0),
    ]
    losers = [
        version("stars", "fewer", stars=9, popularity_percentile=99.0, commit_time=late),
        version("time", "early", stars=3, popularity_percentile=99.0),
        version("time", "never", stars=3, commit_time=None),
        version("percentile", "low", popularity_percentile=80.0, commit_time=late),
        version("percentile", "none", popularity_percentile=None, commit_time=late),
        version("known", "unknown", popularity_percentile=99.0, commit_time=late),
    ]
    ties = sorted((version("tie", n) for n in "abc"), key=lambda row: row["doc_id"])
    rows = [*winners, *losers, *ties]
    exact_dedup.run(tmp_path, documents=write(rows, files=2), params=PARAMS, spark=spark)
    kept, judged = outcome(tmp_path, rows, exact_dedup.STAGE)
    assert kept.keys() == {row["doc_id"] for row in [*winners, ties[0]]}
    dropped = judged[ties[2]["doc_id"]]
    assert dropped["reason"] == "exact_duplicate"
    assert dropped["detail"] == f"duplicate_of={ties[0]['doc_id']} jaccard=1.0000"


@pytest.mark.spark
def test_near_duplicates_collapse_and_say_how_alike_they_are(
    spark: Any, write: Write, tmp_path: Path
) -> None:
    best = _near(1, 0, stars=5)
    close = _near(1, 8, stars=4)
    closer = _near(1, 2, stars=3)
    far = _near(1, 300)
    others = [_near(seed, 0) for seed in range(2, 30)]
    short = [document(text, path=f"s{i}.py") for i, text in enumerate(["one two", "one Three"])]
    short += [document("one, two!", path="s9.py", stars=1)]
    empty = [document(text, path=f"e{i}.py") for i, text in enumerate(["", "...\n", "+ - *"])]
    twin = document("...\n", path="twin.py", stars=2)
    rows = [best, close, closer, far, *others, *short, *empty, twin]
    fuzzy_dedup.run(tmp_path, documents=write(rows, files=2), params=PARAMS, spark=spark)
    kept, judged = outcome(tmp_path, rows, fuzzy_dedup.STAGE)
    gone = [close, closer, short[0], empty[1]]
    assert kept.keys() == {r["doc_id"] for r in rows} - {r["doc_id"] for r in gone}
    for row in (close, closer):
        true = jaccard(*(shingle_set(r["content"], 5) for r in (best, row)))
        decision = judged[row["doc_id"]]
        assert decision["reason"] == "near_duplicate"
        assert decision["detail"] == f"duplicate_of={best['doc_id']} jaccard={true:.4f}"
        assert 0.9 < true < 1
    assert judged[short[0]["doc_id"]]["detail"].startswith(f"duplicate_of={short[2]['doc_id']}")
    assert judged[empty[1]["doc_id"]]["detail"] == f"duplicate_of={twin['doc_id']} jaccard=1.0000"


@pytest.mark.spark
def test_survivors_do_not_depend_on_partitions_or_order(
    spark: Any, write: Write, tmp_path: Path
) -> None:
    rows = [_near(seed, changed, stars=(seed * changed) % 3 or None)
            for seed in range(25) for changed in (0, 3, 6, 60)]  # fmt: skip
    seen = []
    for partitions in (1, 2, 8):
        random.Random(partitions).shuffle(rows)
        out = tmp_path / str(partitions)
        out.mkdir()
        before = spark.conf.get("spark.sql.shuffle.partitions")
        spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
        try:
            documents = write(rows, files=partitions, in_order=False)
            fuzzy_dedup.run(out, documents=documents, params=PARAMS, spark=spark)
        finally:
            spark.conf.set("spark.sql.shuffle.partitions", before)
        kept, judged = outcome(out, rows, fuzzy_dedup.STAGE)
        seen.append((sorted(kept), sorted((i, row["detail"]) for i, row in judged.items())))
    assert seen[0] == seen[1] == seen[2]
    assert 25 <= len(seen[0][0]) <= 50


@pytest.mark.spark
def test_repositories_are_kept_or_dropped_whole(spark: Any, write: Write, tmp_path: Path) -> None:
    def repository(name: str, texts: list[str], **more: Any) -> list[Row]:
        return [document(text, path=f"{i}.py", repository=name, **more)
                for i, text in enumerate(texts)]  # fmt: skip

    texts = [" ".join(words(seed, 200)) for seed in range(4)]
    original = repository("pypi/one@1", texts, stars=5)
    mirror = repository("pypi/mirror@1", texts, stars=4)
    fork = repository("pypi/fork@1", [*texts[:3], texts[3] + " one more word"], stars=3)
    partial = repository("pypi/partial@1", [texts[0], " ".join(words(9, 900))], stars=2)
    rows = [*original, *mirror, *fork, *partial]
    params = PARAMS.model_copy(update={"level": "repository"})
    exact, fuzzy = tmp_path / "exact", tmp_path / "fuzzy"
    exact.mkdir()
    fuzzy.mkdir()
    exact_dedup.run(exact, documents=write(rows, files=3), params=params, spark=spark)
    kept, judged = outcome(exact, rows, exact_dedup.STAGE)
    assert {row["repository"] for row in kept.values()} == {
        "pypi/one@1", "pypi/fork@1", "pypi/partial@1"
    }  # fmt: skip
    assert judged[mirror[0]["doc_id"]]["detail"] == "duplicate_of=pypi/one@1 jaccard=1.0000"
    left = [row for row in rows if row["doc_id"] in kept]
    fuzzy_dedup.run(fuzzy, documents=exact / "documents", params=params, spark=spark)
    kept, judged = outcome(fuzzy, left, fuzzy_dedup.STAGE)
    assert {row["repository"] for row in kept.values()} == {"pypi/one@1", "pypi/partial@1"}
    assert len(kept) == 6
    alike = float(judged[fork[1]["doc_id"]]["detail"].rsplit("=", 1)[1])
    assert 0.99 < alike < 1


@pytest.mark.spark
def test_level_none_keeps_everything(spark: Any, write: Write, tmp_path: Path) -> None:
    rows = [document("same text", path=f"{i}.py") for i in range(3)]
    params = PARAMS.model_copy(update={"level": "none"})
    for stage in (exact_dedup, fuzzy_dedup):
        out = tmp_path / stage.STAGE
        out.mkdir()
        stage.run(out, documents=write(rows), params=params, spark=spark)
        kept, _ = outcome(out, rows, stage.STAGE)
        assert len(kept) == 3


def test_a_bucket_that_spans_batches_is_one_star() -> None:
    nodes = list(range(10, 20))
    batches = [
        pa.record_batch({"node": pa.array(nodes[a:b], pa.int64()),
                         "key": pa.array([-3] + [7] * (b - a - 1) if a == 0 else [7] * (b - a),
                                         pa.int64())})
        for a, b in ((0, 4), (4, 5), (5, 10))
    ]  # fmt: skip
    [edges] = fuzzy_dedup.star_edges(iter(batches))
    assert edges.column("low").to_pylist() == [11] * 8
    assert np.array_equal(edges.column("high").to_numpy(), np.arange(12, 20))
