"""Threshold tuning: what a cut of one signal would drop, and whether that is worth dropping.

Coarse: the distribution of the signal, and the files and bytes that each candidate threshold
drops, alone and with the other rules. Fine: bands of documents just kept and just dropped, their
bits per byte under the recipe's own model, and samples of both sides to read.
Paper: appendix A.1 (thresholds are first set on the distribution, then by perplexity near them).
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as pads

from assets.documents import write_table
from assets.refinecode.filters.rules import (
    CODE_TABLES,
    TEXT_TABLES,
    Comparison,
    RuleSetName,
    Threshold,
    rule_entries,
    rule_table,
)
from assets.refinecode.tuning_report import write_report
from assets.refinecode.tuning_tables import (
    Cut,
    SignalColumn,
    SignalError,
    distribution,
    histogram,
    read_signal,
    threshold_effects,
    unknown_signal,
)

if TYPE_CHECKING:
    from training.bits_per_byte import DocumentBits

STAGE = "filter_tuning"
VERSION = "1"
KEPT, DROPPED = "kept", "dropped"
#: Tokens of context when documents are charged: excerpts are a few thousand bytes.
_MAX_CONTEXT_TOKENS = 1024

log = logging.getLogger(__name__)
Cost = Callable[[Sequence[str]], "list[DocumentBits]"]


@dataclass(frozen=True)
class Tuning:
    """What is asked.

    ``signal`` is a full name. ``table`` narrows it to one rule table (``python``, ``data``, ``en``
    for text, ...), empty for all. The threshold to look around, and on which side of it files are
    dropped, are the rule's unless given. Near is the share ``window`` of all files on either side,
    in at most ``bands`` bands; ``sample_bytes`` of text are charged in all, in excerpts of
    ``excerpt_bytes``; ``shown`` of each side are on the page.
    """

    signal: str
    table: str = ""
    comparison: Comparison | None = None
    threshold: float | None = None
    bands: int = 5
    window: float = 0.1
    sample_bytes: int = 300_000
    excerpt_bytes: int = 2_048
    shown: int = 6
    seed: int = 0


@dataclass(frozen=True)
class Band:
    """Documents of one side at like distance from the threshold; 1 is nearest."""

    side: str
    number: int
    rows: np.ndarray


@dataclass(frozen=True)
class Sample:
    """One document of a band, with the excerpt that is charged and shown."""

    side: str
    band: int
    doc_id: str
    repository: str
    path: str
    language: str
    value: float
    excerpt: str


def run(
    out: Path,
    *,
    signals: Path,
    documents: Path,
    asked: Tuning,
    rules: Mapping[str, Sequence[Cut]],
    cost: Cost,
) -> None:
    """Fill ``out`` with the tables ``distribution``, ``histogram``, ``thresholds``, ``bands`` and
    ``samples``, ``tuning.png``, ``report.md`` and ``report.html``.

    ``signals`` is the filter's table of that name, ``documents`` holds the texts it judged;
    ``rules`` says where each rule table cuts this signal now. ``cost`` charges texts
    (:func:`model_cost`). Raises ``SignalError`` when no document of the table has the signal.
    """
    column = read_signal(signals, asked.signal, asked.table)
    cut = choose_cut(column, rules, asked)
    relevant = {c for name in np.unique(column.tables) for c in rules.get(str(name), ())}
    current = sorted(c.threshold for c in relevant if c.comparison == cut.comparison)
    effects = threshold_effects(column, cut, current)
    bands = near_bands(column, cut, asked)
    samples = draw_samples(documents, column, bands, asked)
    log.info("%s %s: charging %d excerpts", asked.signal, cut, len(samples))
    costs = cost([sample.excerpt for sample in samples])
    band_rows = _band_table(column, bands, samples, costs, asked.seed)
    shape = histogram(column)
    spread = distribution(column, cut)
    sample_rows = [
        asdict(sample) | {"bits_per_byte": round(paid.bits / paid.bytes, 6)}
        for sample, paid in zip(samples, costs, strict=True)
    ]
    for name, rows in (
        ("distribution", spread), ("histogram", shape), ("thresholds", effects),
        ("bands", band_rows), ("samples", sample_rows),
    ):  # fmt: skip
        write_table(out / name, pa.Table.from_pylist(rows), sort_by=None)
    facts = {
        "signal": asked.signal,
        "table": column.group,
        "comparison": cut.comparison,
        "threshold": cut.threshold,
        "rule": cut in relevant,
        **_side_facts(samples, costs, asked.seed),
    }
    (out / "summary.json").write_text(json.dumps(facts, indent=1))
    write_report(
        out, facts=facts, distribution=spread, histogram=shape, thresholds=effects,
        bands=band_rows, samples=_to_show(sample_rows, asked.shown),
    )  # fmt: skip


def current_cuts(
    rules: RuleSetName, thresholds: Mapping[str, Threshold], signal: str
) -> dict[str, tuple[Cut, ...]]:
    """Where each rule table cuts this signal; tables that do not are left out.

    Raises ``SignalError`` for a name that no rule set lists.
    """
    known = set(rule_entries(rules))
    if signal not in known:
        raise SignalError(unknown_signal(signal, known))
    cuts = {
        table: tuple(
            Cut(rule.comparison, rule.threshold)
            for rule in rule_table(rules, table, thresholds)
            if rule.signal == signal
        )
        for table in (*CODE_TABLES, *TEXT_TABLES)
    }
    return {table: found for table, found in cuts.items() if found}


def choose_cut(column: SignalColumn, rules: Mapping[str, Sequence[Cut]], asked: Tuning) -> Cut:
    """The cut that was asked for; what was not given is that of most files' rule, and without a
    rule the outermost percent."""
    files: dict[Cut, int] = {}
    for name, count in zip(*np.unique(column.tables, return_counts=True), strict=True):
        for cut in rules.get(str(name), ()):
            if asked.comparison in (None, cut.comparison):
                files[cut] = files.get(cut, 0) + int(count)
    # of a rule with two bounds, the one that drops more
    most = max(files, key=lambda c: (files[c], c.drops(column.values).sum(), c), default=None)
    comparison = asked.comparison or (most.comparison if most else ">")
    if asked.threshold is not None:
        return Cut(comparison, asked.threshold)
    if most is not None:
        return most
    if comparison == "==":
        raise ValueError(f"{asked.signal}: no rule says which value to drop; give a threshold")
    level = 0.99 if comparison == ">" else 0.01
    log.info("no rule cuts %s: looking around its quantile %g", asked.signal, level)
    return Cut(comparison, round(float(np.quantile(column.values, level)), 6))


def model_cost(checkpoint: Path) -> Cost:
    """Bits of each text under the Hugging Face folder ``checkpoint``; loaded at the first call."""

    def cost(texts: Sequence[str]) -> list[DocumentBits]:
        from evaluation.models import load_model
        from training.bits_per_byte import document_bits
        from training.model import use_all_cores

        use_all_cores()
        loaded = load_model(checkpoint)
        context = min(loaded.context_length, _MAX_CONTEXT_TOKENS)
        return document_bits(loaded.model, loaded.tokenizer, texts, context, batch_size=16)

    return cost


def near_bands(column: SignalColumn, cut: Cut, asked: Tuning) -> list[Band]:
    """The documents nearest to the threshold, in bands of equal size on each side.

    Documents are ranked by distance, ties by a hash; bands whose documents all have one value are
    one band (a signal that is mostly 0 has many).
    """
    dropped = cut.drops(column.values)
    distance = np.abs(column.values - cut.threshold)
    near = max(asked.bands, int(asked.window * len(column.values)))
    bands: list[Band] = []
    for side, mask in ((KEPT, ~dropped), (DROPPED, dropped)):
        rows = np.flatnonzero(mask)
        hashes = _hashes(column, rows, asked.seed)
        rows = rows[np.lexsort((hashes, distance[rows]))][:near]
        parts: list[np.ndarray] = []
        for part in np.array_split(rows, asked.bands):
            if not len(part):
                continue
            before = parts[-1] if parts else None
            if before is not None and _one_value(column.values, before, part):
                parts[-1] = np.concatenate((before, part))
            else:
                parts.append(part)
        bands += [Band(side, i, part) for i, part in enumerate(parts, start=1)]
    return bands


def draw_samples(
    documents: Path, column: SignalColumn, bands: Sequence[Band], asked: Tuning
) -> list[Sample]:
    """Documents of each band in the order of a hash of their id, within the band's share of bytes.

    Raises ``LookupError`` when ``documents`` does not hold a document that the filter judged.
    """
    chosen: list[tuple[Band, int]] = []
    for band in bands:
        left = asked.sample_bytes // max(1, len(bands))
        for row in band.rows[np.argsort(_hashes(column, band.rows, asked.seed), kind="stable")]:
            size = min(int(column.sizes[row]), asked.excerpt_bytes)
            if size > left:
                break
            if size:
                chosen.append((band, int(row)))
                left -= size
    wanted = [column.doc_ids[row] for _, row in chosen]
    found = _texts(documents, wanted)
    missing = [doc_id for doc_id in wanted if doc_id not in found]
    if missing:
        raise LookupError(
            f"{documents} lacks {len(missing)} documents of the signals table (first: "
            f"{missing[0]}); both must come from the same run of the filter"
        )
    samples = []
    for band, row in chosen:
        doc = found[column.doc_ids[row]]
        text = excerpt(doc["content"], column.doc_ids[row], asked.excerpt_bytes)
        if text:
            samples.append(
                Sample(band.side, band.number, column.doc_ids[row], doc["repository"], doc["path"],
                       doc["language"], round(float(column.values[row]), 8), text)
            )  # fmt: skip
    return samples


def excerpt(content: str, doc_id: str, max_bytes: int) -> str:
    """At most ``max_bytes`` of a text, from a line that the hash of its id chooses.

    >>> excerpt("one\\ntwo", "id", 100)
    'one\\ntwo'
    """
    data = content.encode("utf-8", "replace")
    if len(data) <= max_bytes:
        return data.decode("utf-8")
    start = _hash(doc_id, "place") % (len(data) - max_bytes)
    line = data.find(b"\n", start, start + max_bytes // 2) + 1
    start = line or start
    return data[start : start + max_bytes].decode("utf-8", "ignore")


def _side_facts(
    samples: Sequence[Sample], costs: Sequence[DocumentBits], seed: int
) -> dict[str, float | None]:
    """Bits per byte of the near files of each side, with a 95 % interval; None for no files."""
    facts: dict[str, float | None] = {}
    for side in (KEPT, DROPPED):
        charged = [c for s, c in zip(samples, costs, strict=True) if s.side == side]
        value, low, high = _ratio(charged, seed)
        facts |= {
            f"bits_per_byte_{side}": value,
            f"bits_low_{side}": low,
            f"bits_high_{side}": high,
        }
    return facts


def _ratio(
    charged: Sequence[DocumentBits], seed: int
) -> tuple[float, float, float] | tuple[None, None, None]:
    """Bits per byte and its 95 % interval over documents."""
    if not charged:
        return None, None, None
    from evaluation.metrics import bootstrap_ratio
    from training.bits_per_byte import bits_per_byte

    interval = bootstrap_ratio(
        [c.bits for c in charged], [c.bytes for c in charged], seed=seed, draws=2_000
    )
    return round(bits_per_byte(charged), 6), round(interval.low, 6), round(interval.high, 6)


def _band_table(
    column: SignalColumn,
    bands: Sequence[Band],
    samples: Sequence[Sample],
    costs: Sequence[DocumentBits],
    seed: int,
) -> list[dict[str, Any]]:
    rows = []
    for band in bands:
        mine = [
            (sample, paid)
            for sample, paid in zip(samples, costs, strict=True)
            if (sample.side, sample.band) == (band.side, band.number)
        ]
        bits, low, high = _ratio([paid for _, paid in mine], seed)
        values = column.values[band.rows]
        rows.append({
            "side": band.side,
            "band": band.number,
            "low": round(float(values.min()), 8),
            "high": round(float(values.max()), 8),
            "files": len(band.rows),
            "bytes": int(column.sizes[band.rows].sum()),
            "sampled_files": len(mine),
            "sampled_bytes": sum(paid.bytes for _, paid in mine),
            "bits_per_byte": bits,
            "bits_low": low,
            "bits_high": high,
            "languages": _top_languages([sample.language for sample, _ in mine]),
        })  # fmt: skip
    return rows


def _top_languages(names: Sequence[str], shown: int = 3) -> str:
    counts = {name: names.count(name) for name in set(names)}
    order = sorted(counts, key=lambda name: (-counts[name], name))[:shown]
    return ", ".join(f"{name} {counts[name]}" for name in order)


def _to_show(rows: Sequence[dict[str, Any]], shown: int) -> list[dict[str, Any]]:
    """The samples nearest to the threshold on each side."""
    picked: list[dict[str, Any]] = []
    for side in (KEPT, DROPPED):
        picked += sorted((r for r in rows if r["side"] == side), key=lambda r: r["band"])[:shown]
    return picked


def _one_value(values: np.ndarray, *parts: np.ndarray) -> bool:
    rows = np.concatenate(parts)
    return bool((values[rows] == values[rows[0]]).all())


def _texts(documents: Path, doc_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    wanted = pads.field("doc_id").isin(doc_ids)
    columns = ["doc_id", "content", "repository", "path", "language"]
    found: dict[str, dict[str, Any]] = {}
    for batch in pads.dataset(documents, format="parquet").to_batches(columns, filter=wanted,
                                                                      batch_size=512):  # fmt: skip
        found |= {row["doc_id"]: row for row in batch.to_pylist()}
    return found


def _hashes(column: SignalColumn, rows: np.ndarray, seed: int) -> np.ndarray:
    return np.array([_hash(column.doc_ids[row], seed) for row in rows], dtype=np.uint64)


def _hash(doc_id: str, salt: int | str) -> int:
    return int.from_bytes(hashlib.sha256(f"{salt}:{doc_id}".encode()).digest()[:8], "big")
