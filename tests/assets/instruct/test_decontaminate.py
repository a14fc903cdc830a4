"""Benchmark items are recognised by entry point and by ten shared words."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from assets.instruct.decontaminate import (
    BenchmarkItem,
    Contamination,
    Hit,
    contamination,
    defined_functions,
    humaneval_items,
    named_functions,
)
from assets.recipe import Decontaminate

MORE_BENCHMARKS = Path(__file__).parents[4] / "shared" / "benchmarks"

ITEM = BenchmarkItem(
    "bench",
    "bench/0",
    "add",
    ("one two three four five six seven eight nine ten eleven", "alpha " * 12),
)


@pytest.fixture(scope="module")
def humaneval() -> Contamination:
    return contamination(Decontaminate())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("def add(x, y):\n    return x + y", True),
        ("Write a function `add` for two numbers", True),
        ("Write a function called add please", True),
        (">>> add(1, 2)\n3", True),
        ("add = lambda x, y: x + y", True),
        ("function add(x, y) { return x + y }", True),
        ("def padding(x): ...", False),
        ("def add_all(x): ...", False),
        ("def Add(x): ...", False),
        ("add the numbers, then seen.add(x)", False),
    ],
)
def test_entry_points_are_whole_names_of_functions_defined_or_asked_for(text, found):
    hits = Contamination([ITEM]).check(text)
    assert hits == ([Hit("entry_point", "bench", "bench/0", "add")] if found else [])


def test_a_call_in_an_answer_is_no_request_but_a_definition_is_a_leak():
    check = Contamination([ITEM])
    assert check.check_example("Write `total`", "def total(x):\n    return add(x, 1)") == []
    assert check.check_example("Write `total`", "def total(x):\n    def add(y): ...")
    assert check.check_example("Write it", "pass", entry_point="add")


def test_ten_shared_words_in_any_case_and_punctuation():
    check = Contamination([ITEM])
    shared = "ONE, two; three-four (five) six\nseven eight: nine - ten"
    assert check.check(f"before {shared} after") == [
        Hit("ngram", "bench", "bench/0", "one two three four five six seven eight nine ten")
    ]
    assert check.check(shared.replace("six", "6")) == []
    assert check.check("two three four five six seven eight nine ten") == []


def test_runs_do_not_cross_the_texts_of_an_item_but_do_cross_instruction_and_answer():
    check = Contamination([ITEM])
    assert check.check("six seven eight nine ten eleven alpha alpha alpha alpha") == []
    assert check.check_example("one two three four five", "six seven eight nine ten")


def test_rules_follow_the_recipe():
    check = contamination(Decontaminate(ngram=12, entry_points=False), [ITEM])
    assert check.check("def add(): ...") == []
    assert check.check(ITEM.texts[0]) == []
    assert check.check(ITEM.texts[1])


def test_every_humaneval_item_is_recognised_by_name_and_by_words_alone(humaneval):
    items = humaneval_items()
    assert len(items) == 164
    by_words = contamination(Decontaminate(entry_points=False))
    unseen = []
    for item in items:
        solution = item.texts[0]
        assert any(h.rule == "entry_point" for h in humaneval.check(solution)), item.task_id
        if not by_words.check(solution.replace(item.entry_point, "something_else")):
            unseen.append(item.entry_point)
    assert unseen == ["strlen"]  # so short that each run of ten words holds the name


def test_ordinary_code_is_clean(humaneval):
    code = "import json\n\n\ndef load(path):\n    with open(path) as file:\n"
    code += "        return json.load(file)"
    assert humaneval.check_example("Read a JSON file and return what it holds.", code) == []


def test_nothing_to_compare_with_is_an_error():
    with pytest.raises(ValueError, match="no test item"):
        Contamination([])
    with pytest.raises(ValueError, match="at least 1"):
        Contamination([ITEM], ngram=0)


def test_names_in_text():
    assert defined_functions("def f(x):\n  g = lambda: 1\nfn h() {}") == {"f", "g", "h"}
    assert named_functions("`a(1, 2)` and b(1), x.c(2), named d") == {"a", "b", "d"}


@pytest.mark.skipif(
    not (MORE_BENCHMARKS / "MBPPPlus.jsonl.gz").is_file(),
    reason="the benchmark files beside the checkout are not there",
)
def test_items_of_other_benchmarks_fit_the_same_check():
    lines = gzip.decompress((MORE_BENCHMARKS / "MBPPPlus.jsonl.gz").read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines if line]
    items = [
        BenchmarkItem("mbpp", str(row["task_id"]), row["entry_point"], (row["prompt"],))
        for row in rows
        if "entry_point" in row
    ]
    check = Contamination([*items, ITEM])
    assert all(check.check(item.texts[0], [item.entry_point]) for item in items)
