"""How fast the filters are: CPU seconds and MB/s by language, dear signals, parsers.

    python tests/benchmarks/bench_filters.py                       # the reference rows, one core
    python tests/benchmarks/bench_filters.py --documents FOLDER    # parquet documents of a lake

Beside each group stands what the released filter needs, as measured when the reference rows were
made (MB/s of CPU time on one core; their README). Imports, compiled kernels and dictionaries are
loaded before the clock starts, as they were there. Spark: ``bench_filters_spark.py``; texts made to
be slow: ``bench_filters_hostile.py``.
"""

from __future__ import annotations

import argparse
import gc
import gzip
import json
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ROWS = ROOT.parent / "shared/fixtures/filter_oracle/train.jsonl.gz"
LANGUAGES = ("python", "c", "cpp", "csharp", "java", "javascript", "go", "html")
#: MB/s of the released filter, by group; "all": the whole set with big files.
REFERENCE_MB_S = {
    "python": 0.147, "c": 0.202, "cpp": 0.155, "csharp": 0.239, "java": 0.257, "javascript": 0.108,
    "go": 0.245, "html": 0.183, "other code": 0.078, "data": 0.116, "text": 0.354, "all": 0.170,
}  # fmt: skip


@dataclass(frozen=True)
class File:
    """One file to judge."""

    content: str
    path: str
    program: str
    doc_type: str
    size_bytes: int

    @property
    def group(self) -> str:
        if self.program in LANGUAGES:
            return self.program
        return self.doc_type if self.doc_type in ("data", "text") else "other code"


def read_rows(path: Path) -> list[File]:
    """Files of the reference rows that have signals."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [File(r["content"], r["path"], r["program"], r["doc_type"], r["bytes"])
            for r in rows if r["signals"]]  # fmt: skip


def read_documents(folder: Path, limit_mb: float) -> list[File]:
    """Documents of a parquet folder, up to so many MB."""
    from assets.documents import read_batches

    files: list[File] = []
    left = limit_mb * 1e6
    columns = ["content", "path", "language", "doc_type", "size_bytes"]
    for batch in read_batches(folder, columns):
        for row in batch.to_pylist():
            if row["doc_type"] in ("code", "data", "text") and left > 0:
                left -= row["size_bytes"]
                files.append(File(*(row[name] for name in columns)))
    return files


def judge(file: File, rules: Any) -> float:
    """CPU seconds of one verdict."""
    from assets.refinecode.filters import evaluate

    started = time.process_time()
    evaluate(file.content, file.path, rules, program=file.program, doc_type=file.doc_type,
             size_bytes=file.size_bytes)  # fmt: skip
    return time.process_time() - started


def speed_table(files: list[File], rules: Any, repeat: int) -> None:
    """CPU seconds and MB/s of each group; each file is judged ``repeat`` times, the median says."""
    for file in files:
        judge(file, rules)  # loads what is loaded once a process
    seconds: dict[str, float] = defaultdict(float)
    groups: dict[str, list[File]] = defaultdict(list)
    slowest: list[tuple[float, File]] = []
    gc.collect()
    for file in files:
        took = statistics.median(judge(file, rules) for _ in range(repeat))
        for group in (file.group, "all"):
            seconds[group] += took
            groups[group].append(file)
        slowest.append((took, file))
    print(f"{'group':<12}{'files':>7}{'kB':>9}{'CPU s':>9}{'files/s':>9}{'MB/s':>8}"
          f"{'reference':>11}{'times':>7}")  # fmt: skip
    for group in REFERENCE_MB_S:
        if group not in groups:
            continue
        size = sum(file.size_bytes for file in groups[group])
        speed = size / 1e6 / seconds[group]
        print(f"{group:<12}{len(groups[group]):>7}{size / 1e3:>9.0f}{seconds[group]:>9.3f}"
              f"{len(groups[group]) / seconds[group]:>9.0f}{speed:>8.2f}"
              f"{REFERENCE_MB_S[group]:>11.3f}{speed / REFERENCE_MB_S[group]:>7.0f}")  # fmt: skip
    print("\nslowest for their size (over 10 kB)")
    large = [(took / file.size_bytes, took, file) for took, file in slowest
             if file.size_bytes > 10_000]  # fmt: skip
    for _, took, file in sorted(large, key=lambda row: -row[0])[:5]:
        print(f"  {file.size_bytes / 1e6 / took:>6.2f} MB/s  {file.program:<12} {file.path}")


def cost_table(files: list[File], rules: Any) -> None:
    """What single signals cost, and what the parts cost that several share (parsers, splits)."""
    from assets.refinecode.filters.registry import signals_of
    from assets.refinecode.filters.source import lazy

    total: dict[str, float] = defaultdict(float)
    sizes: dict[str, int] = defaultdict(int)
    gc.disable()  # as it is while a verdict is made
    for file in files:
        signals = signals_of(file.program, file.doc_type)
        used = _source(file, rules)
        for signal in signals.values():
            signal(used)
        source = _source(file, rules)
        # Parts stand in the order in which they were finished: each after those it needs.
        parts = [name for name in used.__dict__
                 if isinstance(vars(type(used)).get(name), lazy)]  # fmt: skip
        for part in parts:
            label = f"{part} of {file.program}" if part == "tree" else part
            label = f"split of {file.group}" if part == "split" else label
            started = time.process_time()
            getattr(source, part)
            total[f"[{label}]"] += time.process_time() - started
            sizes[f"[{label}]"] += file.size_bytes
        for name, signal in signals.items():
            started = time.process_time()
            signal(source)
            total[name] += time.process_time() - started
            sizes[name] += file.size_bytes
    gc.enable()
    whole = sum(total.values())
    for title, names in (
        ("ten most expensive signals (one that others share work with pays for it)",
         [name for name in total if not name.startswith("[")]),
        ("parsers and other shared parts", [name for name in total if name.startswith("[")]),
    ):  # fmt: skip
        print(f"\n{title}\n{'':<46}{'CPU s':>8}{'share':>8}{'MB/s':>9}")
        for name in sorted(names, key=lambda n: -total[n])[: 10 if title[0] == "t" else 30]:
            speed = sizes[name] / 1e6 / max(total[name], 1e-9)
            print(f"  {name:<44}{total[name]:>8.3f}{total[name] / whole:>8.1%}{speed:>9.1f}")


def _source(file: File, rules: Any) -> Any:
    from assets.refinecode.filters.program import file_kind
    from assets.refinecode.filters.source import Source

    kind = file_kind(file.path, rules)
    return Source(file.content, program=file.program, doc_type=file.doc_type,
                  filename=kind.filename, extension=kind.extension, size_bytes=file.size_bytes,
                  rules=rules)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=Path, default=ROWS, help="reference rows (jsonl.gz)")
    parser.add_argument("--documents", type=Path, help="parquet documents instead")
    parser.add_argument("--limit-mb", type=float, default=20, help="of documents")
    parser.add_argument("--rules", choices=["opencoder", "cookbook"], default="opencoder")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    files = (read_documents(arguments.documents, arguments.limit_mb) if arguments.documents
             else read_rows(arguments.rows))  # fmt: skip
    speed_table(files, arguments.rules, arguments.repeat)
    cost_table(files, arguments.rules)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
