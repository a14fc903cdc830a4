"""What deduplication costs a file and a megabyte, measured, and what that means for 600 M files.

    python -m tests.benchmarks.scale_dedup DOCUMENTS [--preset paper] [--files 600e6]

DOCUMENTS is a folder of parquet in the document schema, such as the table of ``selected_code`` in
a lake. Costs are CPU seconds of all processes (this one, the JVM, its Python workers) and bytes
that Spark itself says it shuffled, not wall time. The tables of docs/scale.md are its output.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from assets.recipe import Dedup

_BUCKETS = "buckets and components"
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """CPU seconds and shuffled bytes of one step."""

    seconds: float
    shuffled: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("documents", type=Path)
    parser.add_argument("--preset", default="paper", choices=("paper", "stack", "verified"))
    parser.add_argument("--files", type=float, default=600e6)
    parser.add_argument("--terabytes", type=float, default=3.4, help="of text in these files")
    options = parser.parse_args()
    params = Dedup(preset=options.preset)
    decode, kernel, files, text_bytes = kernel_speed(options.documents, params)
    steps = stage_costs(options.documents, params)
    size = text_bytes / 1e6
    say = sys.stdout.write
    say(f"{files:,} files, {size:,.1f} MB of text, preset {options.preset}\n")
    say(f"parquet decode {size / decode:,.0f} MB/s a core\n")
    say(f"text to band hashes {size / kernel:,.0f} MB/s a core\n\n")
    by_bytes, by_files = options.terabytes * 1e6 / size, options.files / files
    say("| step | CPU s / GB | shuffled B / file | core-hours | shuffled TB |\n")
    say("| --- | --- | --- | --- | --- |\n")
    for name, cost in steps.items():
        # what only sees hashes grows with files, what sees texts with bytes
        grown = by_files if name in (_BUCKETS, "exact groups") else by_bytes
        say(
            f"| {name} | {cost.seconds / size * 1e3:,.0f} | {cost.shuffled / files:,.0f} | "
            f"{cost.seconds * grown / 3600:,.0f} | {cost.shuffled * grown / 1e12:,.2f} |\n"
        )


def kernel_speed(documents: Path, params: Dedup) -> tuple[float, float, int, int]:
    """CPU seconds of one thread to decode the texts and to make their band hashes; files; bytes."""
    from assets.refinecode.band_index import sketch_params
    from assets.refinecode.minhash import Sketcher

    sketcher = Sketcher(sketch_params(params))
    batches = list(_texts(documents))
    sketcher.add(batches[0])  # compile
    started = time.thread_time()
    batches = list(_texts(documents))
    decoded = time.thread_time()
    for batch in batches:
        sketcher.add(batch)
    done = time.thread_time()
    files = sum(len(batch) for batch in batches)
    return decoded - started, done - decoded, files, sum(batch.nbytes for batch in batches)


def _texts(documents: Path) -> Iterator[Any]:
    for file in sorted(documents.glob("*.parquet")):
        reader = pq.ParquetFile(file)
        for batch in reader.iter_batches(1000, columns=["content"], use_threads=False):
            yield batch.column(0)


def stage_costs(documents: Path, params: Dedup) -> dict[str, Cost]:
    """Each step as the stages do it, alone; then both stages as a whole. A run on a few files goes
    before, so that what starts once (workers, compiled kernels) is not counted."""
    from assets.spark import spark_session

    spark = spark_session(master="local[2]", shuffle_partitions=4)
    costs: dict[str, Cost] = {}
    with tempfile.TemporaryDirectory() as name:
        few = Path(name, "few")
        few.mkdir()
        first = next(pq.ParquetFile(f) for f in sorted(documents.glob("*.parquet")))
        pq.write_table(first.read_row_group(0).slice(0, 300), few / "part-00000.parquet")
        for source in (few, documents):
            folder = _new(Path(name, f"work-{source is few}"))
            for step, do in _steps(spark, source, params, folder).items():
                before, shuffled = _cpu_seconds(), _shuffled_bytes(spark)
                do()
                costs[step] = Cost(_cpu_seconds() - before, _shuffled_bytes(spark) - shuffled)
    return costs


def _steps(
    spark: Any, documents: Path, params: Dedup, folder: Path
) -> dict[str, Callable[[], object]]:
    from assets.refinecode import exact_dedup, fuzzy_dedup
    from assets.refinecode.band_index import band_table
    from assets.refinecode.clusters import find_components
    from assets.refinecode.exact_dedup import equal_units
    from assets.refinecode.mapping import read_documents, write_parquet
    from assets.refinecode.units import unit_texts

    frame = read_documents(spark, documents)
    exact, fuzzy = folder / "exact", folder / "fuzzy"

    def bands() -> Any:
        schema = "unit string, node bigint, keys binary"
        return spark.read.schema(schema).parquet(str(folder / "bands"))

    return {
        "exact groups": lambda: equal_units(frame, params, "file").count(),
        "band hashes": lambda: write_parquet(
            band_table(unit_texts(frame, params, "file"), params), folder / "bands"
        ),
        _BUCKETS: lambda: find_components(spark, bands(), params.bands, _new(folder / "work"))[1],
        "whole exact stage": lambda: exact_dedup.run(
            _new(exact), documents=documents, params=params, spark=spark
        ),
        "whole fuzzy stage": lambda: fuzzy_dedup.run(
            _new(fuzzy), documents=exact / "documents", params=params, spark=spark
        ),
    }


def _new(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _shuffled_bytes(spark: Any) -> int:
    """Bytes that all stages so far have written for a shuffle, as Spark counts them."""
    context = spark.sparkContext._jsc.sc()
    context.listenerBus().waitUntilEmpty()
    jvm = spark.sparkContext._jvm
    none = jvm.java.util.ArrayList()
    quantiles = spark.sparkContext._gateway.new_array(jvm.double, 0)
    stages = context.statusStore().stageList(none, False, False, quantiles, none)
    return sum(stages.apply(i).shuffleWriteBytes() for i in range(stages.size()))


def _cpu_seconds() -> float:
    """CPU time of this process and of all below it, those that ended included."""
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended while we looked
        pid = int(stat.parent.name)
        parents[pid] = int(fields[1])
        ticks[pid] = sum(map(int, fields[11:15]))
    total, below = 0, [os.getpid()]
    while below:
        pid = below.pop()
        total += ticks[pid]
        below += [child for child, parent in parents.items() if parent == pid]
    return total / _TICKS


if __name__ == "__main__":
    main()
