"""What a person looks at before moving a threshold: one plot and one page.

The plot shows the distribution with the cut, what other cuts would drop, and bits per byte on both
sides of it; the page (Markdown and HTML) adds the tables and samples of both sides.
Paper: appendix A.1 (inspection by hand of what lies near a threshold).
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.documents import read_table

PLOT = "tuning.png"
_KEPT, _DROPPED, _CUT = "#4477aa", "#ddaa33", "#bb5566"
_STYLE = (
    "body{font:15px/1.5 system-ui;max-width:75rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse}td,th{padding:.2rem .8rem;border-bottom:1px solid #ddd;"
    "text-align:left}img{max-width:100%}pre{background:#f6f6f6;padding:.6rem;overflow:auto;"
    "max-height:20rem}"
)
_SHOWN_CHARS = 1_200

Row = Mapping[str, Any]


def write_report(
    out: Path,
    *,
    facts: Row,
    distribution: Sequence[Row],
    histogram: Sequence[Row],
    thresholds: Sequence[Row],
    bands: Sequence[Row],
    samples: Sequence[Row],
) -> None:
    """Write ``tuning.png``, ``report.md`` and ``report.html`` into ``out``."""
    overall = [row for row in thresholds if row["table"] == distribution[0]["table"]]
    current = [row for row in thresholds if row["threshold"] == facts["threshold"]]
    plot(out / PLOT, facts, histogram, overall, bands)
    sections = [
        ("What each threshold drops", overall),
        ("This threshold in each rule table", current),
        ("Around the threshold: bands of documents, nearest first", bands),
        ("Distribution", distribution),
    ]
    (out / "report.md").write_text(_markdown_page(facts, sections, samples))
    (out / "report.html").write_text(_html_page(facts, sections, samples))


@dataclass(frozen=True)
class Page:
    """A finished report, as Dagster, MLflow and the command line show it."""

    headline: str
    thresholds: str
    bands: str
    plot: str
    report: Path
    metrics: dict[str, float]
    files: list[Path]


def read_page(artifact: Path) -> Page:
    """The page of the artifact in this folder; tables are Markdown, the plot an inline picture."""
    facts = json.loads((artifact / "summary.json").read_text())
    thresholds = read_table(artifact / "thresholds").to_pylist()
    picture = base64.b64encode((artifact / PLOT).read_bytes()).decode()
    return Page(
        headline=headline(facts),
        thresholds=markdown_table([r for r in thresholds if r["table"] == thresholds[0]["table"]]),
        bands=markdown_table(read_table(artifact / "bands").to_pylist()),
        plot=f"![plot](data:image/png;base64,{picture})",
        report=artifact / "report.html",
        metrics={k: v for k, v in facts.items() if k.startswith("bits_per_byte") and v is not None},
        files=[artifact / name for name in (PLOT, "report.md", "report.html")],
    )


def headline(facts: Row) -> str:
    """One sentence: what the nearest files of both sides cost the model."""
    cut = f"{facts['signal']} {facts['comparison']} {facts['threshold']:g}"
    for side in ("kept", "dropped"):
        if facts[f"bits_per_byte_{side}"] is None:
            return f"`{cut}` leaves no file on the {side} side: nothing to compare."
    apart = facts["bits_per_byte_dropped"] - facts["bits_per_byte_kept"]
    overlap = (
        facts["bits_low_dropped"] <= facts["bits_high_kept"]
        and facts["bits_low_kept"] <= facts["bits_high_dropped"]
    )
    return (
        f"Near `{cut}`, dropped files cost the model {_interval(facts, 'dropped')} bits per byte "
        f"and kept files {_interval(facts, 'kept')}: {abs(apart):.3f} "
        f"{'more' if apart > 0 else 'less'}{', within the noise' if overlap else ''}."
    )


def _interval(facts: Row, side: str) -> str:
    low, high = facts[f"bits_low_{side}"], facts[f"bits_high_{side}"]
    return f"{facts[f'bits_per_byte_{side}']:.3f} [{low:.3f}, {high:.3f}]"


def markdown_table(rows: Sequence[Row]) -> str:
    """Rows with the same keys as a Markdown table."""
    if not rows:
        return "(nothing)"
    names = list(rows[0])
    cells = [names, *([_cell(row[n]).replace("|", "\\|") for n in names] for row in rows)]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(names))]
    lines = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *lines[1:]])


def plot(
    path: Path,
    facts: Row,
    histogram: Sequence[Row],
    thresholds: Sequence[Row],
    bands: Sequence[Row],
) -> None:
    """Three panels: distribution, share dropped by each threshold, bits per byte by band."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(13, 3.8), layout="constrained")
    left.bar(
        [row["low"] for row in histogram], [row["files"] for row in histogram], align="edge",
        width=[row["high"] - row["low"] for row in histogram], color=_KEPT,
    )  # fmt: skip
    left.set_yscale("symlog")
    if len(histogram) > 2 and _geometric(histogram):
        left.set_xscale("log")
    left.axvline(facts["threshold"], color=_CUT, label=f"{facts['comparison']} "
                 f"{facts['threshold']:g}")  # fmt: skip
    left.set(xlabel=f"{facts['signal']}\n(files in {facts['table']})", ylabel="files")
    left.legend()

    x = [row["threshold"] for row in thresholds]
    middle.plot(x, [100 * row["share_of_files"] for row in thresholds], "o-", color=_KEPT,
                markersize=3, label="files")  # fmt: skip
    middle.plot(x, [100 * row["share_of_bytes"] for row in thresholds], "s--", color=_DROPPED,
                markersize=3, label="bytes")  # fmt: skip
    middle.axvline(facts["threshold"], color=_CUT)
    middle.set_yscale("log")
    middle.set(xlabel=f"threshold ({facts['comparison']})", ylabel="% dropped")
    middle.legend()

    kept = [b for b in bands if b["side"] == "kept" and b["bits_per_byte"] is not None]
    dropped = [b for b in bands if b["side"] == "dropped" and b["bits_per_byte"] is not None]
    for side, colour, sign in ((kept, _KEPT, -1), (dropped, _DROPPED, 1)):
        if side:
            value = [b["bits_per_byte"] for b in side]
            error = [
                [b["bits_per_byte"] - b["bits_low"] for b in side],
                [b["bits_high"] - b["bits_per_byte"] for b in side],
            ]
            right.errorbar([sign * b["band"] for b in side], value, yerr=error, fmt="o-",
                           color=colour, capsize=3, label=side[0]["side"])  # fmt: skip
    right.axvline(0, color=_CUT)
    right.set(xlabel="band (kept < 0 < dropped, nearest to 0)", ylabel="bits per byte")
    if kept or dropped:
        right.legend()
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _geometric(histogram: Sequence[Row]) -> bool:
    first, last = (row["high"] - row["low"] for row in (histogram[0], histogram[-1]))
    return histogram[0]["low"] > 0 and last > 3 * first


