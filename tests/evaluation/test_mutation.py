"""Planted faults parse, differ in one place, and are always the same."""

from __future__ import annotations

import ast

from evaluation.mutation import mutants

PROMPT = "def f(values, limit):\n"
SOLUTION = "    return [v + 1 for v in values if v < limit and v != 3]\n"


def test_mutants_are_small_faults() -> None:
    found = mutants(PROMPT, SOLUTION, 4)
    assert len(set(found)) == 4
    assert found == mutants(PROMPT, SOLUTION, 4)
    for text in found:
        ast.parse(PROMPT + text)
        assert text != SOLUTION
        before, after = SOLUTION.split(), text.split()
        assert len(before) == len(after)
        assert sum(x != y for x, y in zip(before, after, strict=True)) == 1


def test_what_cannot_be_changed_has_none() -> None:
    assert mutants("def f():\n", "    pass\n", 3) == []
    assert mutants("def f(:\n", "    return 1\n", 3) == []
