"""The rule table: which value of which signal drops a file, in which table of which rule set.

``rules.yaml`` is the table, for people to read; here it becomes typed rules. A rule is named by
its signal and compares its value with a threshold; a signal with a lower and an upper bound has two
rules of that name. A rule set is the table plus its differences; a recipe may change bounds on top.
Values are those of the paper's released filter (paper 2.1.1 and appendix A, tables 11 and 12).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast, get_args

import yaml

RuleSetName = Literal["opencoder", "cookbook"]
Principle = Literal["content", "logic", "form"]
Comparison = Literal["<", ">", "=="]
#: A bound in a recipe: one number for the only bound of a rule, null for none, or sides by name.
Threshold = float | Mapping[Any, float | None] | None

RULE_SETS: tuple[RuleSetName, ...] = get_args(RuleSetName)
#: Languages with signals of their own.
LANGUAGES = ("python", "c", "cpp", "csharp", "go", "java", "javascript", "html")
#: Tables of code and data, and of text.
CODE_TABLES = (*LANGUAGES, "shell", "sql", "data", "others")
TEXT_TABLES = ("en", "zh")
_SIDES: Mapping[str, Comparison] = {"min": "<", "max": ">", "equals": "=="}
_TABLE_FILE = Path(__file__).with_name("rules.yaml")


class RuleError(ValueError):
    """The rule table, or a threshold that a recipe changes in it, does not make sense."""


@dataclass(frozen=True)
class Rule:
    """A file is dropped when ``value comparison threshold`` holds (and the draw says so).

    ``probability`` (0-1] is the share of such files that is dropped; ``principle`` names what they
    lack: content of their own, logic, or standard form.
    """

    signal: str
    comparison: Comparison
    threshold: float
    principle: Principle
    probability: float = 1.0

    def holds(self, value: float | None) -> bool:
        """Whether this value meets the condition; a missing value never does."""
        if value is None:
            return False
        if self.comparison == "<":
            return value < self.threshold
        return value > self.threshold if self.comparison == ">" else value == self.threshold


@dataclass(frozen=True)
class Bounds:
    """What is allowed: not below ``min``, not above ``max``, not ``equals``; None: no bound."""

    min: float | None = None
    max: float | None = None
    equals: float | None = None

    @property
    def sides(self) -> list[str]:
        """Names of the bounds that are set."""
        return [side for side in _SIDES if getattr(self, side) is not None]


@dataclass(frozen=True)
class Entry:
    """One signal's line of the table file. ``tables`` holds the bounds that differ."""

    signal: str
    section: str
    principle: Principle
    bounds: Bounds
    probability: float = 1.0
    tables: Mapping[str, Bounds] = field(default_factory=dict)


@dataclass(frozen=True)
class RuleBook:
    """All lines of all rule sets, and the signals that stand elsewhere in some tables' order."""

    principles: Mapping[str, str]
    entries: Mapping[RuleSetName, Mapping[str, Entry]]
    moved: Mapping[str, tuple[str, frozenset[str]]]

    def lines(self, rules: RuleSetName, table: str) -> list[Entry]:
        """The lines of one table, in its order."""
        sections = ("text",) if table in TEXT_TABLES else ("code", table)
        entries = [e for e in self.entries[rules].values() if e.section in sections]
        for signal, (after, tables) in self.moved.items():
            if table in tables:
                names = [entry.signal for entry in entries]
                entry = entries.pop(names.index(signal))
                names.remove(signal)
                entries.insert(names.index(after) + 1, entry)
        return entries


def table_name(program: str, doc_type: str, natural_language: str) -> str:
    """The table that judges a file: only Chinese text has one apart from ``en``."""
    if doc_type == "text":
        return "zh" if natural_language == "zh" else "en"
    if program in CODE_TABLES and program not in ("data", "others"):
        return program
    return "data" if doc_type == "data" else "others"


