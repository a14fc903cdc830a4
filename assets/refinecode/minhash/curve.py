"""What a choice of bands finds (paper 2.1.1).

With ``rows`` values in each of ``bands`` bands, units of similarity s share a band hash with the
chance ``1 - (1 - s**rows)**bands``: a curve that rises around ``(1 / bands)**(1 / rows)``. The
paper's 16 x 128 rises at 0.979: it finds near-copies only.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

F64 = npt.NDArray[np.float64]


def candidate_probability(jaccard: float | F64, bands: int, rows: int) -> float | F64:
    """Chance that two units of this similarity share a band: ``1 - (1 - s**rows)**bands``.

    >>> round(candidate_probability(0.975, bands=16, rows=128), 2)
    0.47
    """
    return 1.0 - (1.0 - jaccard**rows) ** bands


def detection_curve(bands: int, rows: int, points: int = 201) -> tuple[F64, F64]:
    """(similarities from 0 to 1, chance to share a band at each)."""
    jaccards = np.linspace(0.0, 1.0, points)
    return jaccards, np.asarray(candidate_probability(jaccards, bands, rows))


def curve_threshold(bands: int, rows: int) -> float:
    """The similarity at which the chance to share a band is one half.

    >>> round(curve_threshold(16, 128), 3)
    0.975
    """
    return float((1.0 - 0.5 ** (1.0 / bands)) ** (1.0 / rows))


@functools.cache
def choose_bands(
    threshold: float, permutations: int, false_positive_weight: float = 0.5
) -> tuple[int, int]:
    """(bands, rows) with the least weighted area of false positives (the curve below the threshold)
    and false negatives (what it lacks to 1 above), as datasketch and text-dedup choose.

    Raises ``ValueError`` for a threshold or weight outside 0 to 1, or no permutations.

    >>> choose_bands(0.7, 250)
    (25, 10)
    """
    if not 0.0 < threshold < 1.0:
        raise ValueError(f"threshold: expected a number between 0 and 1, found {threshold}")
    if not 0.0 <= false_positive_weight <= 1.0:
        raise ValueError(f"false_positive_weight: expected 0 to 1, found {false_positive_weight}")
    if permutations < 1:
        raise ValueError(f"permutations: expected 1 or more, found {permutations}")
    step = 0.001
    below = np.arange(step / 2, threshold, step)
    above = np.arange(threshold + step / 2, 1.0, step)
    best = (np.inf, 0, 0)
    for rows in range(1, permutations + 1):
        # One band more multiplies what is missed; there are few rows with many bands.
        bands = np.arange(1, permutations // rows + 1)
        missed_below = np.power.outer(1.0 - below**rows, bands)
        missed_above = np.power.outer(1.0 - above**rows, bands)
        error = false_positive_weight * (1.0 - missed_below).sum(axis=0) * step
        error += (1.0 - false_positive_weight) * missed_above.sum(axis=0) * step
        least = int(np.argmin(error))
        best = min(best, (float(error[least]), int(bands[least]), rows))
    return best[1], best[2]
