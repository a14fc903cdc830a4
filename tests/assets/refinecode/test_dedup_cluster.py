"""A real standalone cluster, a master and two workers, gives what the local session gives."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from assets.documents import read_table
from assets.spark import find_java
from tests.assets.refinecode.conftest import Row, document, words

_RUN = """
import sys
from pathlib import Path
from assets.recipe import Dedup
from assets.refinecode import fuzzy_dedup
from assets.settings import Settings
from assets.spark import spark_session

settings = Settings.from_environment()
spark = spark_session(settings.spark_master, memory=settings.spark_memory)
out = Path(sys.argv[2])
out.mkdir()
fuzzy_dedup.run(out, documents=Path(sys.argv[1]), params=Dedup(preset="verified"), spark=spark)
print("executors", spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1)
"""


@pytest.fixture
def master(tmp_path: Path) -> Iterator[str]:
    """The URL of a master with two workers of one core each; all are stopped at the end."""
    import pyspark

    home = Path(pyspark.__file__).parent
    java = find_java()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    [core] = (home / "jars").glob("spark-core_*.jar")  # outside a build tree Spark wants its Scala
    environment = {**os.environ, "JAVA_HOME": str(java.home), "SPARK_HOME": str(home),
                   "SPARK_SCALA_VERSION": core.name.split("_")[1].split("-")[0]}  # fmt: skip

    def start(name: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / f"{arguments[0].rsplit('.')[-1]}-{name}.log", "wb") as log:
            return subprocess.Popen(
                [str(java.home / "bin" / "java"), "-Xmx256m", "-cp", f"{home}/jars/*",
                 "org.apache.spark.deploy." + arguments[0], "--host", "127.0.0.1", *arguments[1:]],
                stdout=log, stderr=log, env=environment, cwd=tmp_path,
            )  # fmt: skip

    url = f"spark://127.0.0.1:{port}"
    running = [start("0", "master.Master", "--port", str(port), "--webui-port", "0")]
    running += [
        start(str(i), "worker.Worker", "-c", "1", "-m", "1300M", "--webui-port", "0",
              "-d", str(tmp_path / f"worker-{i}"), url)
        for i in range(2)
    ]  # fmt: skip
    try:
        _wait_for(lambda: all(
            "Successfully registered" in (tmp_path / f"Worker-{i}.log").read_text()
            for i in range(2)
        ), running)  # fmt: skip
        yield url
    finally:
        for process in reversed(running):
            process.terminate()
        for process in running:
            process.wait(timeout=60)


def _wait_for(ready: Callable[[], bool], running: list[subprocess.Popen[bytes]]) -> None:
    for _ in range(300):
        assert all(process.poll() is None for process in running), "a Spark process has ended"
        if ready():
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            running[0].wait(timeout=0.2)
    raise AssertionError("the workers did not register within a minute")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_a_cluster_keeps_what_the_local_session_keeps(
    master: str, write: Callable[..., Path], tmp_path: Path
) -> None:
    rows: list[Row] = []
    for seed in range(60):
        text = words(seed, 150)
        rows += [
            document(" ".join([*text[: 150 - cut], *words(seed + 1000, cut)]), path=f"{seed}-{cut}")
            for cut in (0, 3, 60)
        ]
    documents = write(rows, files=4)
    project = str(Path(__file__).resolve().parents[3])
    results: list[Any] = []
    for name in ("local[2]", master):
        out = tmp_path / f"out-{len(results)}"
        environment = {**os.environ, "COOKBOOK_SPARK_MASTER": name, "COOKBOOK_SPARK_MEMORY": "1g",
                       "PYTHONPATH": project}  # fmt: skip
        done = subprocess.run(
            [sys.executable, "-c", _RUN, str(documents), str(out)],
            env=environment, cwd=tmp_path, text=True, capture_output=True, timeout=400,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        results.append((done.stdout, [read_table(out / t) for t in ("documents", "decisions")]))
    assert "executors 2" in results[1][0]
    assert results[0][1] == results[1][1]
    assert results[0][1][0].num_rows == 120
