"""The runs: pretrain, anneal and sft, from a config to a finished folder.

A run's folder ends with model/ (Hugging Face), trainer_state/ (what the next run branches from),
summary.json (facts that are the same each time, written last) and logs/ (all that depends on the
clock). The same command in the same folder continues, or returns what is finished.
Paper: section 3.2 (WSD: pretrain, then anneal from a stable checkpoint); section 4 (SFT).
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from training import checkpoint as checkpoints
from training.bits_per_byte import bits_per_byte, document_bits
from training.config import PretrainConfig, SftConfig, digest
from training.documents import sample_documents
from training.export import export_model
from training.loop import LoopSettings, LoopState, Stop, check_identity, run_loop
from training.model import count_parameters, use_all_cores
from training.prepare import Prepared, RunConfig, prepare_pretrain, prepare_sft
from training.report import Channel, NoChannel, Timings, plot_losses
from training.tokenizer import load_tokenizer, special_ids

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

log = logging.getLogger(__name__)

Summary = dict[str, Any]


def pretrain(
    config: PretrainConfig, *, name: str = "pretrain", channel: Channel | None = None
) -> Summary:
    """Run `pretrain` or `anneal`; returns the contents of summary.json.

    Raises ConfigError (bad config, data or folder) and Interrupted (asked to stop; saved).
    """
    return _run(config, lambda: prepare_pretrain(config, name), channel or NoChannel())


def finetune(config: SftConfig, *, channel: Channel | None = None) -> Summary:
    """Run `sft`; returns the contents of summary.json. Raises as `pretrain` does."""
    return _run(config, lambda: prepare_sft(config), channel or NoChannel())


def _run(config: RunConfig, prepare: Callable[[], Prepared], channel: Channel) -> Summary:
    timings = Timings()
    threads = use_all_cores()
    if not sys.stderr.isatty():
        _quiet_transformers()
    with Stop() as stop, timings.phase("total"):
        accelerator = _accelerator(config.precision)
        with timings.phase("prepare"):
            prepared = prepare()
            finished = _finished_summary(config.out, prepared)
            if finished is not None:
                log.info("%s: %s is finished already", prepared.name, config.out)
                if accelerator.is_main_process:  # a kill may have come before the last clean-up
                    shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
                return finished
            model = prepared.make_model().to(accelerator.device)
            optimizer = prepared.make_optimizer(model)
        facts = _facts_before(config, prepared, model, accelerator, timings)
        settings = LoopSettings(
            name=prepared.name,
            out=config.out,
            schedule=prepared.schedule,
            micro_batch_size=config.micro_batch_size,
            grad_clip=config.grad_clip,
            checkpoint_every_steps=config.checkpoint_every_steps,
            identity=prepared.identity,
        )
        with timings.phase("train"):
            state = run_loop(
                model,
                optimizer,
                prepared.batches,
                settings,
                accelerator=accelerator,
                channel=channel,
                stop=stop,
                first_state=facts,
            )
        after = None
        if accelerator.is_main_process:
            with timings.phase("heldout"):
                after = _heldout_bits(config, prepared, model)
        summary = _summary(prepared, model, state, facts, after)
        if accelerator.is_main_process:
            with timings.phase("export"):
                _export(config.out, prepared, model, optimizer, state, facts, after)
                log_file = config.out / "logs" / "metrics.jsonl"
                plot_losses(log_file, config.out / "logs" / "loss.png", prepared.name)
    if accelerator.is_main_process:
        timings.facts.update(
            device=str(accelerator.device),
            processor=platform.machine(),
            threads=threads,
            processes=accelerator.num_processes,
            torch=torch.__version__,
        )
        timings.write(config.out / "logs" / "timing.json")
        _write_json(config.out / "summary.json", summary)
        shutil.rmtree(config.out / "checkpoints", ignore_errors=True)
    accelerator.wait_for_everyone()
    return summary


def _accelerator(precision: str) -> Accelerator:
    from accelerate import Accelerator

    gpu = torch.cuda.is_available()
    if precision == "auto":
        precision = "bf16" if gpu and torch.cuda.is_bf16_supported() else "fp32"
    return Accelerator(cpu=not gpu, mixed_precision="bf16" if precision == "bf16" else "no")


def _quiet_transformers() -> None:
    """Loading and saving bars are noise in a log file."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def _finished_summary(out: Path, prepared: Prepared) -> Summary | None:
    if not (out / "summary.json").is_file():
        return None
    state = json.loads((out / "trainer_state" / "state.json").read_text(encoding="utf-8"))
    check_identity(state["identity"], prepared.identity, out)
    summary: Summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return summary


