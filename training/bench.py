"""Speed of training on this machine: `python -m training bench --preset 1.5b`.

Every row is the real loop (data, collator, kernels, optimizer, reporting) on a fresh model, or
Hugging Face's Trainer, eager, on the same tokens. On each kind of data: first each attention
backend, then the Trainer, then, with the fastest backend, everything else changed one thing at a
time. Rates are whole steps by the wall clock, after warm-up.
Paper: section 3.2; its 109.5 hours on 256 H800 are 19,800 tokens/s a GPU for the 1.5B model.
"""

from __future__ import annotations

import gc
import json
import logging
import platform
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from training import mfu
from training.attention import BACKENDS, HeadShape, refusal
from training.bench_data import given_shards, real_shards, synthetic_shards
from training.bench_engines import Bench, run_ours, run_trainer
from training.bench_table import TRAINER, Case, Row, line, markdown
from training.config import BenchConfig, ConfigError
from training.loss import usable_losses
from training.model import use_all_cores
from training.precision import choose_precision
from training.presets import PRESETS
from training.speed import head_shape

log = logging.getLogger(__name__)

# (sequences in a step, sequences in a forward pass)
_BATCH = {"starter": (8, 8), "100m": (64, 16), "1.5b": (16, 4), "8b": (8, 1)}


def run_bench(config: BenchConfig) -> str:
    """Measure and return the table as Markdown; rows also go to the log and to `config.out`.

    An interrupt (Ctrl-C) ends it early, with the rows measured so far.
    """
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
        try:
            for case in _cases(bench, rows, refused):
                micro_batch_size = _first_micro_batch(bench, case, rows)
                rows.append(_measure(bench, case, micro_batch_size, Path(folder)))
                log.info("%s", line(rows[-1]))
                if config.out is not None:
                    report = json.dumps(_report(bench, rows, refused), indent=2)
                    config.out.write_text(report + "\n")
        except KeyboardInterrupt:
            if not rows:
                raise
            log.warning("interrupted: the table has the %d rows measured so far", len(rows))
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
    for name in usable:
        for data in config.data:
            yield Case(data, name, config.compile, precision=config.precision)
    best = max(
        (row for row in rows if row.tokens_per_second is not None),
        key=lambda row: row.tokens_per_second or 0.0,
        default=None,
    )
    if "trainer" in config.variants:
        for data in config.data:
            yield Case(data, "sdpa", "never", loss="plain", engine=TRAINER)
    if best is not None:
        for data in config.data:
            yield from _variants(bench, best, data)


def _variants(bench: Bench, best: Row, data: str) -> Iterator[Case]:
    """The fastest case on `data` with one thing changed at a time."""
    variants = bench.config.variants
    base = replace(best.case, data=data)
    if "compile" in variants and best.compiled:
        yield replace(base, compile="never")
    if "loss" in variants:
        for name in usable_losses(bench.device):
            if name != best.loss:
                yield replace(base, loss=name)
    if "checkpointing" in variants:
        yield replace(base, activation_checkpointing=True)
    if "fp8" in variants and bench.config.precision != "fp8":
        yield replace(base, precision="fp8")


def _shape(bench: Bench) -> HeadShape:
    with torch.device("meta"):
        return head_shape(bench.model())


def _first_micro_batch(bench: Bench, case: Case, rows: list[Row]) -> int:
    """What fitted the same case on other data, so that memory runs out once and not again."""
    for row in rows:
        if replace(row.case, data=case.data) == case:
            return row.micro_batch_size
    return bench.micro_batch_size


def _measure(bench: Bench, case: Case, micro: int, folder: Path) -> Row:
    """Run a case, with a smaller micro-batch each time memory runs out."""
    while True:
        run = run_trainer if case.engine == TRAINER else run_ours
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


def _free(device: torch.device) -> None:
    """Give back what the last row held, compiled code included."""
    gc.collect()
    if "torch._inductor.compile_fx" in sys.modules:  # something was compiled
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
