"""Heuristic quality filters: signals of a file, and a table of rules over them (paper 2.1.1, A).

``rules.yaml`` is the table of thresholds (data, overridable from a recipe), one module a group
measures signals, ``verdict`` joins the two for one file, ``batch`` for Arrow batches of documents.
Importing this package loads no parser, no compiler and no lexer: they come with the first file that
needs them.
"""

from assets.refinecode.filters.rules import RULE_SETS, Rule, RuleError, rule_table
from assets.refinecode.filters.verdict import FilterVerdict, Hit, evaluate

__all__ = ["RULE_SETS", "FilterVerdict", "Hit", "Rule", "RuleError", "evaluate", "rule_table"]
