"""Planted duplicates collapse onto the right survivor, however the input is cut.

Most of it is shown in one process; that Spark gives the same is in ``test_dedup_local``.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assets.documents import content_digest, read_table
from assets.recipe import Dedup
from assets.refinecode import exact_dedup, fuzzy_dedup
from assets.refinecode.band_index import BandIndexError
from assets.refinecode.local.stages import run_exact, run_fuzzy
from assets.refinecode.minhash import SketchParams, shingle_sets, similarities
from tests.assets.refinecode.conftest import Row, document, outcome, words

Write = Callable[..., Path]
PARAMS = Dedup(permutations=256, bands=25, rows=10)


def _near(seed: int, changed: int, **more: Any) -> Row:
    """A text of 400 words, ``changed`` of them replaced in one place."""
    text = words(seed, 400)
    text[100 : 100 + changed] = words(1000 + seed + changed, changed)
    return document(" ".join(text) + "\n", path=f"{seed}-{changed}.py", **more)


def _jaccard(left: Row, right: Row) -> float:
    sets = shingle_sets(pa.array([left["content"], right["content"]]), SketchParams())
    return float(similarities(sets, np.array([0]), np.array([1]))[0])


def _run(out: Path, documents: Path, params: Dedup, **more: Any) -> Path:
    out.mkdir()
    run_fuzzy(out, documents=documents, params=params, **more)
    return out


def test_exact_keep_rule(write: Write, tmp_path: Path) -> None:
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
    run_exact(tmp_path, documents=write(rows, files=2), params=PARAMS)
    kept, judged = outcome(tmp_path, rows, exact_dedup.STAGE)
    assert kept.keys() == {row["doc_id"] for row in [*winners, ties[0]]}
    dropped = judged[ties[2]["doc_id"]]
    assert dropped["reason"] == "exact_duplicate"
    assert dropped["detail"] == f"duplicate_of={ties[0]['doc_id']} jaccard=1.0000"


def test_near_duplicates_collapse_and_say_how_alike_they_are(write: Write, tmp_path: Path) -> None:
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
    run_fuzzy(tmp_path, documents=write(rows, files=2), params=PARAMS)
    kept, judged = outcome(tmp_path, rows, fuzzy_dedup.STAGE)
    gone = [close, closer, short[0], empty[1]]
    assert kept.keys() == {r["doc_id"] for r in rows} - {r["doc_id"] for r in gone}
    for row in (close, closer):
        true = _jaccard(best, row)
        decision = judged[row["doc_id"]]
        assert decision["reason"] == "near_duplicate"
        assert decision["detail"] == f"duplicate_of={best['doc_id']} jaccard={true:.4f}"
        assert 0.9 < true < 1
    assert judged[short[0]["doc_id"]]["detail"].startswith(f"duplicate_of={short[2]['doc_id']}")
    assert judged[empty[1]["doc_id"]]["detail"] == f"duplicate_of={twin['doc_id']} jaccard=1.0000"


@pytest.mark.slow  # that of test_dedup_local has partitions and an order of its own
@pytest.mark.spark
def test_survivors_do_not_depend_on_partitions_or_order(
    spark: Any, write: Write, tmp_path: Path
) -> None:
    rows = [_near(seed, changed, stars=(seed * changed) % 3 or None)
            for seed in range(10) for changed in (0, 3, 6, 60)]  # fmt: skip
    seen = []
    for partitions in (0, 1, 8):  # 0: without Spark
        random.Random(partitions).shuffle(rows)
        out = tmp_path / str(partitions)
        documents = write(rows, files=partitions or 3, in_order=False)
        if partitions:
            out.mkdir()
            before = spark.conf.get("spark.sql.shuffle.partitions")
            spark.conf.set("spark.sql.shuffle.partitions", str(partitions))
            try:
                fuzzy_dedup.run(out, documents=documents, params=PARAMS, spark=spark)
            finally:
                spark.conf.set("spark.sql.shuffle.partitions", before)
        else:
            _run(out, documents, PARAMS)
        kept, judged = outcome(out, rows, fuzzy_dedup.STAGE)
        seen.append((sorted(kept), sorted((i, row["detail"]) for i, row in judged.items())))
    assert seen[0] == seen[1] == seen[2]
    assert 10 <= len(seen[0][0]) <= 20


def test_repositories_are_kept_or_dropped_whole(write: Write, tmp_path: Path) -> None:
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
    run_exact(exact, documents=write(rows, files=3), params=params)
    kept, judged = outcome(exact, rows, exact_dedup.STAGE)
    assert {row["repository"] for row in kept.values()} == {
        "pypi/one@1", "pypi/fork@1", "pypi/partial@1"
    }  # fmt: skip
    assert judged[mirror[0]["doc_id"]]["detail"] == "duplicate_of=pypi/one@1 jaccard=1.0000"
    left = [row for row in rows if row["doc_id"] in kept]
    run_fuzzy(fuzzy, documents=exact / "documents", params=params)
    kept, judged = outcome(fuzzy, left, fuzzy_dedup.STAGE)
    assert {row["repository"] for row in kept.values()} == {"pypi/one@1", "pypi/partial@1"}
    assert len(kept) == 6
    alike = float(judged[fork[1]["doc_id"]]["detail"].rsplit("=", 1)[1])
    assert 0.99 < alike < 1


def test_level_none_keeps_everything(write: Write, tmp_path: Path) -> None:
    rows = [document("same text", path=f"{i}.py") for i in range(3)]
    params = PARAMS.model_copy(update={"level": "none"})
    for stage, run in ((exact_dedup, run_exact), (fuzzy_dedup, run_fuzzy)):
        out = tmp_path / stage.STAGE
        out.mkdir()
        run(out, documents=write(rows), params=params)
        kept, _ = outcome(out, rows, stage.STAGE)
        assert len(kept) == 3


def test_repositories_first_then_files(write: Write, tmp_path: Path) -> None:
    """A fork goes whole although its files differ a little; then single files meet their like."""
    texts = [" ".join(words(seed, 300)) for seed in range(4)]

    def repository(name: str, texts: list[str], **more: Any) -> list[Row]:
        return [document(text, path=f"{i}.py", repository=name, **more)
                for i, text in enumerate(texts)]  # fmt: skip

    original = repository("pypi/one@1", texts, stars=5)
    fork = repository("pypi/fork@1", [*texts[:3], texts[3] + " more"], stars=4)
    vendor = repository(
        "pypi/vendor@1", [texts[2], texts[1] + " again", " ".join(words(9, 2000))], stars=3
    )
    rows = [*original, *fork, *vendor]
    params = PARAMS.model_copy(update={"level": "repository+file"})
    first, out = tmp_path / "first", tmp_path / "out"
    first.mkdir()
    out.mkdir()
    run_exact(first, documents=write(rows, files=2), params=params)
    run_fuzzy(out, documents=first / "documents", params=params)
    judged = {row["doc_id"]: row for folder in (first, out)
              for row in read_table(folder / "decisions").to_pylist()}  # fmt: skip
    kept = {row["doc_id"]: row for row in read_table(out / "documents").to_pylist()}
    assert judged.keys() == {row["doc_id"] for row in rows}
    assert kept.keys() == {row["doc_id"] for row in [*original, vendor[2]]}
    assert {judged[row["doc_id"]]["detail"].split()[0] for row in fork} == {
        "duplicate_of=pypi/one@1"
    }
    assert judged[vendor[0]["doc_id"]]["detail"] == (
        f"duplicate_of={original[2]['doc_id']} jaccard=1.0000"
    )
    assert judged[vendor[1]["doc_id"]]["detail"] == (
        f"duplicate_of={original[1]['doc_id']} jaccard={_jaccard(original[1], vendor[1]):.4f}"
    )


def test_duplicated_chunks_are_cut_out(write: Write, tmp_path: Path) -> None:
    first, own = words(1, 200), words(2, 100)
    best = document(" ".join(first) + "\n", path="best.py", stars=3)
    part = document(" ".join([*own, *first[50:150]]), path="part.py", stars=2)
    copy = document("  " + " ".join(first), path="copy.py", stars=1)
    twice = document("\n".join([*words(3, 50), *words(3, 50)]), path="twice.py")
    rows = [best, part, copy, twice]
    params = PARAMS.model_copy(update={"level": "chunk", "chunk_tokens": 50})
    for stage, run in ((exact_dedup, run_exact), (fuzzy_dedup, run_fuzzy)):
        out = tmp_path / stage.STAGE
        out.mkdir()
        run(out, documents=write(rows, files=2), params=params)
        kept, judged = outcome(out, rows, stage.STAGE)
        assert kept[best["doc_id"]] == best
        changed = judged[part["doc_id"]]
        told = f"duplicate_of={best['doc_id']} jaccard=1.0000 chunks="
        assert (changed["verdict"], changed["reason"]) == ("changed", "duplicate_chunks")
        assert changed["detail"] == told + "2/4"
        left = kept[part["doc_id"]]
        assert left["content"] == " ".join(own) + " " and left["size_bytes"] == len(left["content"])
        assert left["content_sha256"] == content_digest(left["content"])
        assert kept[twice["doc_id"]]["content"] == "\n".join(words(3, 50)) + "\n"
        assert judged[copy["doc_id"]]["verdict"] == "dropped"
        assert judged[copy["doc_id"]]["detail"] == told + "4/4"


def test_across_language_only_compares_files_of_one_language(write: Write, tmp_path: Path) -> None:
    rows = [_near(1, changed, language=language, stars=changed)
            for language in ("python", "java") for changed in (0, 3)]  # fmt: skip
    for index, row in enumerate(rows):
        row["doc_id"] = f"{index:064x}"
    params = PARAMS.model_copy(update={"across": "language"})
    kept, judged = outcome(_run(tmp_path / "a", write(rows), params), rows, fuzzy_dedup.STAGE)
    assert kept.keys() == {rows[1]["doc_id"], rows[3]["doc_id"]}
    assert judged[rows[0]["doc_id"]]["detail"].startswith(f"duplicate_of={rows[1]['doc_id']}")
    out = tmp_path / "exact"
    out.mkdir()
    same = [dict(row, content=rows[0]["content"], content_sha256=rows[0]["content_sha256"],
                 size_bytes=rows[0]["size_bytes"]) for row in rows]  # fmt: skip
    run_exact(out, documents=write(same), params=params)
    kept, _ = outcome(out, same, exact_dedup.STAGE)
    assert sorted(row["language"] for row in kept.values()) == ["java", "python"]


@pytest.mark.parametrize("verify", ["exact", "signature"])
def test_verification_sends_candidates_below_the_floor_away(
    write: Write, tmp_path: Path, verify: str
) -> None:
    rows = [_near(seed, changed, stars=200 - changed)
            for seed in range(6) for changed in (0, 4, 40, 120)]  # fmt: skip
    wide = Dedup(permutations=256, bands=64, rows=4)
    params = wide.model_copy(update={"verify": verify, "min_similarity": 0.9})
    loose, judged = outcome(_run(tmp_path / "a", write(rows), wide), rows, fuzzy_dedup.STAGE)
    assert len(loose) == 6
    kept, judged = outcome(_run(tmp_path / "b", write(rows), params), rows, fuzzy_dedup.STAGE)
    for at in range(0, len(rows), 4):
        best, near, *far = rows[at : at + 4]
        true = _jaccard(best, near)
        assert true > 0.95 and all(_jaccard(best, row) < 0.85 for row in far)
        detail = f"duplicate_of={best['doc_id']} jaccard={true:.4f}"
        assert judged[near["doc_id"]]["detail"] == detail
        assert kept.keys() >= {row["doc_id"] for row in [best, *far]}


def test_a_new_crawl_is_compared_with_what_earlier_ones_kept(write: Write, tmp_path: Path) -> None:
    params = PARAMS.model_copy(update={"verify": "exact", "min_similarity": 0.7})
    old = [_near(seed, 0, stars=1) for seed in range(5)] + [_near(4, 3)]
    first = _run(tmp_path / "first", write(old), params)
    index = read_table(first / "bands")
    assert index.column_names == ["doc_id", "keys"] and index.num_rows == 5
    near = _near(2, 6, stars=99)
    fresh, fresh_copy = _near(7, 0), _near(7, 2)
    again = _near(3, 0, stars=99)  # the very same file
    rows = [near, fresh, fresh_copy, again]
    second = _run(tmp_path / "second", write(rows), params, against=[first])
    kept, judged = outcome(second, rows, fuzzy_dedup.STAGE)
    assert len(kept) == 1 and kept.keys() < {fresh["doc_id"], fresh_copy["doc_id"]}
    assert judged[near["doc_id"]]["detail"] == (
        f"duplicate_of={old[2]['doc_id']} jaccard={_jaccard(near, old[2]):.4f}"
    )
    assert judged[again["doc_id"]]["detail"] == f"duplicate_of={old[3]['doc_id']} jaccard=1.0000"
    assert read_table(second / "bands")["doc_id"].to_pylist() == list(kept)
    other = params.model_copy(update={"ngram": 4})
    with pytest.raises(BandIndexError, match=r"bands\.json: .*ngram: 5 there, 4 here"):
        _run(tmp_path / "third", write(rows), other, against=[first])
    with pytest.raises(BandIndexError, match="not found"):
        _run(tmp_path / "fourth", write(rows), params, against=[tmp_path])
