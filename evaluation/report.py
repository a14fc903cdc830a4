"""The page of a run: scores with intervals, what could be detected, tables, failing samples."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from evaluation.benchmarks.base import Score
from evaluation.records import Row

_SHOWN_FAILURES = 200
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; color: #1c2330 }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .3rem .8rem; text-align: left }
th { border-bottom: 2px solid #1c2330 } td { border-bottom: 1px solid #d5dae3 }
td.n { text-align: right; font-variant-numeric: tabular-nums }
pre { background: #f4f6fa; padding: .8rem; overflow-x: auto } summary { cursor: pointer }
"""


def render(
    model: str,
    scores: Sequence[Score],
    rows: Sequence[Row],
    tables: dict[str, list[Row]],
    notes: Sequence[str] = (),
) -> str:
    """The whole page as one HTML text without outside references; notes stand below the scores."""
    parts = [
        "<!doctype html><html lang='en'><meta charset='utf-8'>",
        f"<title>Scores of {escape(model)}</title><style>{_STYLE}</style>",
        f"<h1>Scores of {escape(model)}</h1>",
        "<table><tr><th>benchmark<th>metric<th>value<th>95% interval<th>n<th>prompt<th>sandbox",
    ]
    for score in scores:
        level = f"{score.level}, {score.grade}" if score.level else "nothing executed"
        parts.append(
            f"<tr><td>{escape(score.benchmark)}<td>{escape(score.metric)}"
            f"<td class='n'>{number(score.metric, score.value)}"
            f"<td class='n'>{number(score.metric, score.low)} to "
            f"{number(score.metric, score.high)}<td class='n'>{score.n}"
            f"<td>{'chat' if score.chat else 'base'}<td>{escape(level)}</tr>"
        )
    parts.append("</table>")
    parts += [f"<p>{escape(note)}" for note in notes]
    for name, table in tables.items():
        parts.append(f"<h2>{escape(name.replace('_', ' '))}</h2>{_table(table)}")
    parts.append(_failures(rows))
    return "".join(parts) + "</html>\n"


def number(metric: str, value: float) -> str:
    """A value as people read it: shares in percent, bits as they are."""
    return f"{value:.4f}" if "bits" in metric else f"{100 * value:.1f}%"


def _table(rows: Sequence[Row]) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(str(name).replace('_', ' '))}" for name in rows[0])
    lines = []
    for row in rows:
        cells = (
            f"<td class='n'>{value:.4f}"
            if isinstance(value, float)
            else f"<td>{escape(str(value))}"
            for value in row.values()
        )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"


def _failures(rows: Sequence[Row]) -> str:
    failed = [row for row in rows if row.get("passed") is False]
    if not failed:
        return ""
    shown = f", the first {_SHOWN_FAILURES} shown" if len(failed) > _SHOWN_FAILURES else ""
    parts = [f"<h2>Failing samples ({len(failed)}{shown})</h2>"]
    for row in failed[:_SHOWN_FAILURES]:
        title = f"{row['benchmark']} {row['task_id']} sample {row['sample']}: {row['status']}"
        parts.append(
            f"<details><summary>{escape(title)}</summary><pre>{escape(str(row['completion']))}</pre>"
            f"<pre>{escape(str(row['error']))}</pre></details>"
        )
    return "".join(parts)
