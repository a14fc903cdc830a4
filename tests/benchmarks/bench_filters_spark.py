"""What a second core brings to the filter stage: wall and CPU seconds on local[1] and local[2].

    python tests/benchmarks/bench_filters_spark.py                     # the reference rows, 60 MB
    python tests/benchmarks/bench_filters_spark.py --documents FOLDER  # a documents table of a lake

The two take turns, each in a process of its own, ``--rounds`` times; the first run of a process
loads kernels and dictionaries and is shown apart. Beside them stands what the machine can give: the
same files judged by two processes that know nothing of each other, against one. Run it on a machine
that does nothing else: what other work takes from the second core is lost to the ratio.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]
    from bench_filters import ROWS, File, read_rows

    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=Path, default=ROWS, help="reference rows (jsonl.gz)")
    parser.add_argument("--documents", type=Path, help="parquet documents instead")
    parser.add_argument("--mb", type=float, default=60, help="the rows repeated to so many MB")
    parser.add_argument("--rules", choices=["opencoder", "cookbook"], default="cookbook")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        kind, number = arguments.run.split(":")
        run = spark_run if kind == "spark" else plain_run
        print(json.dumps(run(arguments.documents, arguments.rules, int(number))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        files: list[File] = [] if arguments.documents else read_rows(arguments.rows)
        folder = arguments.documents or as_documents(files, Path(scratch), arguments.mb)
        runs = [f"{kind}:{number}" for kind in ("plain", "spark") for number in (1, 2)]
        told: dict[str, list[dict[str, float]]] = {run: [] for run in runs}
        print(f"{'':<24}{'first s':>9}{'wall s':>9}{'CPU s':>9}{'of it JVM':>11}{'busy':>7}"
              f"{'load':>7}")  # fmt: skip
        for run in runs * arguments.rounds:
            command = [sys.executable, __file__, "--documents", str(folder), "--rules",
                       arguments.rules, "--run", run]  # fmt: skip
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
            found = json.loads(done.stdout.splitlines()[-1])
            told[run].append(found)
            name = run.replace(":", " on ") + " core(s)"
            busy, load = found["cpu"] / found["wall"] / int(run[-1]), os.getloadavg()[0]
            print(f"{name:<24}{found['first']:>9.1f}{found['wall']:>9.1f}{found['cpu']:>9.1f}"
                  f"{found['jvm']:>11.1f}{busy:>7.0%}{load:>7.1f}", flush=True)  # fmt: skip
        for kind in ("plain", "spark"):
            one, two = ([found["wall"] for found in told[f"{kind}:{number}"]] for number in (1, 2))
            ratios = [a / b for a, b in zip(one, two, strict=True)]
            print(f"{kind}: {statistics.median(ratios):.2f} times as fast on 2 cores "
                  f"[{min(ratios):.2f}-{max(ratios):.2f}]")  # fmt: skip


def spark_run(documents: Path, rules: Any, cores: int) -> dict[str, float]:
    """The stage on so many cores."""
    from assets.recipe import Filters
    from assets.refinecode import filtered
    from assets.spark import spark_session

    spark = spark_session(master=f"local[{cores}]", shuffle_partitions=4)

    def stage() -> None:
        with tempfile.TemporaryDirectory() as scratch:
            params = Filters(rules=rules)
            filtered.run(Path(scratch), documents=documents, params=params, spark=spark)

    return _measured(stage)


def plain_run(documents: Path, rules: Any, processes: int) -> dict[str, float]:
    """The same files, shared out among processes that were started before."""
    from concurrent.futures import ProcessPoolExecutor

    from assets.refinecode.filtered import judge_file
    from assets.refinecode.filters.batch import evaluate_batch

    files = sorted(documents.glob("*.parquet"), key=lambda file: -file.stat().st_size)
    judge = functools.partial(evaluate_batch, rules=rules)
    with ProcessPoolExecutor(processes) as pool, tempfile.TemporaryDirectory() as scratch:
        for table in ("documents", "decisions", "signals"):
            (Path(scratch) / table).mkdir()
        task = functools.partial(judge_file, out=Path(scratch), judge=judge)
        names = [file.name for file in files]
        return _measured(lambda: sum(pool.map(_judge, itertools.repeat(task), files, names)))


def _judge(task: Callable[..., int], file: Path, name: str) -> int:
    return task(file, name=name)


def _measured(stage: Callable[[], object]) -> dict[str, float]:
    """Wall seconds of a first run, then wall and CPU seconds of a second one."""
    started = time.monotonic()
    stage()
    first = time.monotonic() - started
    before, started = _cpu(), time.monotonic()
    stage()
    wall = time.monotonic() - started
    jvm, rest = (now - then for now, then in zip(_cpu(), before, strict=True))
    return {"first": first, "wall": wall, "cpu": jvm + rest, "jvm": jvm}


def _cpu() -> tuple[float, float]:
    """CPU seconds of the JVM, and of this process and its other children."""
    import psutil

    jvm = rest = 0.0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        times = process.cpu_times()
        total = times.user + times.system + times.children_user + times.children_system
        if "java" in process.name():
            jvm += total
        else:
            rest += total
    return jvm, rest


def as_documents(files: list[Any], scratch: Path, target_mb: float) -> Path:
    """The files, repeated under other ids, as a documents table of eight parts."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from assets.documents import DOCUMENT_SCHEMA, content_digest, document_id

    copies = max(1, round(target_mb * 1e6 / sum(file.size_bytes for file in files)))
    parts: list[list[dict[str, object]]] = [[] for _ in range(8)]
    for number, (copy, file) in enumerate(itertools.product(range(copies), files)):
        digest = content_digest(file.content)
        parts[number % 8].append({
            "doc_id": document_id(f"copy@{copy}", file.path, digest), "content": file.content,
            "content_sha256": digest, "repository": f"copy@{copy}", "path": file.path,
            "language": file.program, "doc_type": file.doc_type, "size_bytes": file.size_bytes,
            "source": "bench"})  # fmt: skip
    folder = scratch / "documents"
    folder.mkdir()
    for number, rows in enumerate(parts):
        rows.sort(key=lambda row: str(row["doc_id"]))
        table = pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA)
        pq.write_table(table, folder / f"part-{number:05d}.parquet", compression="zstd")
    return folder


if __name__ == "__main__":
    main()
