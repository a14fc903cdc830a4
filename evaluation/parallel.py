"""Use the cores of a machine for a small model: one batch per core, each on one thread.

Splitting every small matrix product over the cores makes each step wait for the slowest core, which
on a busy machine costs several times the work itself. Whole batches in parallel wait for nothing,
and their numbers do not depend on how many cores there are. Large models, whose weights would have
to pass through memory once per batch, and GPUs take one batch at a time instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import TypeVar

from evaluation.models import LoadedModel

_Job = TypeVar("_Job")
_Result = TypeVar("_Result")
_SMALL_PARAMETERS = 500_000_000


def as_done(
    loaded: LoadedModel, batches: Sequence[_Job], work: Callable[[_Job], _Result]
) -> Iterator[tuple[_Job, _Result]]:
    """Apply `work` to every batch and yield (batch, result) as soon as each is done."""
    import torch

    small = sum(part.numel() for part in loaded.model.parameters()) < _SMALL_PARAMETERS
    if loaded.device.type != "cpu" or not small or not batches:
        for batch in batches:
            yield batch, work(batch)
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    waiting: dict[Future[_Result], _Job] = {}
    try:
        with ThreadPoolExecutor(min(threads, len(batches))) as pool:
            try:
                waiting |= {pool.submit(work, batch): batch for batch in batches}
                while waiting:
                    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield waiting.pop(future), future.result()
            finally:
                for future in waiting:
                    future.cancel()
    finally:
        torch.set_num_threads(threads)


def each_batch(
    loaded: LoadedModel, batches: Sequence[_Job], work: Callable[[_Job], _Result]
) -> Iterator[_Result]:
    """Apply `work` to every batch and yield the results in order, as they become available."""
    ready: dict[int, _Result] = {}
    following = 0
    numbered = as_done(loaded, list(enumerate(batches)), lambda item: work(item[1]))
    for (place, _), result in numbered:
        ready[place] = result
        while following in ready:
            yield ready.pop(following)
            following += 1
