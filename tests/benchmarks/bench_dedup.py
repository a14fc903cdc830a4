"""Near-dedup kernels side by side: text in, band hashes out, CPU seconds of one core.

    python tests/benchmarks/bench_dedup.py                          # installed packages' sources
    python tests/benchmarks/bench_dedup.py FOLDER_OR_PARQUET        # those files, or their content
    python tests/benchmarks/bench_dedup.py --permutations 256       # 16 x 16 instead of 16 x 128
    python tests/benchmarks/bench_dedup.py --whole                  # parquet in, parquet out
    python tests/benchmarks/bench_dedup.py --peers DIR              # keep the peers' environment

The peers are installed from the package index into a throwaway environment; one that cannot be
installed is reported and skipped. Every run is a process of its own with one thread, warmed up
before the clock starts; rounds take the tools in turn. Slow peers get the first files of the same
sample only (``--megabytes-*``), and each is compared with ours on just these files, so a ratio is
always of equal work. What each peer does:

rensa       Python word 5-grams as sets of strings (the quickest of five ways to feed it),
            R-MinHash, its own LSH for the bands
datasketch  the same 5-grams, xxh3 hashes, ``update_batch`` with ``affine32``, 16 slices of bytes
text-dedup  ``generate_hash_values`` of its Spark script
datatrove   ``get_shingles`` and ``get_signature`` of its stage 1, English word tokenizer
"""

from __future__ import annotations

import argparse
import ctypes
import hashlib
import json
import os
import pickle
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
BANDS = 16
NGRAM = 5
#: What pip installs for each peer; text-dedup's other requirements are not used by its kernel.
REQUIREMENTS = {
    "rensa": [["rensa==0.5.0", "pyarrow"]],  # pyarrow for --whole
    "datasketch": [["datasketch==2.0.0", "xxhash<4"]],
    "text-dedup": [["--no-deps", "text-dedup==0.4.0"], ["numpy", "scipy", "xxhash<4"]],
    "datatrove": [["datatrove[processing]==0.10.1", "spacy>=3.8,<4"]],
}
SOURCES = {".py", ".pyi", ".c", ".h", ".hpp", ".cpp", ".cc", ".cu", ".js", ".ts", ".java", ".md",
           ".rs", ".go", ".html", ".css", ".json", ".txt", ".pyx"}  # fmt: skip
Kernel = Callable[[list[str]], Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("input", nargs="?", type=Path, help="a folder or parquet with `content`")
    parser.add_argument("--permutations", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=float, default=24.0, help="the sample; ours sees all")
    parser.add_argument("--megabytes-rensa", type=float, default=6.0)
    parser.add_argument("--megabytes-datasketch", type=float, default=2.0)
    parser.add_argument("--megabytes-text-dedup", type=float, default=0.6)
    parser.add_argument("--megabytes-datatrove", type=float, default=0.3)
    parser.add_argument("--peers", type=Path, help="environment of the peers; default a throwaway")
    parser.add_argument("--whole", action="store_true", help="whole stages against rensa's whole")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.worker, options.input, options.permutations)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.peers or Path(scratch) / "peers"
        sample = sample_files(options.input, options.megabytes * 1e6)
        size = sum(len(text.encode()) for text in sample)
        print(f"{len(sample)} files, {size / 1e6:.1f} MB, {options.permutations} permutations")
        if options.whole:
            compare_whole(sample, folder, Path(scratch), options)
        else:
            compare_kernels(sample, folder, Path(scratch), options)


def sample_files(source: Path | None, most_bytes: float) -> list[str]:
    """Texts of 100 bytes to 1 MB in an order that depends on their names alone."""
    if source is not None and (source.suffix == ".parquet" or any(source.glob("*.parquet"))):
        import pyarrow.parquet as pq

        files = [source] if source.is_file() else sorted(source.glob("*.parquet"))
        column = [t for file in files for t in pq.read_table(file)["content"].to_pylist()]
        texts = sorted(filter(None, column), key=lambda t: hashlib.sha256(t.encode()).digest())
    else:
        folder = source or Path(sys.modules["argparse"].__file__ or "").parent
        if source is None:
            import numpy

            folder = Path(numpy.__file__).parents[1]
        paths = [path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file()]
        paths.sort(key=lambda p: hashlib.sha256(str(p.relative_to(folder)).encode()).digest())
        texts = [path.read_text(errors="replace") for path in paths[:100_000]]
    chosen: list[str] = []
    for text in texts:
        if 100 <= len(text) <= 1_000_000:
            chosen.append(text)
            most_bytes -= len(text.encode())
            if most_bytes <= 0:
                break
    return chosen


