"""Which steps to skip: a gradient that is not finite, a loss or a gradient norm that spikes.

One bad batch can throw a model off the path for thousands of steps; leaving its update out costs
nothing. A value spikes when its logarithm is more than `sigmas` spreads above the median of the
steps before it. Median and MAD (not mean and deviation) so that the spikes in the window do not
hide the next one, while a lasting shift becomes the new normal after half a window.
Paper: none. Skipping by a running statistic is the idea of OLMo-core's SkipStepOptimizer.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass, field

#: A normal distribution's standard deviation over its median absolute deviation.
_MAD_TO_SIGMA = 1.4826
#: Smallest spread (of logarithms) that counts, so that a very even run has no spikes of a percent,
#: and the value below which differences mean nothing.
_LOSS_FLOORS = (0.05, 0.1)
_NORM_FLOORS = (0.2, 1e-4)


@dataclass
class Guard:
    """Judges steps; the two histories are its whole state. `sigmas` None: only finiteness.

    It is silent until half a window of steps has been seen. `histories` hold the last `window`
    finite values, skipped steps included.
    """

    sigmas: float | None
    window: int
    losses: list[float] = field(default_factory=list)
    norms: list[float] = field(default_factory=list)

    def judge(self, loss: float, norm: float) -> str | None:
        """Why the step of this loss (nats per token) and gradient norm must be skipped, or None."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return f"not finite: loss {loss}, gradient norm {norm}"
        reason = None
        if self.sigmas is not None and len(self.losses) >= max(2, self.window // 2):
            reason = self._spike("loss", loss, self.losses, *_LOSS_FLOORS) or self._spike(
                "gradient norm", norm, self.norms, *_NORM_FLOORS
            )
        self.losses[:] = [*self.losses, loss][-self.window :]
        self.norms[:] = [*self.norms, norm][-self.window :]
        return reason

    def _spike(
        self, name: str, value: float, history: list[float], spread: float, smallest: float
    ) -> str | None:
        logs = [math.log(max(item, smallest)) for item in history]
        middle = statistics.median(logs)
        mad = statistics.median(abs(item - middle) for item in logs)
        limit = middle + (self.sigmas or 0.0) * max(_MAD_TO_SIGMA * mad, spread)
        if math.log(max(value, smallest)) <= limit:
            return None
        return f"spike: {name} {value:.4g}, limit {math.exp(limit):.4g}"
