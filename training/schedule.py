"""Learning-rate schedules: warm-up then constant (WSD's stable phase), exponential decay, cosine.

A schedule maps the 0-based step to its rate and has no state, so resuming cannot lose it.
The decay phase is a run of its own (annealing) that branches from any stable checkpoint.
Paper: section 3.2 (warm-up, constant, exponential decay in annealing); section 4.3 (cosine SFT).
"""

from __future__ import annotations

import math
from collections.abc import Callable

Schedule = Callable[[int], float]


def warmup_stable(lr_peak: float, warmup_steps: int) -> Schedule:
    """lr_peak after a linear warm-up; the first step already moves (lr_peak / warmup_steps)."""

    def rate(step: int) -> float:
        return lr_peak * min(1.0, (step + 1) / max(1, warmup_steps))

    return rate


def exponential_decay(lr_peak: float, lr_end: float, steps: int, warmup_steps: int = 0) -> Schedule:
    """From just below lr_peak to exactly lr_end at the last of `steps`, by a constant factor."""

    def rate(step: int) -> float:
        progress = min(1.0, (step + 1) / steps)
        decayed = lr_peak * (lr_end / lr_peak) ** progress
        return decayed * min(1.0, (step + 1) / max(1, warmup_steps))

    return rate


def warmup_cosine(lr_peak: float, steps: int, warmup_steps: int) -> Schedule:
    """Linear warm-up, then half a cosine that would reach 0 at the step after the last."""

    def rate(step: int) -> float:
        if step < warmup_steps:
            return lr_peak * (step + 1) / warmup_steps
        progress = (step - warmup_steps) / max(1, steps - warmup_steps)
        return lr_peak * 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))

    return rate
