"""Start of a process that only deduplicates: without libraries that the engine has no use for.

pyarrow looks for pandas and numba for scipy as soon as they are imported. Both can do without; both
together are a third of the start and 50 MB. Memory that texts took is given back soon.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

_UNUSED = ("pandas", "scipy")
#: How long freed memory is kept; giving it back at once takes a third more CPU time.
_KEPT_MILLISECONDS = 100


class _Unused:
    """A finder that says of these packages that they are not installed."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        if name.partition(".")[0] in _UNUSED:
            raise ModuleNotFoundError(f"No module named {name!r} (unused here)", name=name)


def load_engine() -> None:
    """Import the engine and a first kernel, with which numba imports the rest of itself.

    pyarrow knows no pandas in this process from then on, unless it was there already.
    """
    if sys.platform == "linux":  # elsewhere Arrow may come without this allocator
        os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "jemalloc")
    finder = _Unused()
    sys.meta_path.insert(0, finder)
    try:
        import numpy as np
        import pyarrow as pa

        import assets.refinecode.local.stages  # noqa: F401
        from assets.refinecode.minhash import components

        components(np.zeros(1, np.int64), np.zeros(1, np.int64))
        if pa.default_memory_pool().backend_name == "jemalloc":
            pa.jemalloc_set_decay_ms(_KEPT_MILLISECONDS)
    finally:
        sys.meta_path.remove(finder)
