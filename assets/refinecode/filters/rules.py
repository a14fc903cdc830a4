"""The rule table: which value of which signal drops a file, and where the base value differs.

A rule belongs to a family (code, which covers data files too, or text) and has one threshold;
``exceptions`` give another one, or none, to a table of that family: a language, ``data`` for other
data files, ``zh`` for Chinese and Japanese text. The values are those of the paper's released
filter (paper appendix A, tables 11 and 12).
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

Family = Literal["code", "text"]
Comparison = Literal["<", ">", "=="]
#: Languages with a table of their own; other code is in ``others``, other data in ``data``.
LANGUAGE_TABLES = frozenset(
    ["cpp", "csharp", "c", "go", "html", "java", "javascript", "python", "shell", "sql"]
)


class RuleError(ValueError):
    """A threshold for a rule that does not exist."""


@dataclass(frozen=True)
class Rule:
    """A file is dropped when ``signal`` ``comparison`` ``threshold`` holds.

    ``threshold`` None switches the rule off. ``principle`` names what such a file lacks:
    self-containment, logic, or standard form.
    """

    name: str
    family: Family
    signal: str
    comparison: Comparison
    threshold: float | None
    principle: Literal["content", "logic", "form"]
    exceptions: Mapping[str, float | None] = field(default_factory=dict)

    def fires(self, value: float | None, threshold: float | None) -> bool:
        """Whether this value drops the file; a missing value or threshold never does."""
        if value is None or threshold is None:
            return False
        if self.comparison == "<":
            return value < threshold
        return value > threshold if self.comparison == ">" else value == threshold


#: In the order in which reasons are given: the first rule that fires names the drop.
RULES: tuple[Rule, ...] = (
    # Code and data.
    Rule("code_num_words_min", "code", "num_words", "<", 30, "content"),
    Rule("code_num_chars_min", "code", "num_chars", "<", 50, "content"),
    Rule("code_num_chars_max", "code", "num_chars", ">", None, "logic", {"data": 5000}),
    Rule("code_mean_word_length_min", "code", "mean_word_length", "<", 2, "form"),
    Rule("code_mean_word_length_max", "code", "mean_word_length", ">", 10, "form"),
    Rule("code_replacement_symbols", "code", "frac_chars_replacement_symbols", ">", 0.01, "form"),
    Rule("code_digits", "code", "frac_chars_digital", ">", 0.2, "logic", {"sql": 0.3}),
    Rule("code_whitespace", "code", "frac_chars_whitespace", ">", 0.5, "form"),
    Rule("code_size", "code", "size_file_byte", ">", 3_000_000, "logic"),
    Rule("code_num_lines_min", "code", "num_lines", "<", 10, "content"),
    Rule("code_num_lines_max", "code", "num_lines", ">", 100_000, "logic"),
    Rule("code_line_length_max", "code", "num_chars_line_max", ">", 1000, "form"),
    Rule("code_line_length_mean_min", "code", "num_chars_line_mean", "<", 5, "form"),
    Rule("code_line_length_mean_max", "code", "num_chars_line_mean", ">", 100, "form"),
    Rule("code_alphabet", "code", "frac_chars_alphabet", "<", 0.5, "logic"),
    Rule("code_xml_start", "code", "cate_xml_start", "==", 1, "logic"),
    Rule("code_dupe_lines", "code", "frac_lines_dupe_lines", ">", 0.7, "logic"),
    Rule("code_autogen", "code", "cate_autogen", "==", 1, "logic"),
    Rule("code_encoded_data", "code", "cate_encoded_data", "==", 1, "logic"),
    # Text.
    Rule("text_num_words_min", "text", "num_words", "<", 50, "content", {"zh": None}),
    Rule("text_num_chars_min", "text", "num_chars", "<", 50, "content"),
    Rule("text_num_lines_min", "text", "num_lines", "<", 10, "content"),
    Rule("text_mean_word_length_min", "text", "mean_word_length", "<", 3, "form", {"zh": None}),
    Rule("text_mean_word_length_max", "text", "mean_word_length", ">", 10, "form", {"zh": None}),
    Rule("text_replacement_symbols", "text", "frac_chars_replacement_symbols", ">", 0.01, "form"),
    Rule("text_dupe_lines", "text", "frac_lines_dupe_lines", ">", 0.6, "content"),
    Rule("text_dupe_line_chars", "text", "frac_chars_dupe_lines", ">", 0.5, "content"),
    Rule("text_alphabet", "text", "frac_chars_alphabet", "<", 0.5, "form", {"zh": None}),
    Rule("text_digits", "text", "frac_chars_digital", ">", 0.2, "form"),
    Rule("text_whitespace", "text", "frac_chars_whitespace", ">", 0.5, "form"),
)


def table_name(language: str, doc_type: str, natural_language: str) -> str:
    """The table whose exceptions count for a file."""
    if doc_type == "text":
        return "zh" if natural_language in ("zh", "ja") else "en"
    if language in LANGUAGE_TABLES:
        return language
    return "data" if doc_type == "data" else "others"


def rule_table(
    family: Family, table: str, overrides: Mapping[str, float | None] | None = None
) -> tuple[tuple[Rule, float], ...]:
    """The rules of a table that are switched on, with their thresholds there.

    ``overrides`` (rule name to threshold, or None to switch it off) hold in every table. Raises
    ``RuleError`` for an unknown name.
    """
    return _rule_table(family, table, tuple(sorted((overrides or {}).items())))


@functools.lru_cache(maxsize=256)
def _rule_table(
    family: Family, table: str, overrides: tuple[tuple[str, float | None], ...]
) -> tuple[tuple[Rule, float], ...]:
    changed = dict(overrides)
    check_names(changed)
    rows: list[tuple[Rule, float]] = []
    for rule in RULES:
        threshold = rule.exceptions.get(table, rule.threshold)
        threshold = changed.get(rule.name, threshold)
        if rule.family == family and threshold is not None:
            rows.append((rule, threshold))
    return tuple(rows)


def check_names(overrides: Mapping[str, float | None]) -> None:
    """Raise ``RuleError`` if a threshold names no rule."""
    for name in overrides:
        if name not in BY_NAME:
            near = difflib.get_close_matches(name, BY_NAME, n=3, cutoff=0.5)
            raise RuleError(
                f"filters.thresholds: no rule is called {name!r}; "
                f"{'close ones: ' + ', '.join(near) if near else 'rules: ' + ', '.join(BY_NAME)}"
            )


BY_NAME: Mapping[str, Rule] = MappingProxyType({rule.name: rule for rule in RULES})
