"""What the training loop costs over a bare PyTorch loop, on the same model and tokens.

    OMP_NUM_THREADS=1 python tests/benchmarks/bench_training.py [--pairs 12] [--steps 4]

Both train the starter architecture in fp32 on packed rows. The bare loop has its batches in memory,
calls the model and the textbook loss, clips and steps: no plan, no shards, no guard, no metrics, no
checkpoints. Ours is `run_loop` as `pretrain` calls it, reporting included. Runs are paired and
interleaved; figures are CPU seconds of this process, so a busy machine does not matter much. The
bar is an overhead of at most 5 %.

Two ratios are printed: with the loss that the loop uses (chunked), and with the bare loop's own
loss, so that a faster loss cannot hide a slower loop.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate import Accelerator
from torch.nn import functional

from training.bench_data import synthetic_shards
from training.checkpoint import Retention
from training.data import PackedBatches, Source
from training.loop import LoopSettings, Stop, run_loop
from training.loss import loss_function
from training.model import TokenLoss, new_model, use_all_cores
from training.optimizer import new_optimizer
from training.presets import PRESETS
from training.report import NoChannel, Reporter

BAR = 0.05
PRESET = PRESETS["starter"]
BATCH = 8
CPU = torch.device("cpu")


def fresh_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return new_model(
        PRESET.model,
        vocab_size=PRESET.vocab_size,
        context_length=PRESET.context_length,
        end_of_text=0,
        pad=1,
    )


def bare(batches: PackedBatches) -> float:
    """CPU seconds of the plainest loop that trains on these rows."""
    rows = [batches.rows(step, range(BATCH)) for step in range(batches.steps)]
    tensors = [
        tuple(map(torch.from_numpy, (item.inputs, item.labels, item.positions))) for item in rows
    ]
    model = fresh_model()
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True
    )

    def step(ids: torch.Tensor, labels: torch.Tensor, positions: torch.Tensor) -> float:
        hidden = model.model(input_ids=ids, position_ids=positions, use_cache=False)
        logits = model.lm_head(hidden.last_hidden_state)
        loss = functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    begin = time.process_time()
    for item in tensors:
        step(*item)
    return time.process_time() - begin


def ours(batches: PackedBatches, loss: str) -> float:
    """CPU seconds of run_loop with the same model, optimizer and rows."""
    model = fresh_model()
    optimizer = new_optimizer(model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    accelerator = Accelerator(cpu=True)
    with tempfile.TemporaryDirectory() as folder, Stop() as stop:
        out = Path(folder)
        settings = LoopSettings(
            name="bench",
            out=out,
            schedule=lambda _: 1e-3,
            micro_batch_size=BATCH,
            grad_clip=1.0,
            spike_sigmas=6.0,
            spike_window=128,
            checkpoint_every_steps=batches.steps + 1,
            retention=Retention(),
            identity={},
            heldout=lambda: None,
            heldout_every_steps=None,
            describe=lambda _: None,
        )
        begin = time.process_time()
        run_loop(
            TokenLoss(model, loss_function(loss)),
            optimizer,
            batches,
            settings,
            accelerator=accelerator,
            reporter=Reporter("bench", out / "logs", NoChannel()),
            stop=stop,
            first_state={},
        )
        return time.process_time() - begin


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--steps", type=int, default=4)
    options = parser.parse_args()
    print(f"threads {use_all_cores()}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        tokens = options.steps * BATCH * PRESET.context_length
        shards = synthetic_shards(Path(folder) / "shards", tokens, PRESET.vocab_size)
        batches = PackedBatches(
            [Source("synthetic", shards, 1.0)],
            context_length=PRESET.context_length,
            batch_size=BATCH,
            steps=options.steps,
            seed=0,
        )
        runs: dict[str, Callable[[], float]] = {
            "bare loop": lambda: bare(batches),
            "our loop": lambda: ours(batches, "chunked"),
            "our loop, plain loss": lambda: ours(batches, "plain"),
        }
        for run in runs.values():
            run()  # warm-up: imports, allocator
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for pair in range(options.pairs):
            order = list(runs) if pair % 2 == 0 else list(reversed(runs))
            for name in order:
                seconds[name].append(runs[name]())
    print(
        "| loop | CPU ms a step: median | least | ratio to bare: median of pairs | of the least |"
    )
    print("| --- | --- | --- | --- | --- |")
    overhead = {}
    for name, values in seconds.items():
        ratios = [one / other for one, other in zip(values, seconds["bare loop"], strict=True)]
        overhead[name] = statistics.median(ratios) - 1
        print(
            f"| {name} | {1000 * statistics.median(values) / options.steps:.1f} "
            f"| {1000 * min(values) / options.steps:.1f} | {1 + overhead[name]:.3f} "
            f"| {min(values) / min(seconds['bare loop']):.3f} |"
        )
    worst = max(overhead["our loop"], overhead["our loop, plain loss"])
    print(f"overhead at most {worst:+.1%}; bar {BAR:.0%}: {'met' if worst <= BAR else 'MISSED'}")
    return 0 if worst <= BAR else 1


if __name__ == "__main__":
    sys.exit(main())
