"""Named settings of the fuzzy deduplication."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from assets.refinecode.minhash.params import SketchParams


@dataclass(frozen=True)
class Preset:
    """A sketch, and whether pairs that share a band are compared before they count."""

    params: SketchParams
    verify: Literal["none", "exact"] = "none"
    min_similarity: float | None = None


#: ``paper``: 2.1.1 of the paper; groups near-copies only. ``stack``: the setting of The Stack,
#: threshold 0.7. ``verified``: more candidates (91 % of the pairs at 0.7, 99.9 % at 0.8), of which
#: those below 0.7 are sent away by their true similarity.
PRESETS: dict[Literal["paper", "stack", "verified"], Preset] = {
    "paper": Preset(SketchParams(permutations=2048, bands=16, rows=128)),
    "stack": Preset(SketchParams(permutations=250, bands=25, rows=10)),
    "verified": Preset(SketchParams(permutations=320, bands=40, rows=8), "exact", 0.7),
}
