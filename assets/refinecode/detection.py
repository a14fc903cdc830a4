"""The detection curve of a recipe's bands, for people who choose them (paper 2.1.1).

Two units of similarity s share a band with the chance ``1 - (1 - s**rows)**bands``. The curves of
the presets stand beside the chosen one, and the floor below which verification sends pairs away.
"""

from __future__ import annotations

import io

from assets.recipe import Dedup


def plot_detection(params: Dedup) -> bytes:
    """A PNG: chance that a pair is found, over its Jaccard similarity."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from assets.refinecode.minhash import PRESETS, curve_threshold, detection_curve

    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
    others = {(p.params.bands, p.params.rows): name for name, p in PRESETS.items()}
    others.pop((params.bands, params.rows), None)
    for (bands, rows), name in others.items():
        label = f"{name}: {bands} x {rows}"
        axes.plot(*detection_curve(bands, rows), "--", color="0.6", linewidth=1, label=label)
    similarity, chance = detection_curve(params.bands, params.rows, points=401)
    half = curve_threshold(params.bands, params.rows)
    label = f"this recipe: {params.bands} x {params.rows}, half at {half:.3f}"
    if params.verify != "none":
        found = [c if s >= params.floor else 0.0 for s, c in zip(similarity, chance, strict=True)]
        axes.plot(similarity, chance, ":", color="tab:blue", linewidth=1, label="before verifying")
        axes.plot(
            similarity, found, color="tab:blue", label=f"{label}, verified >= {params.floor:g}"
        )
    else:
        axes.plot(similarity, chance, color="tab:blue", label=label)
    axes.set(xlabel=f"Jaccard similarity of {params.unit} {params.ngram}-grams",
             ylabel="chance to be found", xlim=(0, 1), ylim=(0, 1.02))  # fmt: skip
    axes.legend(fontsize=8, loc="upper left")
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=110)
    plt.close(figure)
    return stream.getvalue()
