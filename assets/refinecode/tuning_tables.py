"""The coarse look at one signal: its distribution, and what each threshold would drop.

Pure arithmetic over one column of the filter's ``signals`` table: a value, a size, a rule table
and whether another rule drops the file anyway.
Paper: appendix A.1, first step.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from assets.documents import read_batches
from assets.refinecode.filters.rules import Comparison, table_name

#: Name of the group that holds every file, beside one group a rule table.
ALL = "all"
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_TAIL_SHARES = (0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_COLUMNS = ("doc_id", "language", "doc_type", "size_bytes", "rules", "signals")

Row = dict[str, Any]


class SignalError(LookupError):
    """No file has this signal; the message names those that exist."""


@dataclass(frozen=True, order=True)
class Cut:
    """Files whose value ``comparison`` ``threshold`` holds for are dropped."""

    comparison: Comparison
    threshold: float

    def drops(self, values: np.ndarray) -> np.ndarray:
        """Which of the values are dropped."""
        if self.comparison == "<":
            return values < self.threshold
        return values > self.threshold if self.comparison == ">" else values == self.threshold

    def at(self, threshold: float) -> Cut:
        return Cut(self.comparison, threshold)

    def __str__(self) -> str:
        return f"{self.comparison} {self.threshold:g}"


@dataclass(frozen=True)
class SignalColumn:
    """One signal of every file of ``group`` that has a value for it, in the order of the table.

    ``others``: a rule on another signal fires on the file, so this signal alone decides nothing.
    """

    signal: str
    group: str
    doc_ids: list[str]
    tables: np.ndarray
    sizes: np.ndarray
    values: np.ndarray
    others: np.ndarray


def read_signal(signals: Path, name: str, table: str = "") -> SignalColumn:
    """The column of one signal, of one rule table or (empty) of all.

    Raises ``SignalError`` when no file has a value for it.
    """
    doc_ids: list[str] = []
    tables: list[str] = []
    sizes: list[int] = []
    values: list[float] = []
    others: list[bool] = []
    known: set[str] = set()
    elsewhere: set[str] = set()
    for batch in read_batches(signals, list(_COLUMNS)):
        rows, found = _values(batch.column("signals"), name, known)
        columns = [batch.column(c).take(pa.array(rows)).to_pylist() for c in _COLUMNS[:5]]
        for doc_id, language, doc_type, size, rules, value in zip(*columns, found, strict=True):
            group = table_name(language, doc_type, "en")
            if table in ("", group):
                doc_ids.append(doc_id)
                tables.append(group)
                sizes.append(size)
                values.append(value)
                others.append(any(rule != name for rule in rules or ()))
            else:
                elsewhere.add(group)
    if not values:
        if elsewhere:
            raise SignalError(
                f"signal {name!r} has no value in the rule table {table!r}; it has in: "
                f"{', '.join(sorted(elsewhere))}"
            )
        if name in known or not known:
            raise SignalError(f"{signals}: no file has a value of the signal {name!r}")
        raise SignalError(unknown_signal(name, known))
    return SignalColumn(
        name, table or ALL, doc_ids, np.array(tables), np.array(sizes, np.int64),
        np.array(values, np.float64), np.array(others, bool),
    )  # fmt: skip


def distribution(column: SignalColumn, cut: Cut) -> list[Row]:
    """Per rule table and in all: files, bytes, mean, quantiles, and what ``cut`` drops."""
    rows = []
    for group, mask in _groups(column):
        values, sizes = column.values[mask], column.sizes[mask]
        dropped = cut.drops(values)
        levels = np.quantile(values, [0, *QUANTILES, 1])
        rows.append({
            "table": group,
            "files": len(values),
            "bytes": int(sizes.sum()),
            "mean": _number(values.mean()),
            "min": _number(levels[0]),
            **{f"q{round(q * 100):02d}": _number(v)
               for q, v in zip(QUANTILES, levels[1:-1], strict=True)},
            "max": _number(levels[-1]),
            "dropped_files": int(dropped.sum()),
            "dropped_bytes": int(sizes[dropped].sum()),
        })  # fmt: skip
    return rows


def histogram(column: SignalColumn, bins: int = 40) -> list[Row]:
    """Files and bytes in each of ``bins`` bins; the outer two also hold what lies beyond 0.1 %.

    Bins have equal width, or equal ratio for a signal that spans more than two decades.
    """
    values = column.values
    low, middle, high = np.quantile(values, [0.001, 0.5, 0.999])
    if low == high:
        low, high = float(values.min()), float(values.max())
    if low == high:
        edges = np.array([low, low + (abs(low) or 1.0) * 1e-6])
    elif low >= 0 and middle > 0 and high > 100 * middle:
        edges = np.geomspace(max(low, middle / 1000), high, bins + 1)
    else:
        edges = np.linspace(low, high, bins + 1)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    files = np.bincount(place, minlength=len(edges) - 1)
    sizes = np.bincount(place, weights=column.sizes, minlength=len(edges) - 1)
    return [
        {"low": _number(edges[i]), "high": _number(edges[i + 1]), "files": int(files[i]),
         "bytes": int(sizes[i])}
        for i in range(len(edges) - 1)
    ]  # fmt: skip


def threshold_effects(column: SignalColumn, cut: Cut, current: Sequence[float] = ()) -> list[Row]:
    """What each candidate threshold drops, per rule table and in all.

    ``alone`` counts files that no rule on another signal drops. ``origin`` says where a candidate
    comes from: ``asked`` (the cut itself), ``rule`` (thresholds of the rules now), ``share`` (it
    drops about that share of all files) or ``round``.
    """
    candidates = _candidates(column, cut, current)
    rows = []
    for group, mask in _groups(column):
        values, sizes, others = column.values[mask], column.sizes[mask], column.others[mask]
        for threshold, origin in candidates:
            dropped = cut.at(threshold).drops(values)
            alone = dropped & ~others
            rows.append({
                "table": group,
                "comparison": cut.comparison,
                "threshold": threshold,
                "origin": origin,
                "files": int(dropped.sum()),
                "share_of_files": round(float(dropped.mean()), 6),
                "bytes": int(sizes[dropped].sum()),
                "share_of_bytes": round(float(sizes[dropped].sum() / max(1, sizes.sum())), 6),
                "alone_files": int(alone.sum()),
                "alone_bytes": int(sizes[alone].sum()),
            })  # fmt: skip
    return rows


def _candidates(
    column: SignalColumn, cut: Cut, current: Sequence[float]
) -> list[tuple[float, str]]:
    found: dict[float, str] = {}
    if cut.comparison == "==":
        values, counts = np.unique(column.values, return_counts=True)
        found = {_number(values[i]): "round" for i in np.argsort(-counts, kind="stable")[:10]}
    else:
        shares = [1 - s for s in _TAIL_SHARES] if cut.comparison == ">" else list(_TAIL_SHARES)
        tail = np.quantile(column.values, shares)
        found = {t: "round" for t in _round_numbers(float(tail.min()), float(tail.max()))}
        found |= {_number(t): "share" for t in tail}
    found |= {float(t): "rule" for t in current}
    found[cut.threshold] = "asked" if cut.threshold not in current else "rule"
    return sorted(found.items())


def _round_numbers(low: float, high: float, most: int = 12) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten within [low, high], the finest that fit."""
    if not high > low:
        return []
    power = int(np.floor(np.log10((high - low) / most)))
    for step in (10.0**power, 2 * 10.0**power, 5 * 10.0**power, 10.0 ** (power + 1)):
        first, last = int(np.ceil(low / step)), int(np.floor(high / step))
        if last - first < most:
            return [_number(i * step) for i in range(first, last + 1)]
    return []


