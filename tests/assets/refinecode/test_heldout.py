"""Held-out text is repaired, filtered and spread over languages within its budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from assets.recipe import Filters, Transform
from assets.refinecode import heldout
from assets.refinecode.heldout import Candidate, fill_budget
from tests.assets.refinecode.conftest import document, outcome, words


def test_budget_goes_round_the_languages_and_grows_by_extension() -> None:
    many = [Candidate(f"p{i}", "python", 10) for i in range(50)]
    few = [Candidate(f"c{i}", "c", 10) for i in range(3)] + [Candidate("g0", "go", 10)]
    small = fill_budget([*many, *few], 100)
    assert Counter(name[0] for name in small) == {"p": 6, "c": 3, "g": 1}
    assert small == fill_budget([*few, *reversed(many)], 109)
    assert small < fill_budget([*many, *few], 200)
    assert fill_budget(many, 9) == set() == fill_budget([], 9)


def test_stage_repairs_filters_and_stays_within_the_budget(
    write: Callable[..., Path], tmp_path: Path
) -> None:
    def code(seed: int, lines: int) -> str:
        letters = ["".join(c for c in w if c.isalpha()) or "n" for w in words(seed, lines)]
        tails = "abcdefgh"
        return "\n".join(f"def {w}_{tails[i % 8]}(): return {w}" for i, w in enumerate(letters))

    good = [document(code(seed, 40), path=f"{seed}.lua", language="lua") for seed in range(6)]
    header = document("# Copyright 2020 A\n" + code(9, 40), path="h.rb", language="ruby")
    tiny = document("x = 1", path="t.py")
    long = document(code(7, 1500), path="l.lua", language="lua")
    rows = [*good, header, tiny, long]
    budget = 4 * good[0]["size_bytes"]
    heldout.run(tmp_path, heldout=write(rows), transform=Transform(copyright=False),
                filters=Filters(), heldout_bytes=budget)  # fmt: skip
    plain, _ = outcome(tmp_path, rows, heldout.STAGE)
    assert plain[header["doc_id"]] == header

    out = tmp_path / "again"
    heldout.run(out, heldout=write(rows, files=3, in_order=False), transform=Transform(),
                filters=Filters(), heldout_bytes=budget)  # fmt: skip
    kept, judged = outcome(out, rows, heldout.STAGE)
    assert sum(row["size_bytes"] for row in kept.values()) <= budget
    assert not kept[header["doc_id"]]["content"].startswith("#")
    reasons = Counter(row["reason"] for row in judged.values())
    assert reasons["qsc_code_num_words"] == 1 and reasons["too_long"] == 1
    assert reasons["copyright"] == 1 and reasons["over_budget"] >= 2