def rule_table(
    rules: RuleSetName, table: str, thresholds: Mapping[str, Threshold] | None = None
) -> tuple[Rule, ...]:
    """The rules of a table that have a threshold, in the order in which reasons are given.

    ``thresholds`` (signal name to bound) hold in every table of the signal. Raises ``RuleError``
    for an unknown rule set or table, and as :func:`check_names` does.
    """
    return _rule_table(rules, table, _frozen(thresholds))


def check_names(
    thresholds: Mapping[str, Threshold] | None, rules: RuleSetName = "cookbook"
) -> None:
    """Raise ``RuleError`` if a threshold names no rule, or a side that the rule does not have."""
    for name, given in (thresholds or {}).items():
        entry = rule_entries(rules).get(name)
        if entry is None:
            near = difflib.get_close_matches(name, rule_entries(rules), n=3, cutoff=0.5)
            close = f"close ones: {', '.join(near)}" if near else "`rules.yaml` lists all"
            raise RuleError(f"thresholds: no rule is called {name!r}; {close}")
        tables = (entry.bounds, *entry.tables.values())
        for bounds in tables:
            _changed(name, bounds, given)
        if isinstance(given, int | float) and not any(bounds.sides for bounds in tables):
            raise RuleError(
                f"thresholds.{name}: the signal has no bound so far, so one number does "
                "not say which: give {min: ...} or {max: ...}"
            )


def rule_entries(rules: RuleSetName) -> Mapping[str, Entry]:
    """Every line of a rule set by signal, also those without a bound. Raises ``RuleError``."""
    if rules not in RULE_SETS:
        raise RuleError(f"rules: no rule set is called {rules!r}; {' or '.join(RULE_SETS)}")
    return rule_book().entries[rules]


@functools.cache
def rule_book() -> RuleBook:
    """The table file, read once a process."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return parse(yaml.load(_TABLE_FILE.read_text(encoding="utf-8"), Loader=loader))


@functools.lru_cache(maxsize=1024)
def _rule_table(
    rules: RuleSetName, table: str, thresholds: tuple[tuple[str, Any], ...]
) -> tuple[Rule, ...]:
    changes: dict[str, Threshold] = {
        name: dict(given) if isinstance(given, tuple) else given for name, given in thresholds
    }
    rule_entries(rules)
    check_names(changes, rules)
    if table not in (*CODE_TABLES, *TEXT_TABLES):
        known = ", ".join((*CODE_TABLES, *TEXT_TABLES))
        raise RuleError(f"no table of rules is called {table!r}; tables: {known}")
    made = []
    for entry in rule_book().lines(rules, table):
        bounds = entry.tables.get(table, entry.bounds)
        if entry.signal in changes:
            bounds = _changed(entry.signal, bounds, changes[entry.signal])
        for side in bounds.sides:
            made.append(
                Rule(entry.signal, _SIDES[side], getattr(bounds, side), entry.principle,
                     entry.probability)
            )  # fmt: skip
    return tuple(made)


def _frozen(thresholds: Mapping[str, Threshold] | None) -> tuple[tuple[str, Any], ...]:
    return tuple(
        (name, tuple(sorted(given.items())) if isinstance(given, Mapping) else given)
        for name, given in sorted((thresholds or {}).items())
    )


def _changed(name: str, bounds: Bounds, given: Threshold) -> Bounds:
    """The bounds after a recipe's change; one number stands for the only bound there is."""
    where = f"thresholds.{name}"
    if given is None:
        return Bounds()
    if isinstance(given, Mapping):
        unknown = [side for side in given if side not in _SIDES]
        if unknown:
            raise RuleError(f"{where}: no bound is called {unknown[0]!r}; {', '.join(_SIDES)}")
        for side, value in given.items():
            if value is not None and not _is_number(value):
                raise RuleError(f"{where}.{side}: {value!r} is not a number")
        changed = replace(bounds, **given)
    elif len(bounds.sides) == 1:
        changed = replace(bounds, **{bounds.sides[0]: given})
    elif bounds.sides:
        raise RuleError(f"{where}: the rule has two bounds; give {{min: ..., max: ...}}")
    else:
        return bounds  # a table that does not use the signal: one number cannot say which side
    if changed.min is not None and changed.max is not None and changed.min > changed.max:
        raise RuleError(f"{where}: min {changed.min:g} is above max {changed.max:g}")
    return changed


