"""Rows of the speed benchmark, and how they are shown.

Paper: none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from training import mfu

TRAINER = "HF Trainer"


@dataclass(frozen=True)
class Case:
    """What one row runs; `engine` is ours or the Trainer's."""

    data: str
    attention: str
    compile: str
    loss: str = "auto"
    precision: str = "auto"
    activation_checkpointing: bool = False
    engine: str = "ours"


@dataclass(frozen=True)
class Row:
    """One measured row. Rates are of one device; shares are 0..1; `failure` replaces figures."""

    case: Case
    micro_batch_size: int
    loss: str = ""
    compiled: bool = False
    tokens_per_second: float | None = None
    mfu: float | None = None
    peak_memory_bytes: int | None = None
    data_and_logging_share: float | None = None
    final_loss: float | None = None
    failure: str | None = None


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("engine", lambda row: row.case.engine),
    ("data", lambda row: row.case.data),
    ("attention", lambda row: row.case.attention),
    ("compile", lambda row: "on" if row.compiled else "off"),
    ("loss", lambda row: row.loss or row.case.loss),
    ("other", lambda row: _other(row.case)),
    ("micro-batch", lambda row: str(row.micro_batch_size)),
    ("tokens/s", lambda row: _figure(row.tokens_per_second, "{:,.0f}")),
    (f"MFU ({mfu.FORMULA})", lambda row: _figure(row.mfu, "{:.1%}")),
    ("memory", lambda row: _figure(_gib(row.peak_memory_bytes), "{:.1f} GiB")),
    ("data + logging", lambda row: _figure(row.data_and_logging_share, "{:.2%}")),
)


def markdown(facts: Mapping[str, object], rows: Sequence[Row], refused: Mapping[str, str]) -> str:
    """The facts, the table, and below it what was not run and why."""
    lines = [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "| " + " | ".join(name for name, _ in _COLUMNS) + " | x Trainer |"]
    lines.append("|" + " --- |" * (len(_COLUMNS) + 1))
    peers = {row.case.data: row.tokens_per_second for row in rows if row.case.engine == TRAINER}
    for row in rows:
        peer = peers.get(row.case.data)
        ratio = row.tokens_per_second / peer if row.tokens_per_second and peer else None
        cells = [show(row) for _, show in _COLUMNS]
        lines.append("| " + " | ".join([*cells, _figure(ratio, "{:.2f}")]) + " |")
    notes = [f"{name}: not run: {reason}" for name, reason in refused.items()]
    notes += [f"{_other_name(row)}: {row.failure}" for row in rows if row.failure is not None]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes)])


def line(row: Row) -> str:
    """One row for the log."""
    return ", ".join(f"{name} {show(row)}" for name, show in _COLUMNS) + (
        f", failed: {row.failure}" if row.failure else ""
    )


def _other(case: Case) -> str:
    parts = [case.precision] if case.precision != "auto" else []
    return ", ".join(parts + ["checkpointing"] * case.activation_checkpointing)


def _other_name(row: Row) -> str:
    return f"{row.case.engine}, {row.case.data}, {row.case.attention}, {row.case.loss}"


def _figure(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def _gib(size: int | None) -> float | None:
    return None if size is None else size / (1 << 30)