def _markdown_page(
    facts: Row, sections: Sequence[tuple[str, Sequence[Row]]], samples: Sequence[Row]
) -> str:
    parts = [f"# Threshold of {facts['signal']}", "", headline(facts), "", f"![plot]({PLOT})", ""]
    for title, rows in sections:
        parts += [f"## {title}", "", markdown_table(rows), ""]
    for side in ("kept", "dropped"):
        parts += [f"## Samples just {side}", ""]
        for sample in (s for s in samples if s["side"] == side):
            text = sample["excerpt"][:_SHOWN_CHARS]
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            parts += [_caption(sample), "", f"{fence}text", text, fence, ""]
    return "\n".join(parts)


def _html_page(
    facts: Row, sections: Sequence[tuple[str, Sequence[Row]]], samples: Sequence[Row]
) -> str:
    sentence = html.escape(headline(facts)).replace("`", "")
    parts = [
        f"<h1>Threshold of {html.escape(facts['signal'])}</h1><p>{sentence}</p>",
        f'<img src="{PLOT}" alt="distribution, effect of thresholds, bits per byte">',
    ]
    for title, rows in sections:
        parts.append(f"<h2>{html.escape(title)}</h2>{_html_table(rows)}")
    for side in ("kept", "dropped"):
        parts.append(f"<h2>Samples just {side}</h2>")
        for sample in (s for s in samples if s["side"] == side):
            text = html.escape(sample["excerpt"][:_SHOWN_CHARS])
            parts.append(f"<p>{html.escape(_caption(sample))}</p><pre>{text}</pre>")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{facts["signal"]}</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</html>\n"
    )


def _caption(sample: Row) -> str:
    return (
        f"{sample['repository']}/{sample['path']}: value {sample['value']:g}, "
        f"{sample['bits_per_byte']:.3f} bits per byte, band {sample['band']}"
    )


def _html_table(rows: Sequence[Row]) -> str:
    if not rows:
        return "<p>(nothing)</p>"
    head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_cell(v))}</td>" for v in row.values()) + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
