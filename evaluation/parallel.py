"""Use the cores of a machine for a small model: one batch per core, each on one thread.

Splitting every small matrix product over the cores makes each step wait for the slowest core, which
on a busy machine costs several times the work itself. Whole batches in parallel wait for nothing,
and their numbers do not depend on how many cores there are. Large models, whose weights would have
to pass through memory once per batch, and GPUs take one batch at a time instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from evaluation.models import LoadedModel

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_SMALL_PARAMETERS = 500_000_000


def each_batch(
    loaded: LoadedModel, batches: Sequence[_Job], work: Callable[[_Job], _Result]
) -> Iterator[_Result]:
    """Apply `work` to every batch and yield the results in order, as they become available."""
    import torch

    small = sum(part.numel() for part in loaded.model.parameters()) < _SMALL_PARAMETERS
    if loaded.device.type != "cpu" or not small or not batches:
        for batch in batches:
            yield work(batch)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    waiting: deque[Future[_Result]] = deque()
    try:
        with ThreadPoolExecutor(min(threads, len(batches))) as pool:
            try:
                waiting.extend(pool.submit(work, batch) for batch in batches)
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(threads)
