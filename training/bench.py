"""Speed of training on this machine: `python -m training bench --preset 1.5b`.

Every row is the real loop (data, collator, kernels, optimizer, reporting) on a fresh model; one row
is Hugging Face's Trainer, eager, on the same tokens. First each attention backend on each kind of
data, then, with the fastest one, everything else changed one thing at a time. Rates are whole
steps by the wall clock, after warm-up.
Paper: section 3.2; its 109.5 hours on 256 H800 are 19,800 tokens/s a GPU for the 1.5B model.
"""

from __future__ import annotations

import gc
import json
import logging
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from training import mfu
from training.attention import BACKENDS, HeadShape, refusal
from training.bench_data import given_shards, real_shards, synthetic_shards
from training.bench_table import TRAINER, Case, Row, line, markdown
from training.checkpoint import Retention
from training.config import BenchConfig, ConfigError
from training.data import PackedBatches, Source
from training.loop import LoopSettings, Stop, run_loop
from training.model import new_model, use_all_cores
from training.optimizer import new_optimizer
from training.precision import Precision, choose_precision
from training.presets import PRESETS, Preset
from training.report import NoChannel, Reporter, StepMetrics
from training.speed import choose_speed, head_shape, make_network

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    from training.shards import Shards

log = logging.getLogger(__name__)

# (sequences in a step, sequences in a forward pass)
_BATCH = {"starter": (8, 8), "100m": (64, 16), "1.5b": (32, 4), "8b": (8, 1)}


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


def run_bench(config: BenchConfig) -> str:
    """Measure and return the table as Markdown; rows also go to the log and to `config.out`."""
    use_all_cores()
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    preset = PRESETS[config.preset]
    if config.num_hidden_layers is not None:
        preset = replace(
            preset, model=replace(preset.model, num_hidden_layers=config.num_hidden_layers)
        )
    batch, micro = _BATCH[config.preset]
    with tempfile.TemporaryDirectory(prefix="training-bench-") as folder:
        bench = Bench(
            config=config,
            preset=preset,
            device=device,
            precision=choose_precision(config.precision, device),
            batch_size=config.batch_size or batch,
            micro_batch_size=min(config.micro_batch_size or micro, config.batch_size or batch),
            context_length=config.context_length or preset.context_length,
            shards={},
        )
        _make_shards(bench, Path(folder))
        rows: list[Row] = []
        refused: dict[str, str] = {}
        for case in _cases(bench, rows, refused):
            rows.append(_measure(bench, case, Path(folder)))
            log.info("%s", line(rows[-1]))
            if config.out is not None:
                config.out.write_text(json.dumps(_report(bench, rows, refused), indent=2) + "\n")
    return markdown(_facts(bench), rows, refused)


def _make_shards(bench: Bench, folder: Path) -> None:
    tokens = bench.steps * bench.batch_size * bench.context_length
    vocab_size = bench.preset.vocab_size
    for name in bench.config.data:
        if name == "synthetic":
            bench.shards[name] = synthetic_shards(folder / name, tokens, vocab_size)
        elif bench.config.shards is not None:
            bench.shards[name] = given_shards(bench.config.shards, vocab_size)
        else:
            bench.shards[name] = real_shards(folder / name, tokens, vocab_size)


def _cases(bench: Bench, rows: list[Row], refused: dict[str, str]) -> Iterator[Case]:
    """The rows to run; the later ones depend on the earlier (`rows` grows meanwhile)."""
    config = bench.config
    dtype = torch.float32 if bench.precision == "fp32" else torch.bfloat16
    shape = _shape(bench)
    for name in config.attention or BACKENDS:
        reason = refusal(name, shape, device=bench.device, dtype=dtype)
        if reason is not None:
            refused[name] = reason
    usable = [name for name in config.attention or BACKENDS if name not in refused]
    if not usable:
        raise ConfigError(f"attention: expected a backend that runs here, found {refused}")
    for data in config.data:
        for name in usable:
            yield Case(data, name, config.compile, precision=config.precision)
    best = max(
        (row for row in rows if row.tokens_per_second is not None),
        key=lambda row: row.tokens_per_second or 0.0,
        default=None,
    )
    if best is None:
        return
    base = replace(best.case, data=config.data[0])
    if "compile" in config.variants and best.compiled:
        yield replace(base, compile="never")
    if "loss" in config.variants:
        yield replace(base, loss="plain")
    if "checkpointing" in config.variants:
        yield replace(base, activation_checkpointing=True)
    if "fp8" in config.variants and config.precision != "fp8":
        yield replace(base, precision="fp8")
    if "trainer" in config.variants:
        for data in config.data:
            yield Case(data, "sdpa", "never", loss="plain", engine=TRAINER)


def _shape(bench: Bench) -> HeadShape:
    with torch.device("meta"):
        return head_shape(bench.model())


def _measure(bench: Bench, case: Case, folder: Path) -> Row:
    """Run a case, with a smaller micro-batch each time memory runs out."""
    micro = bench.micro_batch_size
    while True:
        run = _run_trainer if case.engine == TRAINER else _run_ours
        try:
            return run(bench, case, micro, folder)
        except torch.OutOfMemoryError as error:
            failure = f"out of memory at {micro}: {str(error).splitlines()[0][:120]}"
        except ConfigError as error:
            return Row(case, micro, failure=str(error))
        except Exception as error:  # one broken kernel must not cost the other rows
            log.exception("row failed: %s", case)
            return Row(case, micro, failure=f"{type(error).__name__}: {str(error)[:200]}")
        finally:
            _free(bench.device)
        if micro == 1:
            return Row(case, micro, failure=failure)
        micro //= 2


def _run_ours(bench: Bench, case: Case, micro: int, folder: Path) -> Row:
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
        with Stop() as stop:
            run_loop(
                network,
                optimizer,
                bench.batches(case.data),
                settings,
                accelerator=accelerator,
                reporter=watch,
                stop=stop,
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


def _run_trainer(bench: Bench, case: Case, micro: int, folder: Path) -> Row:
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


def _free(device: torch.device) -> None:
    """Give back what the last row held, compiled code included."""
    gc.collect()
    if "torch._dynamo" in sys.modules:  # importing it takes seconds
        torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _facts(bench: Bench) -> dict[str, Any]:
    import transformers

    cuda = bench.device.type == "cuda"
    layers = bench.preset.model.num_hidden_layers
    whole = PRESETS[bench.config.preset].model.num_hidden_layers
    return {
        "device": torch.cuda.get_device_name() if cuda else f"CPU ({platform.machine()})",
        "model": bench.config.preset
        + ("" if layers == whole else f", cut to {layers} of {whole} blocks"),
        "context": bench.context_length,
        "tokens a step": bench.batch_size * bench.context_length,
        "precision": bench.precision,
        "steps": f"{bench.config.steps} after {bench.config.warmup_steps} of warm-up",
        "software": f"torch {torch.__version__}, transformers {transformers.__version__}",
    }


def _report(bench: Bench, rows: list[Row], refused: dict[str, str]) -> dict[str, Any]:
    return {
        **_facts(bench),
        "mfu_formula": mfu.FORMULA,
        "rows": [asdict(row) for row in rows],
        "refused": refused,
    }
