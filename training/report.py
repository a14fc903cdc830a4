"""Reporting: metrics file, progress, Dagster Pipes, MLflow and timing.

Everything that depends on the clock is written under `logs/`, so the rest of a run's folder is the
same for the same inputs. Progress is a bar in a terminal and a line every few seconds elsewhere.
Paper: none; this is the part a person watches.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from training.tracking import Curves

log = logging.getLogger(__name__)

#: Seconds between two lines of progress: a hundredth of the time that has passed, within these.
_LINE_SECONDS = (5.0, 60.0)


class Channel(Protocol):
    """Where progress lines and the final message go besides the log."""

    def line(self, text: str) -> None: ...

    def message(self, payload: Mapping[str, Any]) -> None: ...


class NoChannel:
    """Nobody is listening: the log is enough."""

    def line(self, text: str) -> None:
        pass

    def message(self, payload: Mapping[str, Any]) -> None:
        pass


class PipesChannel:
    """Dagster Pipes: lines to the run's log, one custom message with the summary."""

    def __init__(self, context: Any) -> None:
        self._context = context

    def line(self, text: str) -> None:
        self._context.log.info(text)

    def message(self, payload: Mapping[str, Any]) -> None:
        self._context.report_custom_message(dict(payload))


@contextlib.contextmanager
def open_channel() -> Iterator[Channel]:
    """Dagster Pipes when its environment is present and this is the main rank, else nothing."""
    if "DAGSTER_PIPES_CONTEXT" not in os.environ or os.environ.get("RANK", "0") != "0":
        yield NoChannel()
        return
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as context:
        yield PipesChannel(context)


