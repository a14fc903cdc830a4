"""What data and reporting cost the processor in a step of the 1.5B model, without a GPU.

    python tests/benchmarks/bench_batches.py [--steps 40]

A step is 16 rows of 4096 tokens in four forward passes, as in `python -m training bench --preset
1.5b`: its plan, the windows out of two memory-mapped sources, the collator, and a line of metrics.
Printed as CPU milliseconds, and as the share of a step at the speeds that docs/performance.md
names; the bar there is 2 %. The copy to the device is not in it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from training.bench_data import real_shards, synthetic_shards
from training.data import PackedBatches, Source
from training.packing import collate
from training.presets import PRESETS
from training.report import NoChannel, Reporter, StepMetrics
from training.shards import Shards

PRESET = PRESETS["1.5b"]
ROWS, MICRO = 16, 4
RATES = {"floor": 31_000, "goal": 38_700, "stretch": 45_000}


def seconds_per_step(shards: Shards, folder: Path, steps: int) -> float:
    """Median CPU seconds of data and reporting in one step."""
    batches = PackedBatches(
        [Source("code", shards, 0.8), Source("web", shards, 0.2)],
        context_length=PRESET.context_length,
        batch_size=ROWS,
        steps=steps,
        seed=0,
    )
    reporter = Reporter("bench", folder, NoChannel())
    reporter.start(steps, 0)
    spent: list[float] = []
    for step in range(steps):
        begin = time.process_time()
        plan = batches.plan(step)
        for first in range(0, ROWS, MICRO):
            collate(batches.rows(step, range(first, first + MICRO))).arguments(torch.device("cpu"))
        metrics = StepMetrics(
            step=step + 1,
            loss=2.0,
            bits_per_byte_estimate=0.7,
            lr=3e-4,
            grad_norm=1.0,
            skipped=False,
            skip_reason=None,
            tokens=(step + 1) * plan.target_tokens,
            step_seconds=1.7,
            tokens_per_second=38_700.0,
            data_wait_share=0.001,
        )
        reporter.step(metrics, None)
        spent.append(time.process_time() - begin)
    reporter.finish(0)
    return statistics.median(spent)


def main() -> None:
    """Print one line for each kind of data."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40)
    steps: int = parser.parse_args().steps
    tokens = ROWS * PRESET.context_length
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = {
            "synthetic": synthetic_shards(folder / "synthetic", steps * tokens, PRESET.vocab_size),
            "real": real_shards(folder / "real", steps * tokens, PRESET.vocab_size),
        }
        for kind, shards in kinds.items():
            seconds = seconds_per_step(shards, folder / f"logs-{kind}", steps)
            shares = ", ".join(
                f"{seconds * rate / tokens:.3%} at {rate:,} ({label})"
                for label, rate in RATES.items()
            )
            print(f"{kind}: {1000 * seconds:.2f} ms of CPU a step of {tokens:,} tokens: {shares}")


if __name__ == "__main__":
    main()
