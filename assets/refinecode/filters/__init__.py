"""Heuristic quality filters: signals of a text, and a table of rules over them (paper 2.1.1, A).

``signals`` says what is measured, ``rules`` is the table of thresholds (data, overridable from a
recipe), ``verdict`` joins the two for one file.
"""

from assets.refinecode.filters.rules import RULES, Rule, RuleError, rule_table
from assets.refinecode.filters.verdict import FilterVerdict, Hit, evaluate

__all__ = ["RULES", "FilterVerdict", "Hit", "Rule", "RuleError", "evaluate", "rule_table"]
