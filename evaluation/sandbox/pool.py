"""The sandbox as callers see it: a level that was tested, and workers that run jobs side by side.

Workers are warm and kept until the sandbox closes; one that fails is dropped and its job reported
as an error. Outcomes come in the order of the jobs.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from evaluation.sandbox.jobs import (
    Calls,
    Command,
    Job,
    LanguageTest,
    Pairs,
    Program,
    RemoteTest,
)
from evaluation.sandbox.outcome import Level, Limits, Outcome
from evaluation.sandbox.supervisor import Worker

_AHEAD = 4  # jobs a worker may be ahead of the reader


class Sandbox:
    """Run jobs at one level. Use as a context manager, or call close().

    level: "strict", "user", "container", or None for what the environment names (strict unless
    COOKBOOK_SANDBOX says otherwise). The level tests itself before the first job of a process:
    SandboxError when it does not hold. workers: jobs at once in `map`.

    >>> from evaluation.sandbox import Program, Sandbox
    >>> with Sandbox() as sandbox:  # doctest: +SKIP
    ...     sandbox.run(Program("x = 1", test="assert x == 1")).passed
    True
    """

    def __init__(self, level: Level | None = None, *, workers: int = 2) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, found {workers}")
        from evaluation.sandbox.probe import ensure_level

        self.level = ensure_level(level)
        self.workers = workers
        self._pool = WorkerPool()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End every process of this sandbox and remove its control groups."""
        self._pool.close()

    def run(self, job: Job) -> Outcome:
        """Run one job. Raises SandboxError when the sandbox fails, never when the program does."""
        return self._pool.run(job, self.level)

    def map(self, jobs: Iterable[Job]) -> Iterator[Outcome]:
        """Run many jobs, `workers` at a time, lazily and in order."""
        waiting: deque[Future[Outcome]] = deque()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="sandbox") as pool:
            try:
                for job in jobs:
                    waiting.append(pool.submit(self.run, job))
                    if len(waiting) >= _AHEAD * self.workers:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()


class WorkerPool:
    """Idle workers by level; one is made when none is idle."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._lock = threading.Lock()

    def run(self, job: Job, level: Level) -> Outcome:
        """Run one job on an idle worker."""
        worker = self._borrow(level)
        try:
            outcome = _run(worker, job)
        except BaseException:
            worker.close()
            raise
        with self._lock:
            self._idle.append(worker)
        return outcome

    def close(self) -> None:
        """End the idle workers; those of another process (after a fork) are left to it."""
        with self._lock:
            for worker in self._idle:
                if worker.owner == os.getpid():
                    worker.close()
            self._idle.clear()

    def _borrow(self, level: Level) -> Worker:
        with self._lock:
            self._idle[:] = [worker for worker in self._idle if worker.owner == os.getpid()]
            for position, worker in enumerate(self._idle):
                if worker.level == level:
                    return self._idle.pop(position)
        return Worker(level)


def _run(worker: Worker, job: Job) -> Outcome:
    if isinstance(job, Pairs):
        return worker.run_pairs(job)
    if isinstance(job, RemoteTest):
        return worker.run_test(job)
    if isinstance(job, Calls):
        return worker.run_calls(job)
    if isinstance(job, Program):
        return worker.run_program(job)
    from evaluation.sandbox.commands import run_command, run_language_test

    if isinstance(job, LanguageTest):
        return run_language_test(worker, job)
    assert isinstance(job, Command)
    return run_command(worker, job)


SHARED = WorkerPool()
atexit.register(SHARED.close)


def run_programs(
    sources: Iterable[str],
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    workers: int = 2,
    result: str | None = None,
    level: Level | None = None,
) -> Iterator[Outcome]:
    """Run Python programs that carry their own asserts, on workers shared by the whole process.

    doctest is at hand for those that use it.
    """
    sandbox = Sandbox(level, workers=workers)
    sandbox._pool = SHARED
    return sandbox.map(
        Program(source, result=result, limits=limits, profile="doctests") for source in sources
    )


def run_program(
    source: str,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    result: str | None = None,
    level: Level | None = None,
) -> Outcome:
    """Run one Python program that carries its own asserts; `passed`: its last line was reached."""
    return next(run_programs([source], limits=limits, workers=1, result=result, level=level))