def compare_kernels(
    sample: list[str], folder: Path, scratch: Path, options: argparse.Namespace
) -> None:
    peers = install(folder, REQUIREMENTS)
    # Each tool with the files it sees; ours once for each of these samples.
    runs: list[tuple[str, str]] = [("fast", "all"), ("exact", "all")]
    for peer in peers:
        runs += [(peer, peer), ("fast", peer)] + [("exact", peer)] * (peer == "datasketch")
    files = {"all": scratch / "all"}
    files["all"].write_bytes(pickle.dumps(sample))
    for peer in peers:
        limit = getattr(options, f"megabytes_{peer.replace('-', '_')}") * 1e6
        part, left = [], limit
        for text in sample:
            part.append(text)
            left -= len(text.encode())
            if left <= 0:
                break
        files[peer] = scratch / peer
        files[peer].write_bytes(pickle.dumps(part))
    speeds: dict[tuple[str, str], list[float]] = {run: [] for run in runs}
    for round_ in range(options.rounds):
        for run in runs[round_ % len(runs) :] + runs[: round_ % len(runs)]:
            tool, seen = run
            python = folder / "bin" / "python" if tool in peers else Path(sys.executable)
            speeds[run].append(measure(python, tool, files[seen], options.permutations))
    print(f"\n{'tool':<12}{'files of':<12}{'MB/s':>9}{'lowest':>9}{'highest':>9}")
    for (tool, seen), found in speeds.items():
        middle = statistics.median(found)
        print(f"{tool:<12}{seen:<12}{middle:>9.2f}{min(found):>9.2f}{max(found):>9.2f}")
    print(f"\n{'ratio':<24}{'median':>9}{'lowest':>9}{'highest':>9}")
    for tool, seen in runs:
        if tool in ("fast", "exact") and seen != "all":
            pairs = zip(speeds[tool, seen], speeds[seen, seen], strict=True)
            ratios = [ours / theirs for ours, theirs in pairs]
            print(f"{tool + ' / ' + seen:<24}{statistics.median(ratios):>9.1f}"
                  f"{min(ratios):>9.1f}{max(ratios):>9.1f}")  # fmt: skip


def install(folder: Path, requirements: dict[str, list[list[str]]]) -> list[str]:
    """Peers that can be used from the environment in ``folder``."""
    known = folder / "peers.json"
    usable: list[str] = json.loads(known.read_text()) if known.exists() else []
    if not known.exists():
        venv.create(folder, with_pip=True)
    for peer, steps in requirements.items():
        for step in steps if peer not in usable else []:
            command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *step]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                print(f"{peer} cannot be installed and is skipped: {done.stderr.strip()[-300:]}")
                break
        else:
            usable.append(peer)
    known.write_text(json.dumps(sorted({*usable})))
    return [peer for peer in requirements if peer in usable]


