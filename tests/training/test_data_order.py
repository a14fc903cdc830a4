"""Data order: a pure function of (seed, step) that covers, mixes and packs as promised."""

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training import data
from training.data import (
    IGNORED,
    PackedBatches,
    Source,
    SourceMix,
    all_permuted,
    apportion,
    permuted,
    read_window,
    restarting_positions,
)
from training.shards import ShardIndex, Shards, open_shards


def _shards(tokens: list[int]) -> Shards:
    array = np.array(tokens, dtype="<u2")
    index = ShardIndex(len(tokens), 1, len(tokens), "<u2", 512, 0, "t", "d")
    return Shards(Path("memory"), index, array, np.array([len(tokens)]))


def _batches(sources: list[Source], seed: int = 3, context: int = 8) -> PackedBatches:
    return PackedBatches(sources, context_length=context, batch_size=4, steps=50, seed=seed)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(0, 2**40))
def test_permutation_is_a_bijection(size: int, seed: int) -> None:
    images = [permuted(index, size, seed, "x") for index in range(size)]
    assert sorted(images) == list(range(size))
    assert all_permuted(np.arange(size), size, seed, "x").tolist() == images


def test_permutation_depends_on_its_key_and_scatters() -> None:
    one, two, other = (
        [permuted(index, 1000, seed, name) for index in range(1000)]
        for seed, name in ((1, "a"), (2, "a"), (1, "b"))
    )
    assert one != two and one != other
    assert sum(abs(right - left) == 1 for left, right in itertools.pairwise(one)) < 20
    assert permuted(10**12, 10**13, 1, "far") < 10**13
    assert all_permuted(np.array([10**12]), 10**13, 1, "far") == permuted(10**12, 10**13, 1, "far")


@pytest.mark.parametrize(
    ("weights", "total"), [([1.0], 7), ([84.0, 12.4, 2.7, 0.9], 1024), ([1e-9, 1.0], 8)]
)
def test_apportion_is_exact_and_leaves_nobody_out(weights: list[float], total: int) -> None:
    counts = apportion(weights, total)
    assert sum(counts) == total and min(counts) >= 1
    for weight, count in zip(weights, counts, strict=True):
        assert abs(count - weight / sum(weights) * total) < 1.01


def test_mix_keeps_shares_in_short_runs_and_counts_draws() -> None:
    mix = SourceMix([84.0, 12.4, 2.7, 0.9], seed=5)
    seen: Counter[int] = Counter()
    for slot in range(3000):
        which, earlier = mix.draw(slot)
        assert earlier == seen[which]
        seen[which] += 1
        if slot == 399:
            short = dict(seen)
    assert short[0] == pytest.approx(336, abs=2) and short[1] == pytest.approx(50, abs=2)
    assert short[3] in (3, 4, 5)
    assert [mix.draw(slot) for slot in range(50)] != [
        SourceMix([84.0, 12.4, 2.7, 0.9], seed=6).draw(slot) for slot in range(50)
    ]


def test_an_epoch_visits_every_window_once() -> None:
    source = Source("s", _shards([0, *range(1, 96)]), 1.0)  # 12 windows of 8
    batches = _batches([source])
    first = np.concatenate([batches.rows(step, range(4)).labels for step in range(3)])
    assert sorted(first.ravel().tolist()) == sorted(source.shards.tokens.tolist())
    second = np.concatenate([batches.rows(step, range(4)).labels for step in range(3, 6)])
    assert sorted(map(tuple, second)) == sorted(map(tuple, first))
    assert second.tolist() != first.tolist()


def test_steps_are_independent_of_history_and_of_the_split(world: Any) -> None:
    shards = open_shards(world.shards)
    whole = _batches([Source("a", shards, 3.0), Source("b", shards, 1.0)])
    fresh = _batches([Source("a", shards, 3.0), Source("b", shards, 1.0)])
    for step in range(20):
        whole.rows(step, range(4))
    rows = whole.rows(37, range(4))
    assert np.array_equal(fresh.rows(37, range(4)).inputs, rows.inputs)
    # Two processes of a run take every other row: the same global batch.
    halves = [fresh.rows(37, [0, 2]).inputs, fresh.rows(37, [1, 3]).inputs]
    assert np.array_equal(np.stack(halves, axis=1).reshape(4, -1), rows.inputs)
    assert not np.array_equal(
        _batches([Source("a", shards, 1.0)], seed=4).rows(37, range(4)).inputs, rows.inputs
    )
    padding = fresh.rows(37, [])
    assert (padding.labels == IGNORED).all() and padding.inputs.shape == (1, 8)


def test_a_run_that_continues_another_reads_on_where_it_stood() -> None:
    shards = _shards([0, *range(1, 96)])  # 12 windows of 8
    before = _batches([Source("s", shards, 1.0)])
    after = _batches([Source("s", shards, 1.0, tokens_read=2 * 4 * 8)])  # two steps of four rows
    for step in range(4):
        expected = before.rows(step + 2, range(4)).inputs
        assert np.array_equal(after.rows(step, range(4)).inputs, expected)


def test_the_millionth_step_costs_what_the_first_does(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: Counter[str] = Counter()
    mixed = data._mixed

    def counted(value: int) -> int:
        calls["mixed"] += 1
        return mixed(value)

    monkeypatch.setattr(data, "_mixed", counted)
    source = Source("s", _shards(list(range(512)) * 40), 1.0)
    costs = []
    for step in (0, 10**6, 10**9):
        calls.clear()
        _batches([source]).rows(step, range(4))
        costs.append(calls["mixed"])
    # Walking into the range takes a few tries; the history is never walked.
    assert max(costs) <= 4 * 6 * 8


def test_plan_reports_what_is_drawn(world: Any) -> None:
    shards = open_shards(world.shards)
    batches = _batches([Source("a", shards, 3.0), Source("b", shards, 1.0)])
    drawn: Counter[str] = Counter()
    for step in range(50):
        plan = batches.plan(step)
        assert plan.rows == 4 and plan.target_tokens == 32
        drawn.update(plan.source_tokens)
    assert drawn["a"] + drawn["b"] == 1600
    assert drawn["a"] == pytest.approx(1200, abs=16)


def test_windows_read_each_document_after_an_end_token() -> None:
    shards = _shards([11, 12, 0, 21, 0, 31, 32, 0])
    row = read_window(shards, 0, 8)
    assert row.inputs.tolist() == [[0, 11, 12, 0, 21, 0, 31, 32]]  # the stream is a circle
    assert row.labels.tolist() == [[11, 12, 0, 21, 0, 31, 32, 0]]
    assert row.positions.tolist() == [[0, 1, 2, 0, 1, 0, 1, 2]]
    longer = read_window(shards, 6, 10)  # a source smaller than the window repeats
    assert longer.labels.tolist() == [[32, 0, 11, 12, 0, 21, 0, 31, 32, 0]]


def test_positions_restart() -> None:
    starts = np.array([False, False, True, True, False])
    assert restarting_positions(starts).tolist() == [0, 1, 0, 0, 1]
