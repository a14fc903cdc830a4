"""From one file to a verdict: all signals, and every rule that fired with value and threshold.

Code and data files are judged by the rules of code, prose by those of text; a file of unknown or
excluded type is dropped without signals (paper 2.1.1 and appendix A). Each signal stands alone: one
that fails is missing, is named in ``errors``, and hides no other. Rules that drop a share of the
files they hold for draw from a hash of rule and content, so that two runs agree.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from assets.refinecode.filters.program import FileKind, file_kind
from assets.refinecode.filters.program import natural_language as guess_natural_language
from assets.refinecode.filters.registry import signals_of
from assets.refinecode.filters.rules import (
    Comparison,
    RuleSetName,
    Threshold,
    rule_table,
    table_name,
)
from assets.refinecode.filters.source import Source

JUDGED = ("code", "data", "text")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Hit:
    """A rule whose condition holds for a file.

    ``probability`` is the share of such files that the rule drops; ``fires`` says whether it drops
    this one (always, where the probability is 1).
    """

    rule: str
    value: float
    comparison: Comparison
    threshold: float
    probability: float = 1.0
    fires: bool = True

    def __str__(self) -> str:
        return f"{self.rule}={self.value:g}{self.comparison}{self.threshold:g}"


@dataclass(frozen=True)
class FilterVerdict:
    """What the rules say of one file.

    ``signals`` has every signal of the file's kind by full name, in order; None: not defined for
    this file. ``hits`` has every rule whose condition holds, in the order of the table, also the
    ones that their draw lets pass (``Hit.fires`` is false); a file is kept when none fires.
    ``errors`` names signals that failed, with the error; they are None in ``signals``, and no rule
    holds for them. A file whose doc type is neither code, data nor text is dropped with neither
    signals nor hits.
    """

    program: str
    doc_type: str
    kept: bool
    signals: Mapping[str, float | None] = field(default_factory=dict)
    hits: tuple[Hit, ...] = ()
    natural_language: str = "en"
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def fired(self) -> tuple[Hit, ...]:
        """The hits that drop the file."""
        return tuple(hit for hit in self.hits if hit.fires)

    @property
    def reason(self) -> str:
        """The first rule that fired, ``doc_type`` for a file without rules, empty if kept."""
        if self.kept:
            return ""
        return self.fired[0].rule if self.hits else "doc_type"

    @property
    def detail(self) -> str:
        """Every rule that fired, as ``rule=value>threshold;...``."""
        if self.kept:
            return ""
        return ";".join(map(str, self.fired)) if self.hits else f"doc_type={self.doc_type}"

    def kept_with(self, draw: bool) -> bool:
        """Whether the file is kept if every rule with a probability fires (or none does)."""
        if self.doc_type not in JUDGED:
            return False
        return not any(draw or hit.probability == 1.0 for hit in self.hits)


def evaluate(
    content: str,
    path: str,
    rules: RuleSetName = "cookbook",
    natural_language: str | None = None,
    *,
    thresholds: Mapping[str, Threshold] | None = None,
    program: str | None = None,
    doc_type: str | None = None,
    size_bytes: int | None = None,
    filename: str | None = None,
) -> FilterVerdict:
    """Judge one file. Any text has a verdict, whatever it holds.

    What is not given is derived: program, doc type and file name from the path as the rule set
    splits it, natural language (``en``, ``zh``, ``ja``) from the scripts in the text, size from its
    UTF-8 form. ``thresholds`` change bounds of rules, by signal. Raises ``RuleError`` for an
    unknown rule set, rule or bound, whatever the file.

    >>> evaluate("x = 1", "a.py").reason
    'qsc_code_num_words'
    """
    kind = _kind(path, rules, program, doc_type, filename)
    if natural_language is None:
        natural_language = guess_natural_language(content)
    table = table_name(kind.program, kind.doc_type, natural_language)
    judges = rule_table(rules, table, thresholds)
    if kind.doc_type not in JUDGED:
        return FilterVerdict(
            kind.program, kind.doc_type, kept=False, natural_language=natural_language
        )
    if size_bytes is None:
        size_bytes = len(content.encode("utf-8", "surrogatepass"))
    source = Source(
        content,
        program=kind.program,
        doc_type=kind.doc_type,
        filename=kind.filename,
        extension=kind.extension,
        natural_language=natural_language,
        size_bytes=size_bytes,
        rules=rules,
    )
    signals, errors = measure(source, path)
    hits = tuple(
        Hit(rule.signal, value, rule.comparison, rule.threshold, rule.probability,
            rule.probability == 1.0 or draw(content, rule.signal) < rule.probability)
        for rule in judges
        if (value := signals.get(rule.signal)) is not None and rule.holds(value)
    )  # fmt: skip
    return FilterVerdict(
        kind.program,
        kind.doc_type,
        kept=not any(hit.fires for hit in hits),
        signals=signals,
        hits=hits,
        natural_language=natural_language,
        errors=errors,
    )


def measure(source: Source, path: str = "") -> tuple[dict[str, float | None], dict[str, str]]:
    """(signals by name, errors by name) of a prepared file; ``path`` is for the log."""
    signals: dict[str, float | None] = {}
    errors: dict[str, str] = {}
    for name, signal in signals_of(source.program, source.doc_type).items():
        try:
            signals[name] = signal(source)
        except Exception as error:
            log.debug("signal %s failed on %r", name, path, exc_info=True)
            signals[name] = None
            errors[name] = f"{type(error).__name__}: {error}"
    if errors:
        name, said = next(iter(errors.items()))
        log.warning("%d signals failed on %r, first %s: %s", len(errors), path, name, said)
    return signals, errors


def draw(content: str, rule: str) -> float:
    """A number in [0, 1) that depends on the content and the rule alone."""
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    drawn = hashlib.sha256(f"{digest}\0{rule}".encode()).digest()
    return (int.from_bytes(drawn[:8], "big") >> 11) / 2.0**53


def _kind(
    path: str,
    rules: RuleSetName,
    program: str | None,
    doc_type: str | None,
    filename: str | None,
) -> FileKind:
    found = file_kind(path, rules)
    return FileKind(
        found.filename if filename is None else filename,
        found.extension,
        program or found.program,
        doc_type or found.doc_type,
    )