def parse(tree: Mapping[str, Any]) -> RuleBook:
    """The table file's content as rules. Raises ``RuleError`` that names the line at fault."""
    sections = ("text", "code", *LANGUAGES)
    missing = [key for key in ("principles", *sections, "moved", "rule_sets") if key not in tree]
    if missing:
        raise RuleError(f"rules.yaml: section {missing[0]!r} is missing")
    base: dict[str, Entry] = {}
    for section in sections:
        for signal, line in tree[section].items():
            if signal in base:
                raise RuleError(f"rules.yaml: {section}.{signal} stands there twice")
            base[signal] = _entry(section, signal, line, tree["principles"])
    entries: dict[RuleSetName, Mapping[str, Entry]] = {}
    for rules in RULE_SETS:
        changed = dict(base)
        for signal, line in (tree["rule_sets"].get(rules) or {}).items():
            if signal not in base:
                raise RuleError(f"rules.yaml: rule_sets.{rules}.{signal} changes no line above")
            changed[signal] = _entry(
                base[signal].section, signal, {"for": base[signal].principle} | line,
                tree["principles"],
            )  # fmt: skip
        entries[rules] = MappingProxyType(changed)
    moved = {
        signal: (_known(where["after"], base), frozenset(where["in"]))
        for signal, where in tree["moved"].items()
        if _known(signal, base)
    }
    return RuleBook(dict(tree["principles"]), entries, moved)


def _known(signal: str, base: Mapping[str, Entry]) -> str:
    if signal not in base:
        raise RuleError(f"rules.yaml: moved names {signal!r}, which no section has")
    return signal


def _entry(
    section: str, signal: str, line: Mapping[str, Any], principles: Mapping[str, str]
) -> Entry:
    where = f"rules.yaml: {section}.{signal}"
    expected = ("for", *_SIDES, "probability", "tables")
    _only(line, expected, where)
    if line.get("for") not in principles:
        raise RuleError(
            f"{where}: `for` is {line.get('for')!r}, not one of {', '.join(principles)}"
        )
    probability = line.get("probability", 1.0)
    if not _is_number(probability) or not 0 < probability <= 1:
        raise RuleError(f"{where}: probability is {probability!r}, not a number in (0, 1]")
    tables = {}
    for table, bounds in (line.get("tables") or {}).items():
        if table not in (TEXT_TABLES if section == "text" else CODE_TABLES):
            raise RuleError(f"{where}: no table of that kind is called {table!r}")
        _only(bounds, tuple(_SIDES), f"{where}.tables.{table}")
        tables[table] = _bounds(bounds, f"{where}.tables.{table}")
    own = {key: value for key, value in line.items() if key in _SIDES}
    principle = cast("Principle", line["for"])
    return Entry(signal, section, principle, _bounds(own, where), float(probability), tables)


def _bounds(line: Mapping[str, Any], where: str) -> Bounds:
    for side, value in line.items():
        if not _is_number(value):
            raise RuleError(f"{where}: {side} is {value!r}, not a number")
    return Bounds(**line)


def _only(line: Any, expected: Sequence[str], where: str) -> None:
    if not isinstance(line, Mapping):
        raise RuleError(f"{where}: expected a mapping of {', '.join(expected)}, found {line!r}")
    for key in line:
        if key not in expected:
            raise RuleError(f"{where}: unknown key {key!r}; expected {', '.join(expected)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def all_rules(rules: RuleSetName) -> Iterator[tuple[str, Rule]]:
    """(table, rule) of a whole rule set."""
    for table in (*TEXT_TABLES, *CODE_TABLES):
        for rule in rule_table(rules, table):
            yield table, rule
