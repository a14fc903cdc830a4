"""How the whole of deduplication grows, and what hostile corpora cost it.

    python -m tests.benchmarks.grow_dedup                      # 1x, 2x, 4x, 8x of a generated corpus
    python -m tests.benchmarks.grow_dedup --engine spark
    python -m tests.benchmarks.grow_dedup --hostile            # 50,000 equal headers and the like
    python -m tests.benchmarks.grow_dedup --documents FOLDER   # one run on a table of documents

Each run is a process of its own that goes from parquet to kept parquet and decisions, exact and
near-duplicates (``cookbook dedup``, preset ``verified``). Seconds are CPU time of all processes;
the peak is resident memory of the process (with Spark: of the largest one). Tables of
docs/scale.md are the output.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.bench_dedup import tree_seconds

Row = dict[str, Any]
#: Files and text of the smallest corpus.
FILES, WORDS = 8_000, 900


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--engine", choices=("local", "spark"), default="local")
    parser.add_argument("--preset", choices=("paper", "stack", "verified"), default="verified")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--hostile-files", type=int, default=50_000)
    parser.add_argument("--documents", type=Path)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.documents, options.worker, options.engine, options.preset)
        return
    print("| corpus | files | MB of text | kept | CPU s | CPU s / 100 MB | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for number, (label, source) in enumerate(corpora(options, Path(name))):
            out = Path(name, f"out-{number}")
            command = [sys.executable, "-m", "tests.benchmarks.grow_dedup", "--worker", str(out),
                       "--documents", str(source), "--engine", options.engine,
                       "--preset", options.preset]  # fmt: skip
            seconds = tree_seconds(command)
            told = json.loads(Path(f"{out}.json").read_text())
            size = told["bytes_in"] / 1e6
            print(f"| {label} | {told['rows']:,} | {size:,.0f} | {told['kept']:,} | {seconds:.1f} "
                  f"| {seconds / size * 100:.2f} | {told['peak']:,.0f} |", flush=True)  # fmt: skip


def corpora(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, parquet) of what is asked for, one after the other."""
    if options.documents:
        yield options.documents.name, options.documents
    elif options.hostile:
        for name, rows in hostile(options.hostile_files).items():
            yield name, write(rows, folder / f"{name.replace(' ', '-')}.parquet")
    else:
        for size in options.sizes:
            yield f"{size}x", write(grown(size * FILES), folder / f"{size}.parquet")


def write(rows: Iterator[Row] | list[Row], file: Path) -> Path:
    schema = pa.schema([("path", pa.string()), ("content", pa.string()), ("stars", pa.int64())])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        held: list[Row] = []
        for row in rows:
            held.append(row)
            if len(held) == 2000:
                writer.write_table(pa.Table.from_pylist(held, schema))
                held = []
        writer.write_table(pa.Table.from_pylist(held, schema))
    return file


def text(draw: np.random.Generator, words: int) -> list[str]:
    """Words of an endless language, the short ones more often."""
    return [f"w{int(rank):x}" for rank in draw.pareto(0.4, words) * 50 % 1e9]


def grown(files: int) -> Iterator[Row]:
    """A fifth are copies of files before them, a fifth copies with a few words changed."""
    draw = np.random.default_rng(0)
    recent: list[list[str]] = []
    for number in range(files):
        kind = draw.random() if recent else 1.0
        if kind < 0.4:
            words = list(recent[int(draw.integers(len(recent)))])
            for place in draw.integers(0, len(words), 5 if kind < 0.2 else 0).tolist():
                words[place] = f"changed{number}"
        else:
            words = text(draw, int(draw.integers(WORDS // 2, WORDS * 3 // 2)))
            recent = [*recent[-500:], words]
        yield {"path": f"{number}", "content": " ".join(words), "stars": number % 7}


def hostile(files: int) -> dict[str, list[Row]]:
    """Corpora of ``files`` files (and a few more) that have cost tools their quadratic time."""
    draw = np.random.default_rng(1)
    header, base = text(draw, 250), text(draw, 400)

    def rows(texts: list[str]) -> list[Row]:
        return [{"path": f"{i}", "content": t, "stars": i % 5} for i, t in enumerate(texts)]

    def near(number: int) -> str:
        words = list(base)
        words[number % 400] = f"x{number}"
        return " ".join(words)

    return {
        # all of these share band hashes with most of the others
        "one bucket of 30 %": rows([
            near(i) if i % 10 < 3 else " ".join(text(draw, 60)) for i in range(files)
        ]),
        "equal headers": rows([" ".join(header)] * files),
        # 250 words in common, 300 of its own: a similarity of 0.29
        "a header in common": rows([" ".join(header + text(draw, 300)) for _ in range(files)]),
        "empty and one token": rows(
            ["", "\n", " "] * (files // 6) + [f"token{i}" for i in range(files // 2)]
        ),
    }  # fmt: skip


def work(source: Path, out: Path, engine: str, preset: str) -> None:
    from dataclasses import asdict

    from orchestration.dedup_files import dedup_files, dedup_params

    def session() -> Any:
        from assets.spark import spark_session

        return spark_session("local[2]")

    spark = session if engine == "spark" else None
    summary = dedup_files(source, out, dedup_params({"preset": preset}), spark=spark)
    peak = max(resource.getrusage(who).ru_maxrss
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))  # fmt: skip
    Path(f"{out}.json").write_text(json.dumps(asdict(summary) | {"peak": peak * 1024 / 1e6}))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
