"""Near-duplicate kernels: text in an Arrow buffer to shingles, signatures, band hashes, components.

``params`` what a sketch is, ``presets`` and ``curve`` what it finds; ``tokens`` and ``sketch`` the
compiled halves; ``shingles`` true similarities; ``bands`` the one call for a batch; ``graph``
clusters. Compiled code releases the GIL and gives the same numbers on every machine (paper 2.1.1).
Names are looked up when first used: recipes need settings without loading a compiler.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from assets.refinecode.minhash.bands import Sketcher, band_hashes, signatures
    from assets.refinecode.minhash.curve import (
        candidate_probability,
        choose_bands,
        curve_threshold,
        detection_curve,
    )
    from assets.refinecode.minhash.graph import components, spanning_forest
    from assets.refinecode.minhash.params import SketchParams
    from assets.refinecode.minhash.presets import PRESETS, Preset
    from assets.refinecode.minhash.shingles import (
        ShingleSets,
        ShingleStream,
        jaccard,
        shingle_sets,
        similarities,
    )
    from assets.refinecode.minhash.sketch import estimate
    from assets.refinecode.minhash.text import text_buffer

_MODULES = {
    "bands": ("Sketcher", "band_hashes", "signatures"),
    "curve": ("candidate_probability", "choose_bands", "curve_threshold", "detection_curve"),
    "graph": ("components", "spanning_forest"),
    "params": ("SketchParams",),
    "presets": ("PRESETS", "Preset"),
    "shingles": ("ShingleSets", "ShingleStream", "jaccard", "shingle_sets", "similarities"),
    "sketch": ("estimate",),
    "text": ("text_buffer",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "PRESETS",
    "Preset",
    "ShingleSets",
    "ShingleStream",
    "SketchParams",
    "Sketcher",
    "band_hashes",
    "candidate_probability",
    "choose_bands",
    "components",
    "curve_threshold",
    "detection_curve",
    "estimate",
    "jaccard",
    "shingle_sets",
    "signatures",
    "similarities",
    "spanning_forest",
    "text_buffer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
