"""The picture of a run: loss and held-out bits per byte, learning rate, gradient norm.

Paper: none; figures of this kind are how its runs are compared (section 6).
"""

from __future__ import annotations

import logging
import math
from array import array
from pathlib import Path

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

    curves = {name: array("d") for name in ("step", "loss", "lr", "grad_norm")}
    skipped: dict[int, float] = {}  # step -> how high its mark is
    measured: dict[int, float] = {}
    for line in read_metrics(metrics_file):
        for name, values in curves.items():
            values.append(math.nan if line.get(name) is None else line[name])
        if line["skipped"] and line["loss"] is not None:
            skipped[line["step"]] = line["loss"]
        if line.get("heldout_bits_per_byte") is not None:
            measured[line["step"]] = line["heldout_bits_per_byte"]
    steps = curves["step"]
    figure = Figure(figsize=(7.0, 6.0), layout="constrained")
    FigureCanvasAgg(figure)
    losses, schedule = figure.subplots(2, 1, sharex=True, height_ratios=[3, 2])

    losses.plot(steps, curves["loss"], color="tab:blue", linewidth=1.0)
    losses.set(title=title, ylabel="loss (nats per token)")
    if skipped:
        losses.plot(list(skipped), list(skipped.values()), "rx", label="skipped")
        losses.legend(loc="upper right")
    if measured:
        bits = losses.twinx()
        bits.plot(list(measured), list(measured.values()), color="tab:green", marker=".")
        bits.set_ylabel("held-out bits per byte", color="tab:green")

    schedule.plot(steps, curves["lr"], color="tab:orange", linewidth=1.0)
    schedule.set_ylabel("learning rate", color="tab:orange")
    schedule.set_xlabel("step")
    norms = schedule.twinx()
    norms.plot(steps, curves["grad_norm"], color="tab:gray", linewidth=0.6)
    norms.set_ylabel("gradient norm", color="tab:gray")
    try:
        figure.savefig(image, dpi=100)
    except OSError as error:
        log.warning("%s: not drawn (%s)", image, error)
        return False
    return True
