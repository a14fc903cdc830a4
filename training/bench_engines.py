"""What a row of the speed benchmark runs: our loop, or Hugging Face's Trainer.

Ours is `run_loop` with a reporter that looks at the clock; the Trainer is as it comes, eager, with
sdpa and without document boundaries, on the same tokens and the same initial model.
Paper: none.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from training import mfu
from training.bench_table import Case, Row
from training.checkpoint import Retention
from training.config import BenchConfig
from training.data import PackedBatches, Source
from training.loop import LoopSettings, Stop, run_loop
from training.model import new_model
from training.optimizer import new_optimizer
from training.precision import Precision, choose_precision
from training.presets import Preset
from training.report import NoChannel, Reporter, StepMetrics
from training.speed import choose_speed, make_network

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    from training.shards import Shards


@dataclass(frozen=True)
class Bench:
    """A benchmark with everything resolved but the case."""

    config: BenchConfig
    preset: Preset
    device: torch.device
    precision: Precision
    batch_size: int
    micro_batch_size: int
    context_length: int
    shards: dict[str, Shards]

    @property
    def steps(self) -> int:
        return self.config.warmup_steps + self.config.steps

    def batches(self, data: str) -> PackedBatches:
        return PackedBatches(
            [Source(data, self.shards[data], 1.0)],
            context_length=self.context_length,
            batch_size=self.batch_size,
            steps=self.steps,
            seed=0,
        )

    def model(self) -> LlamaForCausalLM:
        """A fresh model, initialised on the device."""
        torch.manual_seed(0)
        with self.device:
            return new_model(
                self.preset.model,
                vocab_size=self.preset.vocab_size,
                context_length=self.context_length,
                end_of_text=0,
                pad=1,
            )


def run_ours(bench: Bench, case: Case, micro: int, folder: Path) -> Row:
    """Measure `run_loop` with the choices of a case; `folder` is for what it writes."""
    from accelerate import Accelerator

    _reset_peak_memory(bench.device)
    precision = choose_precision(case.precision, bench.device)
    model = bench.model()
    speed = choose_speed(case, model, bench.device, precision)
    network = make_network(model, speed)
    optimizer = new_optimizer(model, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1)
    accelerator = Accelerator(
        cpu=bench.device.type == "cpu", mixed_precision="no" if precision == "fp32" else "bf16"
    )
    with tempfile.TemporaryDirectory(dir=folder) as out:
        watch = _Watch(Reporter("bench", Path(out), NoChannel()), bench.config.warmup_steps)
        settings = LoopSettings(
            name="bench",
            out=Path(out),
            schedule=lambda _: 1e-4,
            micro_batch_size=micro,
            grad_clip=1.0,
            spike_sigmas=None,
            spike_window=128,
            checkpoint_every_steps=bench.steps + 1,
            retention=Retention(),
            identity={},
            heldout=lambda: None,
            heldout_every_steps=None,
            describe=lambda _: None,
        )
        run_loop(
            network,
            optimizer,
            bench.batches(case.data),
            settings,
            accelerator=accelerator,
            reporter=watch,
            stop=_NoStop(),
            first_state={},
        )
    tokens = bench.batch_size * bench.context_length
    return _row(
        bench,
        Row(case, micro, loss=speed.loss, compiled=speed.compiled),
        model,
        watch.seconds_per_step(),
        tokens,
        share=watch.data_and_logging_share(),
        loss=watch.last_loss,
    )


def run_trainer(bench: Bench, case: Case, micro: int, folder: Path) -> Row:
    """Hugging Face's Trainer as it comes: eager, sdpa, rows without document boundaries."""
    from transformers import PrinterCallback, Trainer, TrainerCallback, TrainingArguments

    _reset_peak_memory(bench.device)
    model = bench.model()
    batches = bench.batches(case.data)

    class RowsOfBatches(torch.utils.data.Dataset[dict[str, Any]]):
        def __len__(self) -> int:
            return bench.steps * bench.batch_size

        def __getitem__(self, index: int) -> dict[str, Any]:
            row = batches.rows(index // bench.batch_size, [index % bench.batch_size]).inputs[0]
            return {"input_ids": row, "labels": row}

    ends: list[float] = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            _synchronize(bench.device)
            ends.append(time.perf_counter())

    with tempfile.TemporaryDirectory(dir=folder) as out:
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=out,
                max_steps=bench.steps,
                per_device_train_batch_size=micro,
                gradient_accumulation_steps=max(1, bench.batch_size // micro),
                learning_rate=1e-4,
                lr_scheduler_type="constant",
                bf16=bench.precision != "fp32",
                use_cpu=bench.device.type == "cpu",
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
            ),
            train_dataset=RowsOfBatches(),
            callbacks=[Watch()],
        )
        trainer.remove_callback(PrinterCallback)  # it prints into the table
        trainer.train()
    measured = ends[bench.config.warmup_steps - 1 :]
    tokens = micro * max(1, bench.batch_size // micro) * bench.context_length
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return _row(
        bench,
        Row(case, micro, loss="plain"),
        model,
        (measured[-1] - measured[0]) / (len(measured) - 1),
        tokens,
        share=None,
        loss=losses[-1] if losses else None,
    )


class _NoStop(Stop):
    """An interrupt ends the benchmark as it would any program; there is nothing to save."""

    def reason(self, finished_steps: int) -> str | None:
        return None


class _Watch(Reporter):
    """A reporter that times whole steps, and what the reporting itself costs."""

    def __init__(self, inner: Reporter, warmup_steps: int) -> None:
        self._inner, self._warmup = inner, warmup_steps
        self._ends: list[float] = []
        self._data: list[float] = []
        self._logging: list[float] = []
        self.last_loss: float | None = None

    def start(self, steps: int, finished: int) -> None:
        self._inner.start(steps, finished)

    def step(self, metrics: StepMetrics, heldout_bits_per_byte: float | None) -> None:
        begin = time.perf_counter()
        self._inner.step(metrics, heldout_bits_per_byte)
        self._ends.append(time.perf_counter())
        self._logging.append(self._ends[-1] - begin)
        self._data.append(metrics.data_wait_share * metrics.step_seconds)
        self.last_loss = metrics.loss

    def finish(self, failed_checkpoints: int) -> None:
        self._inner.finish(failed_checkpoints)

    def seconds_per_step(self) -> float:
        measured = self._ends[self._warmup - 1 :]
        return (measured[-1] - measured[0]) / (len(measured) - 1)

    def data_and_logging_share(self) -> float:
        """Of a step; a data wait hidden behind a busy GPU counts too."""
        spent = [a + b for a, b in zip(self._data, self._logging, strict=True)]
        return statistics.fmean(spent[self._warmup :]) / self.seconds_per_step()


def _row(
    bench: Bench,
    row: Row,
    model: LlamaForCausalLM,
    seconds_per_step: float,
    tokens: int,
    *,
    share: float | None,
    loss: float | None,
) -> Row:
    rate = tokens / seconds_per_step
    cuda = bench.device.type == "cuda"
    used = mfu.mfu(
        rate, mfu.flops_per_token(model.config, bench.context_length), mfu.device_peak_flops()
    )
    return replace(
        row,
        tokens_per_second=rate,
        mfu=used,
        peak_memory_bytes=torch.cuda.max_memory_allocated() if cuda else None,
        data_and_logging_share=share,
        final_loss=loss,
    )


def _reset_peak_memory(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