def _values(
    column: pa.MapArray | pa.ChunkedArray, name: str, known: set[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers and values of one key of a map column; adds every key to ``known``."""
    offsets = column.offsets.to_numpy()
    keys = column.keys.slice(offsets[0], offsets[-1] - offsets[0])
    items = column.items.slice(offsets[0], offsets[-1] - offsets[0])
    known.update(keys.unique().to_pylist())
    import pyarrow.compute as pc

    at = np.flatnonzero(pc.and_(pc.equal(keys, name), pc.is_valid(items)).to_numpy(False))
    rows = np.searchsorted(offsets, at + offsets[0], side="right") - 1
    return rows, items.take(pa.array(at)).to_numpy(zero_copy_only=False)


def _groups(column: SignalColumn) -> Iterator[tuple[str, np.ndarray]]:
    yield column.group, np.ones(len(column.values), bool)
    names = np.unique(column.tables)
    if len(names) > 1:
        for name in names:
            yield str(name), column.tables == name


def unknown_signal(name: str, known: set[str], most: int = 5) -> str:
    """What to say of a mistyped or shortened name."""
    near = sorted(other for other in known if name and name in other)
    near = (near or difflib.get_close_matches(name, sorted(known), n=most, cutoff=0.6))[:most]
    close = f"close ones: {', '.join(near)}" if near else f"signals: {', '.join(sorted(known))}"
    return f"no signal is called {name!r}; {close}"


def _number(value: float) -> float:
    """Rounded to 8 significant digits, so that tables of two machines agree."""
    return float(f"{float(value):.8g}")
