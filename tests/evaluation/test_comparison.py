"""Paired tests against values worked out by hand, and against how often they should be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from evaluation.comparison import _t_quantile, as_text, compare, holm, mcnemar_exact, sign_flip


def write_run(folder: Path, rows: list[dict[str, Any]]) -> Path:
    folder.mkdir(parents=True)
    parquet.write_table(pa.Table.from_pylist(rows), folder / "results.parquet")
    (folder / "summary.json").write_text(json.dumps({"model": {"name": folder.name}}))
    return folder


def passes(bits: str, *, benchmark: str = "humaneval", samples: int = 1) -> list[dict[str, Any]]:
    """One task for every `samples` characters; 1 is a pass."""
    return [
        {
            "benchmark": benchmark,
            "task_id": f"t{place // samples}",
            "problem": f"t{place // samples}",
            "passed": bit == "1",
            "passed_sanitised": bit == "1",
            "bits": None,
            "bytes": None,
        }
        for place, bit in enumerate(bits)
    ]


def test_mcnemar_is_a_fair_coin_over_discordant_tasks() -> None:
    assert [mcnemar_exact(0, b) for b in (4, 5, 6, 7)] == [0.125, 0.0625, 0.03125, 0.015625]
    assert mcnemar_exact(3, 3) == 1.0
    assert mcnemar_exact(0, 0) == 1.0
    # 2 * (1 + 10 + 45) / 1024
    assert mcnemar_exact(2, 8) == mcnemar_exact(8, 2) == pytest.approx(112 / 1024)


def test_holm_by_hand() -> None:
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_sign_flips_keep_their_level() -> None:
    generator = np.random.default_rng(0)
    found = [sign_flip(generator.normal(size=40), seed=number, draws=400) for number in range(200)]
    assert 0.01 < np.mean(np.array(found) < 0.05) < 0.10
    assert sign_flip([0.3] * 20, draws=2000) < 0.01
    assert sign_flip([0.0, 0.0]) == 1.0


def test_two_greedy_runs(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", passes("1" * 10 + "0" * 30))
    b = write_run(tmp_path / "b", passes("1" * 19 + "0" * 21))
    (raw, sanitised) = compare([a], [b])
    assert (raw.metric, sanitised.metric) == ("pass@1", "pass@1_sanitised")
    assert (raw.tasks, raw.only_a, raw.only_b) == (40, 0, 9)
    assert raw.difference == pytest.approx(9 / 40)
    assert raw.p == pytest.approx(2 / 2**9)
    assert raw.p_holm == pytest.approx(4 / 2**9)  # two figures were tested
    assert raw.low > 0.08
    assert raw.high < 0.38
    assert raw.verdict == "B is better"
    assert "smallest difference" in as_text([raw])


def test_few_discordant_tasks_are_called_what_they_are(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", passes("1" * 10 + "0" * 10))
    b = write_run(tmp_path / "b", passes("1" * 15 + "0" * 5))
    raw = compare([a], [b])[0]
    assert raw.p == 0.0625
    assert raw.verdict.startswith("only 5 tasks tell them apart; fewer than 6 can never")


def test_only_shared_tasks_count_and_strangers_are_refused(tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", passes("10101"))
    b = write_run(tmp_path / "b", passes("101"))
    assert compare([a], [b])[0].tasks == 3
    c = write_run(tmp_path / "c", passes("111", benchmark="mbpp"))
    with pytest.raises(ValueError, match="share no benchmark"):
        compare([a], [c])
    with pytest.raises(FileNotFoundError, match="folder of a finished run"):
        compare([a], [tmp_path / "nowhere"])


def test_bits_per_byte_are_compared_as_one_ratio(tmp_path: Path) -> None:
    def bits(values: list[float]) -> list[dict[str, Any]]:
        return [
            {"benchmark": "x_bpb", "task_id": f"t{i}", "bits": v, "bytes": 10 + i, "passed": None}
            for i, v in enumerate(values)
        ]

    noise = np.random.default_rng(3).normal(size=60)
    first = [20.0 + number + 2 * float(noise[number]) for number in range(60)]
    a = write_run(tmp_path / "a", bits(first))
    b = write_run(tmp_path / "b", bits([value - 1.5 for value in first]))
    (found,) = compare([a], [b])
    total = sum(10 + number for number in range(60))
    assert found.difference == pytest.approx(-1.5 * 60 / total)
    # task by task the difference is nearly the same, far less spread than the tasks themselves
    assert found.low < found.difference < found.high < 0
    assert found.high - found.low < 0.02
    assert found.verdict == "B is better"


def test_seeds_are_the_outer_level(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    base = generator.random(200)

    def run(name: str, rate: float) -> Path:
        passed = base < rate
        return write_run(tmp_path / name, passes("".join("01"[int(x)] for x in passed)))

    # the seeds of a side differ more than the sides do: no number of tasks can settle that
    a = [run("a0", 0.30), run("a1", 0.50), run("a2", 0.40)]
    b = [run("b0", 0.35), run("b1", 0.55), run("b2", 0.45)]
    found = compare(a, b)[0]
    assert found.p is None
    assert found.seed_interval is not None
    assert found.seed_interval[0] < 0 < found.seed_interval[1]
    assert found.low < 0 < found.high
    (paired, _) = compare(a[:1], b[:1])
    assert paired.low > 0
    assert "several seeds" in found.verdict
    assert "over seeds" in as_text([found])


def test_a_task_weighs_the_same_however_many_samples_it_got(tmp_path: Path) -> None:
    def rows(counts: list[tuple[int, int]]) -> list[dict[str, Any]]:
        found = []
        for task, (passed, samples) in enumerate(counts):
            bits = "1" * passed + "0" * (samples - passed)
            found += [{**row, "task_id": f"t{task}", "problem": f"t{task}"} for row in passes(bits)]
        return found

    a = write_run(tmp_path / "a", rows([(10, 10), (0, 1), (0, 1), (1, 1)]))
    b = write_run(tmp_path / "b", rows([(1, 2), (1, 2), (0, 2), (2, 2)]))
    raw = compare([a], [b])[0]
    assert (raw.a, raw.b) == (0.5, 0.5)  # as pass@1 of each run says
    assert raw.difference == 0.0


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (10.9, 2.228), (11, 2.201), (20, 2.086), (60, 2.000)]
)
def test_quantiles_of_students_t(freedom: float, quantile: float) -> None:
    assert _t_quantile(freedom) == pytest.approx(quantile, abs=3e-3)


def test_runs_that_agree_on_every_task_are_not_known_to_be_equal(tmp_path: Path) -> None:
    for samples in (1, 2):
        rows = passes("1100110010" * samples, samples=samples)
        runs = [write_run(tmp_path / f"{name}{samples}", rows) for name in "ab"]
        raw = compare(runs[:1], runs[1:])[0]
        assert (raw.low, raw.high) == pytest.approx((-0.2775, 0.2775), abs=1e-4)
        assert raw.detectable == (6 / 10 if samples == 1 else None)
