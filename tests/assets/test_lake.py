"""The lake: addresses, digests, crashes, races, remote roots."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.lake import MANIFEST, Artifact, Lake, LakeError, fingerprint
from assets.table_digest import table_digest

ROWS = pa.table({"doc_id": ["a", "b", "c"], "n": [1, None, 3], "tags": [["x"], [], None]})


def write_rows(folder: Path, table: pa.Table = ROWS, parts: int = 1) -> None:
    (folder / "documents").mkdir(parents=True, exist_ok=True)
    size = -(-table.num_rows // parts)
    for part in range(parts):
        pq.write_table(
            table.slice(part * size, size), folder / "documents" / f"part-{part:05d}.parquet"
        )


def make(lake: Lake, **params: object) -> Artifact:
    return lake.materialize("stage", params, {}, write_rows)


def test_same_inputs_are_found_not_computed_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first = make(lake, a=1)
    again = lake.materialize("stage", {"a": 1}, {}, lambda out: pytest.fail("computed again"))
    assert (first.found, again.found) == (False, True)
    assert again.manifest == first.manifest
    assert again.rows("documents") == 3


@pytest.mark.parametrize("change", ["params", "version", "stage", "input"])
def test_any_change_moves_the_address(tmp_path: Path, change: str) -> None:
    lake = Lake(tmp_path / "lake")
    source = make(lake, a=1)
    other = make(lake, a=2)
    base = fingerprint("s", "1", {"p": 1}, {"in": source})
    changed = {
        "params": fingerprint("s", "1", {"p": 2}, {"in": source}),
        "version": fingerprint("s", "2", {"p": 1}, {"in": source}),
        "stage": fingerprint("t", "1", {"p": 1}, {"in": source}),
        "input": fingerprint("s", "1", {"p": 1}, {"in": other}),
    }[change]
    assert changed != base


def test_manifest_records_inputs_tables_and_software(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    source = make(lake)
    made = lake.materialize("next", {}, {"source": source}, write_rows)
    manifest = json.loads((made.path / MANIFEST).read_text())
    assert manifest["inputs"]["source"] == {
        "stage": "stage", "fingerprint": source.fingerprint, "digest": source.digest,
    }  # fmt: skip
    assert manifest["tables"]["documents"]["rows"] == 3
    assert manifest["tables"]["documents"]["schema"]["doc_id"] == "string"
    assert {"python", "pyarrow"} <= set(manifest["software"])


def test_failed_compute_leaves_nothing_at_the_address(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    def fail(out: Path) -> None:
        write_rows(out)
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        lake.materialize("stage", {}, {}, fail)
    assert lake.find("stage", fingerprint("stage", "1", {}, {})) is None
    assert list((tmp_path / "lake" / "stage").iterdir()) == []
    assert make(lake).rows("documents") == 3


def test_resumable_compute_gets_its_folder_back(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")

    def half(out: Path) -> None:
        (out / "progress").write_text("half")
        raise KeyboardInterrupt

    def rest(out: Path) -> None:
        assert (out / "progress").read_text() == "half"
        (out / "progress").write_text("whole")

    with pytest.raises(KeyboardInterrupt):
        lake.materialize("train", {}, {}, half, resumable=True)
    done = lake.materialize("train", {}, {}, rest, resumable=True)
    assert (done.path / "progress").read_text() == "whole"


def test_digest_ignores_partitioning_and_order_but_not_content(tmp_path: Path) -> None:
    def digest(table: pa.Table, parts: int, name: str) -> str:
        write_rows(tmp_path / name, table, parts)
        return table_digest(sorted((tmp_path / name / "documents").glob("*")))[1]

    whole = digest(ROWS, 1, "whole")
    assert digest(ROWS.take([2, 0, 1]), 3, "shuffled") == whole
    assert digest(ROWS.slice(0, 2), 1, "fewer") != whole
    assert digest(ROWS.take([0, 0, 1, 2]), 1, "doubled") != whole
    nulls = ROWS.set_column(1, "n", pa.array([1, 0, 3], pa.int64()))
    assert digest(nulls, 1, "null-is-not-zero") != whole


def test_cells_cannot_be_confused_across_columns(tmp_path: Path) -> None:
    digests = []
    for number, (a, b) in enumerate([("1:x", "y"), ("1:", "xy"), ("", "1:xy")]):
        write_rows(tmp_path / str(number), pa.table({"a": [a], "b": [b]}))
        digests.append(table_digest(list((tmp_path / str(number) / "documents").glob("*")))[1])
    assert len(set(digests)) == 3


def test_logs_stand_outside_the_digest(tmp_path: Path) -> None:
    def timed(seconds: str) -> Artifact:
        def compute(out: Path) -> None:
            write_rows(out)
            (out / "logs").mkdir()
            (out / "logs" / "time.txt").write_text(seconds)

        return Lake(tmp_path / seconds).materialize("stage", {}, {}, compute)

    assert timed("1").digest == timed("22").digest


def test_damaged_artifact_is_set_aside_and_made_again(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    first = make(lake)
    file = first.path / "documents" / "part-00000.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    again = make(lake)
    assert again.found is False and again.digest == first.digest
    assert list(first.path.parent.glob(".damaged-*"))


def slow(root: Path, name: str) -> None:
    def compute(out: Path) -> None:
        write_rows(out)
        (out / "who").write_text(name)
        time.sleep(0.3)

    Lake(root).materialize("stage", {}, {}, compute)


def test_two_writers_of_one_fingerprint_agree(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=slow, args=(tmp_path / "lake", name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0]
    artifacts = list(Lake(tmp_path / "lake").artifacts())
    assert len(artifacts) == 1
    assert (artifacts[0].path / "who").read_text() in "ab"


def test_killed_writer_leaves_no_artifact(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")

    def hang(root: Path) -> None:
        def compute(out: Path) -> None:
            write_rows(out)
            os.kill(os.getpid(), signal.SIGKILL)

        Lake(root).materialize("stage", {}, {}, compute)

    writer = context.Process(target=hang, args=(tmp_path / "lake",))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    lake = Lake(tmp_path / "lake")
    assert list(lake.artifacts()) == []
    assert make(lake).found is False


def test_remote_lake_stages_uploads_and_reads_back(tmp_path: Path) -> None:
    root = f"memory://cookbook-{tmp_path.name}/lake"
    made = make(Lake(root, cache=tmp_path / "one"))
    seen = make(Lake(root, cache=tmp_path / "two"))
    assert seen.found and seen.digest == made.digest
    assert seen.path.is_relative_to(tmp_path / "two")
    assert pq.read_table(seen.table("documents")).num_rows == 3
    assert [a.fingerprint for a in Lake(root, cache=tmp_path / "two").artifacts()] == [
        made.fingerprint
    ]


def test_remote_artifact_without_manifest_is_absent(tmp_path: Path) -> None:
    root = f"memory://cookbook-{tmp_path.name}/lake"
    lake = Lake(root, cache=tmp_path / "cache")
    made = make(lake)
    lake.fs.rm(f"{lake._base}/stage/{made.fingerprint}/{MANIFEST}")
    assert Lake(root, cache=tmp_path / "fresh").find("stage", made.fingerprint) is None


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LakeError, match="cache folder"):
        Lake("memory://x/lake")
    lake = Lake(tmp_path / "lake")
    with pytest.raises(LakeError, match=r"has no table 'tokens'.*documents"):
        make(lake).table("tokens")
    with pytest.raises(LakeError, match="materialise the asset 'corpus'"):
        lake.open("corpus", "0" * 32)
