"""Compile the numba kernels for this machine once, so that no worker compiles them again.

numba keeps compiled code beside each module (or in NUMBA_CACHE_DIR). Without it every Spark worker
would spend its first half minute on compiling the same functions. ``cookbook setup`` runs this
module in a process of its own when code is missing: ``python -m assets.refinecode.kernels``.
"""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: A little of everything that a kernel is specialised on: languages, prose, text that is not ASCII.
SAMPLES = {
    "a.py": "#!/usr/bin/env python\nimport os\n# why\ndef f(x):\n    return 'a' + x\n" * 9,
    "a.js": "// why\nfunction f(a) { return a?.b }\n" * 9,
    "a.ts": "const f = (a: number): number => a\n" * 9,
    "a.c": "#include <a.h>\n/* why */\nint f(int a) { return a; }\n" * 9,
    "a.cpp": "// why\nstd::vector<int> f() { return {}; }\n" * 9,
    "A.java": "package a;\nclass A { int f() { return 1; } }\n" * 9,
    "a.cs": "using System;\nclass A { int f() { return 1; } }\n" * 9,
    "a.go": "package a\n// why\nfunc f() int { return 1 }\n" * 9,
    "a.rs": "// why\nfn main() {}\n" * 9,
    "a.sh": "# why\necho $A\n" * 9,
    "a.yaml": "# why\na: 1\n" * 9,
    "a.html": "<html><body><!-- why --><p>some words of text</p></body></html>\n" * 9,
    "a.md": "# Title\n\nSome words of a text that people read, naïve — and “quoted”.\n" * 9,
    "b.md": "日本語の文章です。\n" * 9,
}
#: Compiled with the first Chinese text: few corpora have any.
LATER = "segments"


def compiled(folder: Path = HERE) -> bool:
    """Whether there is compiled code of every module in ``folder``, none older than its source."""
    elsewhere = os.environ.get("NUMBA_CACHE_DIR")
    for module in folder.rglob("*.py"):
        if module.stem in (LATER, Path(__file__).stem):
            continue
        if "@njit" in module.read_text(encoding="utf-8"):
            cache = Path(elsewhere) if elsewhere else module.parent / "__pycache__"
            index = cache.rglob(f"{module.stem}.*.nbi")
            newest = max((path.stat().st_mtime for path in index), default=0.0)
            if newest < module.stat().st_mtime:
                return False
    return True


def compile_kernels() -> None:
    """Run filters and deduplication on ``SAMPLES``."""
    import pyarrow as pa

    from assets.recipe import Dedup
    from assets.refinecode.band_index import sketch_params, sketcher
    from assets.refinecode.compare import comparer
    from assets.refinecode.filters import evaluate
    from assets.refinecode.minhash import components

    for path, content in SAMPLES.items():
        evaluate(content, path)
    count = 2 * len(SAMPLES)
    nodes = pa.array(range(count), pa.int64())
    names = pa.array([str(number) for number in range(count)])
    texts = pa.array([text for text in SAMPLES.values() for _ in range(2)])
    zeros = pa.array([0] * count, pa.int64())
    for verify in ("none", "signature", "exact"):
        params = Dedup(permutations=256, bands=25, rows=10, verify=verify)
        apart = pa.array([""] * count)
        units = {"unit": names, "node": nodes, "apart": apart, "content": texts}
        list(sketcher(sketch_params(params))(iter([pa.record_batch(units)])))
        cluster = {"component": zeros, "node": nodes, "unit": names,
                   "earlier": pa.array([False] * count), "content": texts}  # fmt: skip
        compare = comparer(sketch_params(params), verify, params.floor)
        list(compare(iter([pa.record_batch(cluster)])))
    components(nodes.to_numpy(), zeros.to_numpy())


if __name__ == "__main__":
    compile_kernels()
