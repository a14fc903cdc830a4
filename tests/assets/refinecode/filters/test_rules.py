"""The rule table: published sizes and thresholds, order, changes by recipes, and clear refusals."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from assets.recipe import RecipeError, parse_recipe
from assets.refinecode.filters import RULE_SETS, RuleError, rule_table, rules
from assets.refinecode.filters.registry import signals_of
from assets.refinecode.filters.rules import (
    CODE_TABLES,
    LANGUAGES,
    TEXT_TABLES,
    rule_book,
    rule_entries,
    table_name,
)

#: (lines, signals with a threshold) of each table of the released filter.
SIZES = {
    "zh": (32, 26), "en": (32, 26), "others": (33, 31), "data": (33, 28), "shell": (33, 28),
    "sql": (33, 31), "python": (41, 39), "c": (41, 36), "cpp": (41, 36), "csharp": (37, 35),
    "go": (38, 35), "html": (36, 28), "java": (41, 35), "javascript": (42, 36),
}  # fmt: skip


@pytest.mark.parametrize("rule_set", RULE_SETS)
@pytest.mark.parametrize("table", [*CODE_TABLES, *TEXT_TABLES])
def test_tables_have_the_published_sizes(rule_set: Any, table: str) -> None:
    lines = rule_book().lines(rule_set, table)
    used = {rule.signal for rule in rule_table(rule_set, table)}
    assert (len(lines), len(used)) == SIZES[table]
    assert len({line.signal for line in lines}) == len(lines)


def test_every_line_is_a_signal_and_every_signal_a_line() -> None:
    measured = {*signals_of("text", "text")}.union(
        *(signals_of(language, "code") for language in LANGUAGES)
    )
    assert measured == set(rule_entries("opencoder")) == set(rule_entries("cookbook"))
    assert len(measured) == 118


def test_tables_differ_where_the_paper_says() -> None:
    def bounds(signal: str, table: str) -> list[tuple[str, float]]:
        found = rule_table("opencoder", table)
        return [(r.comparison, r.threshold) for r in found if r.signal == signal]

    assert bounds("qsc_code_frac_chars_digital", "sql") == [(">", 0.3)]
    assert bounds("qsc_code_frac_chars_digital", "go") == [(">", 0.2)]
    assert bounds("qsc_code_num_chars", "data") == [("<", 50), (">", 5000)]
    assert bounds("qsc_code_num_chars", "python") == [("<", 50)]
    assert bounds("qsc_code_frac_words_unique", "data") == [("<", 0.4)]
    assert bounds("qsc_code_frac_words_unique", "c") == []
    assert bounds("qsc_code_frac_chars_dupe_5grams", "html") == [(">", 0.6)]
    assert bounds("qsc_doc_mean_word_length", "zh") == [("<", 1.3), (">", 10)]
    assert bounds("qsc_doc_num_sentences", "en") == [("==", 1)]
    random = {r.signal for t in CODE_TABLES for r in rule_table("opencoder", t)
              if r.probability == 0.8}  # fmt: skip
    assert len(random) == 8 and "qsc_codego_cate_testfile" in random


def test_a_file_has_one_table() -> None:
    assert table_name("sql", "data", "en") == "sql"
    assert table_name("json", "data", "en") == "data"
    assert table_name("rust", "code", "zh") == "others"
    assert table_name("data", "code", "en") == "others"  # a language of that name has no table
    assert [table_name("markdown", "text", x) for x in ("zh", "ja", "en")] == ["zh", "en", "en"]


def test_a_rule_stands_elsewhere_in_some_tables() -> None:
    def place(table: str) -> bool:
        names = [line.signal for line in rule_book().lines("opencoder", table)]
        return names.index("qsc_code_frac_lines_dupe_lines") > names.index("qsc_code_num_lines")

    assert place("java") and place("c") and not place("python") and not place("others")


def test_a_recipe_changes_bounds() -> None:
    def bounds(**changes: Any) -> dict[str, float]:
        found = rule_table("cookbook", "python", {"qsc_code_num_lines": changes["lines"]})
        return {r.comparison: r.threshold for r in found if r.signal == "qsc_code_num_lines"}

    assert bounds(lines={"min": 3}) == {"<": 3, ">": 100_000}
    assert bounds(lines={"max": None}) == {"<": 10}
    assert bounds(lines=None) == {}
    switched_on = rule_table("cookbook", "c", {"qsc_codec_frac_lines_goto": {"max": 0.1}})
    assert [r.threshold for r in switched_on if r.signal == "qsc_codec_frac_lines_goto"] == [0.1]
    single = rule_table("cookbook", "go", {"qsc_code_frac_chars_digital": 0.9})
    assert [r.threshold for r in single if r.signal == "qsc_code_frac_chars_digital"] == [0.9]


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        ({"qsc_code_num_line": 3}, "'qsc_code_num_line'; close ones: qsc_code_num_lines"),
        ({"qsc_code_num_lines": 3}, "two bounds; give {min: ..., max: ...}"),
        ({"qsc_code_num_lines": {"mni": 3}}, "no bound is called 'mni'"),
        ({"qsc_code_num_lines": {"min": 200_000}}, "min 200000 is above max 100000"),
        ({"qsc_code_num_lines": {"min": "3"}}, "'3' is not a number"),
        ({"qsc_code_frac_lines_string_concat": 0.1}, "no bound so far"),
    ],
)
def test_an_impossible_change_is_refused(thresholds: Any, message: str) -> None:
    with pytest.raises(RuleError) as error:
        rule_table("cookbook", "en", thresholds)
    assert message in str(error.value)


def test_a_recipe_with_an_unknown_rule_is_refused_when_read() -> None:
    tree = {"filters": {"thresholds": {"qsc_code_num_charz": 3}}}
    with pytest.raises(RecipeError, match="no rule is called 'qsc_code_num_charz'; close ones"):
        parse_recipe(tree, "test")


def test_unknown_rule_set_and_table_are_refused() -> None:
    with pytest.raises(RuleError, match="no rule set is called 'paper'; opencoder or cookbook"):
        rule_table("paper", "en")  # type: ignore[arg-type]
    with pytest.raises(RuleError, match="no table of rules is called 'rust'"):
        rule_table("opencoder", "rust")


def _tree() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load(rules._TABLE_FILE.read_text())
    return copy.deepcopy(loaded)


def test_a_rule_set_is_the_table_and_its_differences() -> None:
    tree = _tree()
    tree["rule_sets"]["cookbook"] = {"qsc_code_num_words": {"min": 9, "tables": {"go": {"max": 1}}}}
    book = rules.parse(tree)
    released, ours = (book.entries[name]["qsc_code_num_words"] for name in RULE_SETS)
    assert released.bounds.min == 30 and not released.tables
    assert ours.bounds.min == 9 and ours.tables["go"].max == 1 and ours.principle == "content"


def _drop_section(tree: dict[str, Any]) -> None:
    del tree["python"]


def _unknown_key(tree: dict[str, Any]) -> None:
    tree["code"]["qsc_code_num_words"]["minimum"] = 3


def _bad_principle(tree: dict[str, Any]) -> None:
    tree["code"]["qsc_code_num_words"]["for"] = "beauty"


def _bad_number(tree: dict[str, Any]) -> None:
    tree["code"]["qsc_code_num_words"]["min"] = "many"


def _bad_probability(tree: dict[str, Any]) -> None:
    tree["go"]["qsc_codego_cate_testfile"]["probability"] = 0


def _bad_table(tree: dict[str, Any]) -> None:
    tree["text"]["qsc_doc_num_words"]["tables"] = {"python": {}}


def _twice(tree: dict[str, Any]) -> None:
    tree["go"]["qsc_code_num_words"] = {"for": "form"}


def _no_difference(tree: dict[str, Any]) -> None:
    tree["rule_sets"]["cookbook"] = {"qsc_new": {"min": 3}}


def _no_such_moved(tree: dict[str, Any]) -> None:
    tree["moved"]["qsc_new"] = {"after": "qsc_code_num_words", "in": ["go"]}


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_drop_section, "section 'python' is missing"),
        (_unknown_key, "code.qsc_code_num_words: unknown key 'minimum'; expected for, min"),
        (_bad_principle, "`for` is 'beauty', not one of content, logic, form"),
        (_bad_number, "min is 'many', not a number"),
        (_bad_probability, "probability is 0, not a number in"),
        (_bad_table, "no table of that kind is called 'python'"),
        (_twice, "go.qsc_code_num_words stands there twice"),
        (_no_difference, "rule_sets.cookbook.qsc_new changes no line above"),
        (_no_such_moved, "moved names 'qsc_new'"),
    ],
)
def test_a_damaged_table_is_refused(harm: Callable[[dict[str, Any]], None], message: str) -> None:
    tree = _tree()
    harm(tree)
    with pytest.raises(RuleError) as error:
        rules.parse(tree)
    assert message in str(error.value) and str(error.value).startswith("rules.yaml")
