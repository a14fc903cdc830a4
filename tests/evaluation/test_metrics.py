"""pass@k, Wilson and bootstrap against values worked out by hand."""

from __future__ import annotations

from math import comb

import pytest

from evaluation.metrics import (
    bootstrap_mean,
    bootstrap_ratio,
    detectable_difference,
    pass_at_k,
    wilson_interval,
)


def test_pass_at_k_by_hand() -> None:
    assert pass_at_k(10, 3, 1) == pytest.approx(0.3)
    # 1 - C(7,5)/C(10,5) = 1 - 21/252
    assert pass_at_k(10, 3, 5) == pytest.approx(1 - 21 / 252)
    assert pass_at_k(5, 0, 5) == 0.0
    assert pass_at_k(5, 1, 5) == 1.0


def test_pass_at_k_equals_the_binomial_form_everywhere() -> None:
    for samples in range(1, 12):
        for correct in range(samples + 1):
            for k in range(1, samples + 1):
                expected = 1 - comb(samples - correct, k) / comb(samples, k)
                assert pass_at_k(samples, correct, k) == pytest.approx(expected)


@pytest.mark.parametrize(("samples", "correct", "k"), [(1, 1, 2), (5, 6, 1), (5, -1, 1), (5, 1, 0)])
def test_pass_at_k_refuses_what_has_no_estimate(samples: int, correct: int, k: int) -> None:
    with pytest.raises(ValueError):
        pass_at_k(samples, correct, k)


def test_wilson_matches_published_figures() -> None:
    low, high = wilson_interval(49, 164)
    assert (round(low, 3), round(high, 3)) == (0.234, 0.373)
    low, high = wilson_interval(0, 164)
    assert low == 0.0
    assert round(high, 3) == 0.023
    assert wilson_interval(164, 164).high == 1.0
    with pytest.raises(ValueError, match="total"):
        wilson_interval(0, 0)


def test_bootstrap_is_seeded_and_covers_the_mean() -> None:
    values = [0.003 * i + i % 2 - 0.1485 for i in range(100)]
    first = bootstrap_mean(values, seed=1)
    assert first == bootstrap_mean(values, seed=1)
    assert first != bootstrap_mean(values, seed=2)
    # normal theory: 0.5 +- 1.96 * 0.5 / 10
    assert first.low == pytest.approx(0.402, abs=0.02)
    assert first.high == pytest.approx(0.598, abs=0.02)


def test_shares_that_are_all_alike_have_an_interval() -> None:
    assert bootstrap_mean([0.0] * 164) == wilson_interval(0, 164)
    assert bootstrap_mean([1.0] * 9) == wilson_interval(9, 9)


def test_bootstrap_ratio_weighs_by_bytes() -> None:
    low, high = bootstrap_ratio([10.0, 300.0], [10.0, 100.0], seed=0, draws=2000)
    assert low == pytest.approx(1.0)
    assert high == pytest.approx(3.0)
    with pytest.raises(ValueError, match="one length"):
        bootstrap_ratio([1.0], [1.0, 2.0])


def test_clusters_are_drawn_whole() -> None:
    # 20 problems in 5 languages: all five agree, so there are 20 pieces of evidence, not 100
    values = [float(problem % 2) for problem in range(20) for _ in range(5)]
    problems = [f"p{problem}" for problem in range(20) for _ in range(5)]
    ones = [1.0] * len(values)
    whole = bootstrap_ratio(values, ones, clusters=problems)
    apart = bootstrap_ratio(values, ones)
    single = bootstrap_ratio(values[::5], ones[::5])
    assert whole == single
    assert whole.high - whole.low > 2 * (apart.high - apart.low)


def test_detectable_difference_by_the_sample_size_formula() -> None:
    # Connor: n = (1.96 sqrt(d) + 0.8416 sqrt(d - x^2))^2 / x^2
    x = detectable_difference(164, 0.21)
    needed = (1.95996 * 0.21**0.5 + 0.84162 * (0.21 - x * x) ** 0.5) ** 2 / x**2
    assert needed == pytest.approx(164, rel=1e-3)
    assert 0.08 < x < 0.11  # the 8 to 10 points of a HumanEval run at 30%
    assert detectable_difference(656, 0.21) == pytest.approx(x / 2, rel=0.02)
    # where nothing separates the models, six tasks on one side are the least that can count
    assert detectable_difference(164, 0.0) == 6 / 164
    assert detectable_difference(4, 0.0) == 1.0


def test_a_share_of_none_or_all_has_an_interval_over_what_is_redrawn() -> None:
    clusters = [f"p{number % 20}" for number in range(40)]
    for value in (0.0, 1.0):
        found = bootstrap_ratio([value] * 40, [1.0] * 40, clusters=clusters, of_one=True)
        assert found == wilson_interval(20 if value else 0, 20)