@dataclass
class Timings:
    """Seconds of each phase of a run and of the whole, for logs/timing.json."""

    facts: dict[str, object] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    begin: float = field(default_factory=time.perf_counter)

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            self.seconds[name] = round(self.seconds.get(name, 0.0) + spent, 3)

    def write(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        total = round(time.perf_counter() - self.begin, 3)
        payload = {**self.facts, "seconds": {**self.seconds, "total": total}}
        file.write_text(json.dumps(payload, indent=2) + "\n", encoding="utf-8")


class StepClock:
    """Times one step, and how much of it was spent waiting for data."""

    def __init__(self) -> None:
        self._begin = time.perf_counter()
        self.data_seconds = 0.0

    @contextlib.contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.data_seconds += time.perf_counter() - begin

    def seconds(self) -> float:
        return time.perf_counter() - self._begin


@dataclass(frozen=True)
class StepMetrics:
    """What a step did; `loss` in nats per target token, None when not finite.

    `tokens` are target tokens of all processes since the start of the run; the rate is this step's.
    """

    step: int
    loss: float | None
    bits_per_byte_estimate: float | None
    lr: float
    grad_norm: float | None
    skipped: bool
    skip_reason: str | None
    tokens: int
    step_seconds: float
    tokens_per_second: float
    data_wait_share: float


class Reporter:
    """Where a loop reports its steps: metrics.jsonl, the progress display, MLflow.

    `mfu` turns tokens per second of the whole run into a share of the devices' peak, or None.
    """

    def __init__(
        self,
        name: str,
        logs: Path,
        channel: Channel,
        *,
        mfu: Callable[[float], float | None] = lambda _: None,
        curves: Curves | None = None,
    ) -> None:
        self._name, self._channel, self._mfu, self._curves = name, channel, mfu, curves
        self._file = logs / "metrics.jsonl"

    def start(self, steps: int, finished: int) -> None:
        self._metrics = MetricsLog(self._file, finished)
        self._progress = Progress(self._name, steps, finished, self._channel)

    def step(self, metrics: StepMetrics, heldout_bits_per_byte: float | None) -> None:
        mfu = self._mfu(metrics.tokens_per_second)
        line = {
            **asdict(metrics),
            "mfu": None if mfu is None else round(mfu, 4),
            "memory_bytes": peak_memory_bytes(),
            "heldout_bits_per_byte": heldout_bits_per_byte,
        }
        self._metrics.write(line)
        if self._curves is not None:
            self._curves.step(line)
        self._progress.step(metrics)
        if heldout_bits_per_byte is not None:
            self._progress.say(f"held-out {heldout_bits_per_byte:.4f} bits per byte")

    def finish(self, failed_checkpoints: int) -> None:
        if failed_checkpoints:
            self._progress.say(f"{failed_checkpoints} checkpoints could not be written")
        self._progress.close()
        self._metrics.close()


class SilentReporter(Reporter):
    """For the processes that do not report."""

    def __init__(self) -> None:
        pass

    def start(self, steps: int, finished: int) -> None:
        pass

    def step(self, metrics: StepMetrics, heldout_bits_per_byte: float | None) -> None:
        pass

    def finish(self, failed_checkpoints: int) -> None:
        pass


def peak_memory_bytes() -> int:
    """Most memory used so far: of the CUDA device where there is one, else of this process."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


class MetricsLog:
    """metrics.jsonl, continued after `finished_steps` (later lines of a lost attempt go).

    Lines for which the disk has no room wait in memory: a full disk does not stop the training.
    """

    def __init__(self, file: Path, finished_steps: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_suffix(".tmp")
        with temporary.open("w", encoding="utf-8") as kept:
            for line in read_metrics(file):
                if line["step"] <= finished_steps:
                    kept.write(json.dumps(line) + "\n")
        temporary.replace(file)
        self._file, self._waiting, self._warned = file, b"", False
        self._stream = file.open("ab", buffering=0)

    def write(self, line: Mapping[str, Any]) -> None:
        self._waiting += json.dumps(line).encode() + b"\n"
        self._write_waiting()

    def close(self) -> None:
        self._write_waiting()
        self._stream.close()

    def _write_waiting(self) -> None:
        try:
            while self._waiting:  # what did not fit goes on where it stopped
                self._waiting = self._waiting[self._stream.write(self._waiting) :]
        except OSError as error:
            if not self._warned:
                log.error("%s: lines wait for room (%s)", self._file, error)
            self._warned = True


def read_metrics(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of metrics.jsonl, one after another: those of a long run would fill a gigabyte.

    Lines that a kill or a crash left torn are left out.
    """
    if not file.is_file():
        return
    with file.open("rb") as stream:
        for text in stream:
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if text.endswith(b"\n"):
                yield line


class Progress:
    """A bar on a terminal, otherwise a line every few seconds, to the log and the channel.

    After ten minutes lines come less often, down to one a minute: an orchestrator keeps them all.
    """

    def __init__(self, name: str, steps: int, finished: int, channel: Channel) -> None:
        self._name, self._steps, self._channel = name, steps, channel
        self._begin = self._last_line = time.perf_counter()
        self._finished_before = finished
        self._tokens_before: float | None = None
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=finished, desc=name, unit="step")

    def step(self, metrics: StepMetrics) -> None:
        loss = "not finite" if metrics.loss is None else f"{metrics.loss:.3f}"
        now = time.perf_counter()
        seconds = max(1e-9, now - self._begin)
        if self._tokens_before is None:
            self._tokens_before = metrics.tokens - metrics.tokens_per_second * metrics.step_seconds
        rate = (metrics.tokens - self._tokens_before) / seconds
        if self._bar is not None:
            self._bar.update(1)
            self._bar.set_postfix_str(f"loss {loss}, {rate:.0f} tok/s")
        least, most = _LINE_SECONDS
        pause = min(most, max(least, seconds / 100))
        if now - self._last_line < pause and metrics.step != self._steps:
            return
        self._last_line = now
        left = (self._steps - metrics.step) * seconds / (metrics.step - self._finished_before)
        line = f"{self._name}: step {metrics.step}/{self._steps}, loss {loss}, {rate:.0f} tok/s"
        line += f", {left:.0f} s left"
        if self._bar is None:  # a bar says the same
            log.info(line)
        self._channel.line(line)

    def say(self, text: str) -> None:
        """A line that is no step: to the log (above a bar) and the channel."""
        line = f"{self._name}: {text}"
        if self._bar is None:
            log.info(line)
        else:
            self._bar.write(line, file=sys.stderr)
        self._channel.line(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
