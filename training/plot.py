"""The picture of a run: loss and held-out bits per byte, learning rate, gradient norm.

Paper: none; figures of this kind are how its runs are compared (section 6).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from training.report import read_metrics

log = logging.getLogger(__name__)


def plot_run(metrics_file: Path, image: Path, title: str) -> bool:
    """Draw metrics.jsonl as a PNG; False (and a warning) without matplotlib or room for it."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        log.warning("%s: not drawn, matplotlib is not installed", image)
        return False

    lines = read_metrics(metrics_file)
    steps = [line["step"] for line in lines]
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    losses, schedule = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])

    losses.plot(steps, _values(lines, "loss"), color="tab:blue", linewidth=1.0)
    losses.set(title=title, ylabel="loss (nats per token)")
    skipped = [line for line in lines if line["skipped"] and line["loss"] is not None]
    if skipped:
        losses.plot(
            [line["step"] for line in skipped], _values(skipped, "loss"), "rx", label="skipped"
        )
        losses.legend(loc="upper right")
    measured = [line for line in lines if line.get("heldout_bits_per_byte") is not None]
    if measured:
        bits = losses.twinx()
        bits.plot(
            [line["step"] for line in measured],
            _values(measured, "heldout_bits_per_byte"),
            color="tab:green",
            marker=".",
        )
        bits.set_ylabel("held-out bits per byte", color="tab:green")

    schedule.plot(steps, _values(lines, "lr"), color="tab:orange", linewidth=1.0)
    schedule.set_ylabel("learning rate", color="tab:orange")
    schedule.set_xlabel("step")
    norms = schedule.twinx()
    norms.plot(steps, _values(lines, "grad_norm"), color="tab:gray", linewidth=0.6)
    norms.set_ylabel("gradient norm", color="tab:gray")
    try:
        figure.savefig(image, dpi=100)
    except OSError as error:
        log.warning("%s: not drawn (%s)", image, error)
        return False
    return True


def _values(lines: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [math.nan if line.get(key) is None else float(line[key]) for line in lines]
