"""Start of a process that only deduplicates: without libraries that the engine has no use for.

pyarrow looks for pandas and numba for scipy as soon as they are imported. Both can do without; both
together are a third of the start and 50 MB. Memory that texts took is given back soon, and pages of
libraries that were only needed to start or to load a kernel, 100 MB of LLVM above all, are let go.
"""

from __future__ import annotations

import contextlib
import ctypes
import mmap
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
    release_memory()


def release_memory() -> None:
    """Give back freed memory, and take the pages of libraries out of this process.

    The pages are unchanged parts of files, which the system holds once for all processes; a large
    one that was touched once stays resident to the end otherwise. Those needed again come back when
    touched. Where the system does not say what is mapped (it is Linux that does), nothing happens.
    """
    unchanged: list[tuple[int, int]] = []
    with contextlib.suppress(FileNotFoundError), open("/proc/self/smaps") as lines:
        library: list[int] = []
        for line in lines:
            name, *values = line.split()
            if not name.endswith(":"):  # from-to, permissions, offset, device, inode, file
                a_file = len(values) > 4 and values[4].startswith("/")
                mapped = a_file and values[0] in ("r-xp", "r--p")
                library = [int(place, 16) for place in name.split("-")] if mapped else []
            elif name == "Anonymous:" and values[0] == "0" and library:
                unchanged.append((library[0], library[1] - library[0]))
    if not unchanged:
        return
    system = ctypes.CDLL(None)
    if hasattr(system, "malloc_trim"):  # the allocator of glibc
        system.malloc_trim(ctypes.c_size_t(0))
    advise = system.madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for start, size in unchanged:
        advise(start, size, mmap.MADV_DONTNEED)
