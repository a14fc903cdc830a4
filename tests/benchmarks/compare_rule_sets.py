"""What the repairs of the rule set `cookbook` change on a corpus, in files and bytes by language.

    python tests/benchmarks/compare_rule_sets.py                    # the corpus of `starter`
    python tests/benchmarks/compare_rule_sets.py --documents FOLDER # parquet documents of a lake

Judges every document that reaches the filter under both rule sets and prints two Markdown tables:
verdicts that differ by language, and the rules behind them. Files whose name the two sets read
differently (another language or document type) are a row of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = "(name read differently)"
COLUMNS = ["doc_id", "path", "language", "doc_type", "size_bytes", "content"]


@dataclass(frozen=True)
class Pair:
    """One file under both rule sets: the rules that fired, and whether it is kept."""

    language: str
    size_bytes: int
    same_kind: bool
    opencoder: frozenset[str]
    opencoder_kept: bool
    cookbook: frozenset[str]
    cookbook_kept: bool


@dataclass
class Tally:
    """Files and bytes."""

    files: int = 0
    bytes: int = 0

    def add(self, size_bytes: int) -> None:
        self.files += 1
        self.bytes += size_bytes

    def __str__(self) -> str:
        return f"{self.files:,} ({size(self.bytes)})" if self.files else "-"


@dataclass
class Row:
    """Tallies of one line of a table, by column."""

    tallies: dict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))

    def __getitem__(self, name: str) -> Tally:
        return self.tallies[name]


def size(number: int) -> str:
    """Bytes with a unit.

    >>> size(1_234_567)
    '1.23 MB'
    """
    for unit, scale in (("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.3g} {unit}"
    return f"{number} B"


def judge(documents: Path) -> Iterator[Pair]:
    """Every document under both rule sets."""
    from assets.documents import read_batches
    from assets.refinecode.filters.batch import evaluate_batch

    for batch in read_batches(documents, COLUMNS, batch_rows=128):
        judged = {name: evaluate_batch(batch, name) for name in ("opencoder", "cookbook")}
        facts = [batch.column(name).to_pylist() for name in ("language", "size_bytes")]
        kinds = [
            list(zip(judged[name].column("program").to_pylist(),
                     judged[name].column("doc_type").to_pylist(), strict=True))
            for name in judged
        ]  # fmt: skip
        fired = {name: judged[name].column("rules").to_pylist() for name in judged}
        kept = {name: judged[name].column("kept").to_pylist() for name in judged}
        for i, (language, size_bytes) in enumerate(zip(*facts, strict=True)):
            yield Pair(
                language, size_bytes, kinds[0][i] == kinds[1][i],
                frozenset(fired["opencoder"][i]), kept["opencoder"][i],
                frozenset(fired["cookbook"][i]), kept["cookbook"][i],
            )  # fmt: skip


def verdict_table(pairs: Iterable[Pair], shown: int) -> list[str]:
    """By language: what each set drops, and what only one of them drops."""
    rows: dict[str, Row] = defaultdict(Row)
    for pair in pairs:
        for row in (rows["all"], rows[pair.language]):
            row["all"].add(pair.size_bytes)
            if not pair.opencoder_kept:
                row["opencoder"].add(pair.size_bytes)
            if not pair.cookbook_kept:
                row["cookbook"].add(pair.size_bytes)
            if pair.cookbook_kept and not pair.opencoder_kept:
                row["only opencoder"].add(pair.size_bytes)
            if pair.opencoder_kept and not pair.cookbook_kept:
                row["only cookbook"].add(pair.size_bytes)
    columns = ("all", "opencoder", "cookbook", "only opencoder", "only cookbook")
    order = sorted(rows, key=lambda name: (name != "all", -rows[name]["all"].bytes, name))
    changed = [n for n in order if rows[n]["only opencoder"].files + rows[n]["only cookbook"].files]
    same = [n for n in order if n not in changed]
    groups = [(name, [name]) for name in changed[:shown]]
    if len(changed) > shown:
        groups.append((f"{len(changed) - shown} others", changed[shown:]))
    lines = [
        "| language | files | dropped by `opencoder` | dropped by `cookbook` "
        "| only `opencoder` drops | only `cookbook` drops |",
        "|" + " --- |" * 6,
    ]
    for name, members in groups:
        cells = [str(sum_of(rows[m][c] for m in members)) for c in columns]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, "", f"No verdict differs in the other {len(same)} languages."]


def rule_table(pairs: Iterable[Pair], shown: int) -> list[str]:
    """By rule and language: where it fires under one set only, and how often the verdict turns.

    The ``shown`` languages of a rule with the most turned verdicts have a row of their own.
    """
    rows: dict[tuple[str, str], Row] = defaultdict(Row)
    for pair in pairs:
        turned = pair.opencoder_kept != pair.cookbook_kept
        names = (
            {rule: "opencoder" for rule in pair.opencoder - pair.cookbook}
            | {rule: "cookbook" for rule in pair.cookbook - pair.opencoder}
        )  # fmt: skip
        if not pair.same_kind:
            names = {NAME: "cookbook" if pair.opencoder_kept else "opencoder"} if turned else {}
        for rule, side in names.items():
            row = rows[rule, pair.language]
            row[side].add(pair.size_bytes)
            if turned:
                row[f"{side} turned"].add(pair.size_bytes)
    by_rule: dict[str, list[str]] = defaultdict(list)
    for rule, language in rows:
        by_rule[rule].append(language)
    columns = ("opencoder", "opencoder turned", "cookbook", "cookbook turned")
    lines = [
        "| rule | language | fires only in `opencoder` | and the file is kept by `cookbook` "
        "| fires only in `cookbook` | and the file is kept by `opencoder` |",
        "|" + " --- |" * 6,
    ]
    for rule in sorted(by_rule):
        order = sorted(by_rule[rule], key=lambda n: (*(-x for x in _weight(rows[rule, n])), n))
        groups = [(name, [name]) for name in order[:shown]]
        if len(order) > shown:
            groups.append((f"{len(order) - shown} others", order[shown:]))
        for name, members in groups:
            cells = [str(sum_of(rows[rule, m][c] for m in members)) for c in columns]
            lines.append(f"| `{rule}` | {name} | {' | '.join(cells)} |")
    return lines


def sum_of(tallies: Iterable[Tally]) -> Tally:
    """All of them in one."""
    total = Tally()
    for tally in tallies:
        total.files += tally.files
        total.bytes += tally.bytes
    return total


def _weight(row: Row) -> tuple[int, int]:
    """Verdicts that turned, then files."""
    turned = row["opencoder turned"].files + row["cookbook turned"].files
    return turned, row["opencoder"].files + row["cookbook"].files


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=Path, help="folder of parquet documents")
    parser.add_argument("--recipe", default="starter", help="whose transformed_code is judged")
    parser.add_argument("--languages", type=int, default=15, help="rows of the first table")
    parser.add_argument("--per-rule", type=int, default=6, help="languages of a rule, second table")
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    folder = options.documents
    if folder is None:
        from assets.resources import Factory

        folder = Factory().held("transformed_code", options.recipe).table("documents")
    pairs = list(judge(folder))
    print(
        "\n".join(
            [*verdict_table(pairs, options.languages), "", *rule_table(pairs, options.per_rule)]
        )
    )


if __name__ == "__main__":
    main()