def measure(python: Path, tool: str, sample: Path, permutations: int) -> float:
    """MB/s of CPU time, in a process of its own with one thread."""
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "RAYON", "NUMBA")}
    command = [str(python), __file__, str(sample), "--worker", tool]
    done = subprocess.run(
        [*command, "--permutations", str(permutations)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ | threads,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{tool} failed: {done.stderr.strip()[-2000:]}")
    return float(json.loads(done.stdout.splitlines()[-1]))


def compare_whole(
    sample: list[str], folder: Path, scratch: Path, options: argparse.Namespace
) -> None:
    """CPU seconds of a process, from a parquet of documents to one of kept documents and one of
    decisions, and its peak memory; once more on one file, which is what starting costs."""
    if "rensa" not in install(folder, {"rensa": REQUIREMENTS["rensa"]}):
        return
    sys.path.insert(0, str(ROOT))
    inputs = {"all": sample, "one": sample[:1]}
    for name, texts in inputs.items():
        write_documents(texts, scratch / name)
    seconds: dict[tuple[str, str], list[float]] = {}
    for round_ in range(options.rounds):
        tools = ["whole-ours", "whole-rensa"]
        for tool in tools if round_ % 2 else tools[::-1]:
            python = sys.executable if tool == "whole-ours" else str(folder / "bin" / "python")
            for name in inputs:
                command = [python, __file__, str(scratch / name), "--worker", tool,
                           "--permutations", str(options.permutations)]  # fmt: skip
                seconds.setdefault((tool, name), []).append(tree_seconds(command))
    size = sum(len(text.encode()) for text in sample) / 1e6
    print(f"\n{'CPU seconds':<14}{'whole':>9}{'start':>9}{'work':>9}{'MB/s':>9}")
    work = {}
    for tool in ("whole-ours", "whole-rensa"):
        whole, start = (statistics.median(seconds[tool, name]) for name in ("all", "one"))
        work[tool] = whole - start
        print(f"{tool:<14}{whole:>9.1f}{start:>9.1f}{whole - start:>9.1f}"
              f"{size / (whole - start):>9.1f}")  # fmt: skip
    pairs = list(zip(seconds["whole-ours", "all"], seconds["whole-rensa", "all"], strict=True))
    ratios = [theirs / ours for ours, theirs in pairs]
    spread = f"{statistics.median(ratios):.1f} [{min(ratios):.1f}, {max(ratios):.1f}]"
    print(f"ratio with start {spread}, without {work['whole-rensa'] / work['whole-ours']:.1f}")


def write_documents(texts: list[str], folder: Path) -> None:
    from datetime import UTC, datetime

    import pyarrow as pa

    from assets.documents import DOCUMENT_SCHEMA, content_digest, document_id, write_table

    rows = []
    for number, text in enumerate(texts):
        text = text.encode(errors="replace").decode()
        digest = content_digest(text)
        given = {
            "doc_id": document_id("bench", f"{number}", digest), "content": text,
            "content_sha256": digest, "repository": "bench", "path": f"{number}",
            "language": "python", "doc_type": "code", "license": "MIT",
            "commit_time": datetime(2024, 1, 1, tzinfo=UTC), "size_bytes": len(text.encode()),
            "source": "bench",
        }  # fmt: skip
        rows.append({name: given.get(name) for name in DOCUMENT_SCHEMA.names})
    write_table(folder, pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA))


def tree_seconds(command: list[str]) -> float:
    """CPU seconds of a process and of all its descendants, also those it leaves behind."""
    adopt_orphans = 36  # PR_SET_CHILD_SUBREAPER
    if ctypes.CDLL(None).prctl(adopt_orphans, 1, 0, 0, 0):
        raise SystemExit("--whole needs Linux: orphans of Spark could not be adopted")
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise SystemExit(f"{command[3:]} failed: {done.stderr.strip()[-2000:]}")
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


# Below: what runs in the processes. Peers find only their own environment there.


def work(tool: str, sample: Path, permutations: int) -> None:
    if tool.startswith("whole-"):
        with tempfile.TemporaryDirectory() as out:
            WHOLE[tool](sample, Path(out), permutations)
        return
    texts: list[str] = pickle.loads(sample.read_bytes())
    size = sum(len(text.encode()) for text in texts)
    kernel = KERNELS[tool](permutations)
    if tool in ("fast", "exact"):
        import pyarrow as pa

        texts = pa.array(texts)
        kernel(texts)
        enough = 0.5
    else:
        kernel(texts[:2])
        enough = 0.0
    seconds, times = 0.0, 0
    while times == 0 or seconds < enough:
        started = time.process_time()
        kernel(texts)
        seconds += time.process_time() - started
        times += 1
    print(json.dumps(size * times / 1e6 / seconds))


def our_kernel(sketch: str) -> Callable[[int], Kernel]:
    def make(permutations: int) -> Kernel:
        sys.path.insert(0, str(ROOT))
        from assets.refinecode.minhash import SketchParams, band_hashes

        params = SketchParams(permutations, BANDS, permutations // BANDS, NGRAM, sketch=sketch)  # type: ignore[arg-type]
        return lambda texts: band_hashes(texts, params)

    return make


def word_grams(text: str) -> set[str]:
    words = re.findall(r"\w+", text.lower())
    starts = [words[k:] for k in range(NGRAM)]
    return set(map(" ".join, zip(*starts, strict=False))) or {" ".join(words)}


def rensa_kernel(permutations: int) -> Kernel:
    import rensa

    def run(texts: list[str]) -> Any:
        lsh = rensa.RMinHashLSH(0.9, permutations, BANDS)
        sketches = rensa.RMinHash.from_token_sets(map(word_grams, texts), permutations, 1)
        for number, sketch in enumerate(sketches):
            lsh.insert(number, sketch)
        return lsh

    return run


def datasketch_kernel(permutations: int) -> Kernel:
    import xxhash
    from datasketch import MinHash

    def run(texts: list[str]) -> list[list[bytes]]:
        found = []
        for text in texts:
            sketch = MinHash(permutations, scheme="affine32", hashfunc=lambda value: value)
            sketch.update_batch(
                [xxhash.xxh3_64_intdigest(g) & 0xFFFFFFFF for g in word_grams(text)]
            )
            rows = sketch.hashvalues.reshape(BANDS, -1)
            found.append([row.tobytes() for row in rows])
        return found

    return run


def text_dedup_kernel(permutations: int) -> Kernel:
    from unittest.mock import MagicMock

    # The kernel's module imports Spark, which the kernel does not use.
    sql = ("pyspark.sql", "pyspark.sql.functions", "pyspark.sql.types")
    sys.modules |= {name: MagicMock() for name in ("pyspark", *sql, "graphframes")}
    import numpy as np
    from text_dedup import minhash_spark as peer

    a, b = (
        peer.RNG.randint(low, peer.MOD_PRIME, size=(permutations,), dtype=peer.DTYPE)
        for low in (1, 0)
    )
    rows = permutations // BANDS
    ranges = [(band * rows, (band + 1) * rows) for band in range(BANDS)]

    def run(texts: list[str]) -> Any:
        with np.errstate(over="ignore"):
            return [
                peer.generate_hash_values(text, i, permutations, NGRAM, 0, ranges, (a, b))
                for i, text in enumerate(texts)
            ]

    return run


def datatrove_kernel(permutations: int) -> Kernel:
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    config = MinhashConfig(
        n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=permutations // BANDS
    )
    stage = MinhashDedupSignature(tempfile.mkdtemp(), config)

    def run(texts: list[str]) -> Any:
        found = map(stage.get_shingles, texts)
        return [stage.get_signature(shingles) for shingles in found if shingles.size]

    return run


def our_whole(documents: Path, out: Path, permutations: int) -> None:
    sys.path.insert(0, str(ROOT))
    from assets.refinecode.local.start import load_engine

    load_engine()  # as `cookbook dedup` does
    from assets.recipe import Dedup
    from assets.refinecode.local.stages import run_fuzzy

    params = Dedup(permutations=permutations, bands=BANDS, rows=permutations // BANDS, ngram=NGRAM)
    run_fuzzy(out, documents=documents, params=params)


def rensa_whole(documents: Path, out: Path, permutations: int) -> None:
    """Buckets in a dictionary and a union-find, the first file of a cluster stays."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import rensa

    table = pq.read_table(documents)
    texts = table["content"].to_pylist()
    sketches = rensa.RMinHash.from_token_sets(map(word_grams, texts), permutations, 1)
    lsh = rensa.RMinHashLSH(0.9, permutations, BANDS)
    parent = list(range(len(texts)))

    def root(node: int) -> int:
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for number, sketch in enumerate(sketches):
        for other in lsh.query(sketch):
            low, high = sorted((root(number), root(other)))
            parent[high] = low
        lsh.insert(number, sketch)
    roots = [root(number) for number in range(len(texts))]
    kept = pa.array([number == top for number, top in enumerate(roots)])
    pq.write_table(table.filter(kept), out / "documents.parquet", compression="zstd")
    ids = table["doc_id"].to_pylist()
    decisions = {"doc_id": ids, "kept": kept, "duplicate_of": [ids[top] for top in roots]}
    pq.write_table(pa.table(decisions), out / "decisions.parquet", compression="zstd")


WHOLE = {"whole-ours": our_whole, "whole-rensa": rensa_whole}
KERNELS: dict[str, Callable[[int], Kernel]] = {
    "fast": our_kernel("fast"),
    "exact": our_kernel("exact"),
    "rensa": rensa_kernel,
    "datasketch": datasketch_kernel,
    "text-dedup": text_dedup_kernel,
    "datatrove": datatrove_kernel,
}

if __name__ == "__main__":
    main()
