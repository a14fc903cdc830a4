"""Reporting: metrics file, progress, Dagster Pipes, timing and the loss plot.

Everything that depends on the clock is written under `logs/`, so the rest of a run's folder is the
same for the same inputs. Progress is a bar in a terminal and a line every few seconds elsewhere.
Paper: none; this is the part a person watches.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

log = logging.getLogger(__name__)

_LINE_SECONDS = 5.0


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
    """Seconds of each phase of a run, for logs/timing.json."""

    facts: dict[str, object] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

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
        payload = {**self.facts, "seconds": self.seconds}
        file.write_text(json.dumps(payload, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class StepMetrics:
    """One line of metrics.jsonl; `loss` in nats per target token, None when not finite."""

    step: int
    loss: float | None
    bits_per_byte_estimate: float | None
    lr: float
    grad_norm: float | None
    skipped: bool
    tokens: int
    tokens_per_second: float


class MetricsLog:
    """metrics.jsonl, continued after `finished_steps` (later lines of a lost attempt go)."""

    def __init__(self, file: Path, finished_steps: int) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        kept = [line for line in read_metrics(file) if line["step"] <= finished_steps]
        temporary = file.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")
        temporary.replace(file)
        self._stream = file.open("a", encoding="utf-8")

    def write(self, metrics: StepMetrics) -> None:
        self._stream.write(json.dumps(metrics.__dict__) + "\n")
        self._stream.flush()

    def close(self) -> None:
        self._stream.close()


def read_metrics(file: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; a last line that a kill cut short is left out."""
    if not file.is_file():
        return []
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


class Progress:
    """A bar on a terminal, otherwise a line every few seconds, to the log and the channel."""

    def __init__(self, name: str, steps: int, finished: int, channel: Channel) -> None:
        self._name, self._steps, self._channel = name, steps, channel
        self._begin = self._last_line = time.perf_counter()
        self._finished_before = finished
        self._tokens = 0
        self._bar: Any = None
        if sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(total=steps, initial=finished, desc=name, unit="step")

    def tokens_per_second(self, tokens: int) -> float:
        """Mean rate since this process began to train, counting `tokens` more."""
        self._tokens += tokens
        return self._tokens / max(1e-9, time.perf_counter() - self._begin)

    def step(self, metrics: StepMetrics) -> None:
        loss = "not finite" if metrics.loss is None else f"{metrics.loss:.3f}"
        if self._bar is not None:
            self._bar.update(1)
            self._bar.set_postfix_str(f"loss {loss}, {metrics.tokens_per_second:.0f} tok/s")
        now = time.perf_counter()
        if now - self._last_line < _LINE_SECONDS and metrics.step != self._steps:
            return
        self._last_line = now
        rate = (metrics.step - self._finished_before) / max(1e-9, now - self._begin)
        left = (self._steps - metrics.step) / max(1e-9, rate)
        line = (
            f"{self._name}: step {metrics.step}/{self._steps}, loss {loss}, "
            f"{metrics.tokens_per_second:.0f} tok/s, {left:.0f} s left"
        )
        if self._bar is None:
            log.info(line)
        self._channel.line(line)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


def plot_losses(metrics_file: Path, image: Path, title: str) -> None:
    """Draw loss and learning rate over the steps of metrics.jsonl."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    lines = read_metrics(metrics_file)
    steps = [line["step"] for line in lines]
    losses = [math.nan if line["loss"] is None else line["loss"] for line in lines]
    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(steps, losses, color="tab:blue", linewidth=1.0)
    axes.set(title=title, xlabel="step", ylabel="loss (nats per token)")
    rates = axes.twinx()
    rates.plot(steps, [line["lr"] for line in lines], color="tab:orange", linewidth=1.0)
    rates.set_ylabel("learning rate")
    figure.savefig(image, dpi=100)