def _facts_before(
    config: RunConfig,
    prepared: Prepared,
    model: LlamaForCausalLM,
    accelerator: Accelerator,
    timings: Timings,
) -> dict[str, Any]:
    """Facts of the start that a restart must not measure again; kept in each checkpoint."""
    found = checkpoints.newest_checkpoint(config.out / "checkpoints")
    if found is not None:
        return dict(found.state["facts"])
    facts: dict[str, Any] = {
        "tokenizer_digest": prepared.identity["contents"]["tokenizer"],
        "optimizer": config.optimizer,
        "heldout_key": _heldout_key(config, prepared),
        "bits_per_byte_before": None,
    }
    if accelerator.is_main_process and facts["heldout_key"] is not None:
        known = prepared.origin.state if prepared.origin else {}
        if known.get("heldout_key") == facts["heldout_key"] and known.get("bits_per_byte_after"):
            facts["bits_per_byte_before"] = known["bits_per_byte_after"]
        else:
            with timings.phase("heldout"):
                facts["bits_per_byte_before"] = _heldout_bits(config, prepared, model)
    return facts


def _heldout_key(config: RunConfig, prepared: Prepared) -> str | None:
    """Names a held-out measurement: same key and same weights, same figure."""
    if config.heldout is None:
        return None
    parts = {
        "documents": prepared.identity["contents"]["heldout"],
        "max_bytes": config.heldout_max_bytes,
        "context_length": prepared.context_length,
        "precision": config.precision,
    }
    return digest(parts)


def _heldout_bits(config: RunConfig, prepared: Prepared, model: LlamaForCausalLM) -> float | None:
    if config.heldout is None:
        return None
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(prepared.tokenizer, local_files_only=True)
    documents = sample_documents(config.heldout, config.heldout_max_bytes)
    texts = [document.content for document in documents]
    costs = document_bits(model, tokenizer, texts, prepared.context_length)
    return round(bits_per_byte(costs), 6)


def _summary(
    prepared: Prepared,
    model: LlamaForCausalLM,
    state: LoopState,
    facts: Mapping[str, Any],
    after: float | None,
) -> Summary:
    loss = state.final_loss()
    return {
        "command": prepared.name,
        "steps": state.finished_steps,
        "tokens": state.tokens,
        "tokens_per_source": dict(sorted(state.tokens_per_source.items())),
        "final_loss": None if loss is None else round(loss, 6),
        "heldout_bits_per_byte": {"before": facts["bits_per_byte_before"], "after": after},
        "parameters": count_parameters(model),
        "skipped_steps": state.skipped_steps,
        **prepared.extra_summary,
    }


def _export(
    out: Path,
    prepared: Prepared,
    model: LlamaForCausalLM,
    optimizer: torch.optim.Optimizer,
    state: LoopState,
    facts: Mapping[str, Any],
    after: float | None,
) -> None:
    tokenizer = load_tokenizer(prepared.tokenizer)
    special = special_ids(tokenizer, prepared.tokenizer)
    export_model(model, prepared.tokenizer, special, out / "model")
    trainer_state = {
        "step": state.finished_steps,
        "tokens": state.tokens,
        "identity": prepared.identity,
        "tokenizer_digest": facts["tokenizer_digest"],
        "optimizer": facts["optimizer"],
        "heldout_key": facts["heldout_key"],
        "bits_per_byte_after": after,
    }
    checkpoints.save_trainer_state(out / "trainer_state", trainer_state, model, optimizer)


def _write_json(file: Path, payload: Mapping[str, Any]) -> None:
    temporary = file.with_name(f".tmp-{file.name}")
    temporary.write_text(json.dumps(payload, indent=2) + "\n", encoding="utf-8")
    temporary.replace(file)
