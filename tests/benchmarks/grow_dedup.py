"""How the whole of deduplication grows, and what hostile corpora cost it.

    python -m tests.benchmarks.grow_dedup                     # 1x, 2x, 4x, 8x of a generated one
    python -m tests.benchmarks.grow_dedup --engine spark
    python -m tests.benchmarks.grow_dedup --hostile            # 50,000 equal headers and the like
    python -m tests.benchmarks.grow_dedup --documents FOLDER   # one run on a table of documents

Each run is the command ``cookbook dedup``: from parquet to kept parquet and decisions, exact and
near-duplicates (preset ``verified``). Seconds are CPU time of all processes from start to end; the
peak is the resident memory of the largest one. To Linux, the peak of a command is never less than
that of the process that started it, so this one stays small and makes corpora in another. Tables
of docs/scale.md are its output.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[2]
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
    parser.add_argument("--make", nargs=2, metavar=("CORPUS", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        label, file = options.make
        rows = (hostile(options.hostile_files)[label] if options.hostile
                else grown(int(label.removesuffix("x")) * FILES))  # fmt: skip
        write(rows, Path(file))
        return
    print("| corpus | files | MB of text | kept | CPU s | CPU s / 100 MB | peak MB |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as name:
        for number, (label, source) in enumerate(corpora(options, Path(name))):
            out = Path(name, f"out-{number}")
            seconds, peak = run([
                sys.executable, "-m", "orchestration.cli", "dedup", str(source), "--out", str(out),
                "--engine", options.engine, "--preset", options.preset,
            ])  # fmt: skip
            said = pq.read_table(out / "decisions.parquet", columns=["verdict"])["verdict"]
            kept = sum(verdict != "dropped" for verdict in said.to_pylist())
            size = text_bytes(source) / 1e6
            cost = f"{seconds / max(size, 1) * 100:.2f}"
            print(f"| {label} | {len(said):,} | {size:,.0f} | {kept:,} | {seconds:.1f} | {cost} "
                  f"| {peak / 1e6:,.0f} |", flush=True)  # fmt: skip
            shutil.rmtree(out)


def corpora(options: argparse.Namespace, folder: Path) -> Iterator[tuple[str, Path]]:
    """(name, parquet) of what is asked for, one after the other."""
    if options.documents:
        yield options.documents.name, options.documents
        return
    names = list(hostile(0)) if options.hostile else [f"{size}x" for size in options.sizes]
    how = ["--hostile", f"--hostile-files={options.hostile_files}"] if options.hostile else []
    for number, name in enumerate(names):
        file = folder / f"{number}.parquet"
        command = [sys.executable, "-m", "tests.benchmarks.grow_dedup", *how, "--make", name, file]
        subprocess.run(command, check=True, cwd=ROOT)
        yield name, file


def write(rows: Iterator[Row] | list[Row], file: Path) -> None:
    schema = pa.schema([("path", pa.string()), ("content", pa.string()), ("stars", pa.int64())])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        held: list[Row] = []
        for row in rows:
            held.append(row)
            if len(held) == 2000:
                writer.write_table(pa.Table.from_pylist(held, schema))
                held = []
        writer.write_table(pa.Table.from_pylist(held, schema))


def text_bytes(source: Path) -> int:
    files = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    texts = (batch.column(0) for file in files
             for batch in pq.ParquetFile(file).iter_batches(500, columns=["content"]))  # fmt: skip
    return sum(pc.sum(pc.binary_length(part)).as_py() or 0 for part in texts)


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


def run(command: list[str]) -> tuple[float, int]:
    """(CPU seconds, peak bytes) of a command and all it starts, also what it leaves behind."""
    adopt_orphans = 36  # PR_SET_CHILD_SUBREAPER
    if ctypes.CDLL(None).prctl(adopt_orphans, 1, 0, 0, 0):
        raise SystemExit("this needs Linux: orphans of Spark could not be adopted")
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT)
    seconds, peak = 0.0, 0
    while True:
        try:
            pid, status, used = os.wait4(-1, 0)
        except ChildProcessError:
            return seconds, peak
        if pid == child.pid and status:
            raise SystemExit(f"{command[3:]} failed")
        seconds += used.ru_utime + used.ru_stime
        peak = max(peak, used.ru_maxrss * 1024)


if __name__ == "__main__":
    main()
