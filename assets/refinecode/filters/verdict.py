"""From one file to a verdict: all signals, and every rule that fired with value and threshold.

Code and data files are judged by the code rules, prose by the text rules; a file of unknown or
excluded type is dropped without signals. All rules are evaluated, not only up to the first hit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from assets.languages import detect
from assets.refinecode.filters.rules import Comparison, Family, rule_table, table_name
from assets.refinecode.filters.signals import SIGNALS
from assets.refinecode.filters.text import Text
from assets.refinecode.filters.text import natural_language as guess_natural_language


@dataclass(frozen=True)
class Hit:
    """A rule that fired."""

    rule: str
    value: float
    comparison: Comparison
    threshold: float

    def __str__(self) -> str:
        return f"{self.rule}={self.value:g}{self.comparison}{self.threshold:g}"


@dataclass(frozen=True)
class FilterVerdict:
    """``hits`` are in the order of the rule table; a file without hits is kept."""

    program: str
    doc_type: str
    kept: bool
    signals: Mapping[str, float | None] = field(default_factory=dict)
    hits: tuple[Hit, ...] = ()

    @property
    def reason(self) -> str:
        """The first rule that fired, ``doc_type`` for a file without rules, empty if kept."""
        if self.kept:
            return ""
        return self.hits[0].rule if self.hits else "doc_type"

    @property
    def detail(self) -> str:
        """Every rule that fired, as ``rule=value>threshold;...``."""
        if self.kept:
            return ""
        return ";".join(map(str, self.hits)) if self.hits else f"doc_type={self.doc_type}"


def evaluate(
    content: str,
    path: str,
    *,
    thresholds: Mapping[str, float | None] | None = None,
    natural_language: str | None = None,
    program: str | None = None,
    doc_type: str | None = None,
    size_bytes: int | None = None,
) -> FilterVerdict:
    """Judge one file. What is not given is derived: program and doc type from the path, natural
    language from the scripts in the text, size from its UTF-8 form.

    Raises ``RuleError`` if ``thresholds`` names an unknown rule.
    """
    if program is None or doc_type is None:
        found = detect(path)
        program, doc_type = program or found.language, doc_type or found.doc_type
    if doc_type not in ("code", "data", "text"):
        return FilterVerdict(program, doc_type, kept=False)
    if size_bytes is None:
        size_bytes = len(content.encode("utf-8", "surrogatepass"))
    text = Text(content, size_bytes)
    family: Family = "text" if doc_type == "text" else "code"
    if natural_language is None:
        natural_language = guess_natural_language(text) if family == "text" else "en"
    signals = {name: signal(text) for name, signal in SIGNALS[family].items()}
    rules = rule_table(family, table_name(program, doc_type, natural_language), thresholds)
    hits = []
    for rule, threshold in rules:
        value = signals[rule.signal]
        if value is not None and rule.fires(value, threshold):
            hits.append(Hit(rule.name, value, rule.comparison, threshold))
    return FilterVerdict(program, doc_type, not hits, signals, tuple(hits))
