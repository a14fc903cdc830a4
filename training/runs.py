"""The runs: pretrain, anneal and sft, from a config to a finished folder.

A run's folder ends with model/ (Hugging Face), trainer_state/ (what the next run branches from),
summary.json (facts that are the same each time, written last), logs/ (all that depends on the
clock), and checkpoints/ when some are kept for good. The same command in the same folder continues,
or returns what is finished.
Paper: section 3.2 (WSD: pretrain, then anneal from a stable checkpoint); section 4 (SFT).
"""

from __future__ import annotations

import contextlib
import logging
import platform
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import torch

from training import checkpoint as checkpoints
from training import mfu
from training.bits_per_byte import bits_per_byte, document_bits
from training.checkpoint import Retention
from training.config import PretrainConfig, SftConfig, digest
from training.documents import sample_documents
from training.export import describe_model, export_model, read_tokenizer_files
from training.folder import check_writable, claimed, read_json, write_json
from training.loop import Interrupted, LoopSettings, LoopState, Stop, check_identity, run_loop
from training.model import TokenLoss, count_parameters, use_all_cores
from training.parallel import Parallel, choose_parallel, shard
from training.plot import plot_run
from training.precision import Precision, choose_precision
from training.prepare import Prepared, RunConfig, prepare_pretrain, prepare_sft
from training.report import Channel, NoChannel, Reporter, SilentReporter, Timings
from training.speed import Speed, choose_speed, evaluating, make_network
from training.strict import flat
from training.tracking import open_curves

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

log = logging.getLogger(__name__)

Summary = dict[str, Any]

#: How long processes wait for one another: the main one writes the last state (96 GB of the 8B
#: model) while the others wait. NCCL's own ten minutes would end the run there on a slow disk.
_PATIENCE = timedelta(minutes=30)


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
    timings = Timings(facts={"threads": use_all_cores()})
    if not sys.stderr.isatty():
        _quiet_transformers()
    with Stop() as stop:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        precision = choose_precision(config.precision, device)
        accelerator = _accelerator(precision)
        with timings.phase("prepare"):
            prepared = prepare()
        # One process writes, so one claims the folder.
        claim = claimed(config.out) if accelerator.is_main_process else contextlib.nullcontext()
        with claim:
            finished = _finished_summary(config, prepared, accelerator)
            if finished is not None:
                return finished
            return _train(config, prepared, precision, accelerator, channel, stop, timings)


@dataclass(frozen=True)
class _Built:
    """A network ready to train, and how it executes."""

    network: TokenLoss
    optimizer: torch.optim.Optimizer
    speed: Speed
    parallel: Parallel

    @property
    def model(self) -> LlamaForCausalLM:
        return self.network.causal_lm


def _build(
    config: RunConfig, prepared: Prepared, precision: Precision, accelerator: Accelerator
) -> _Built:
    device, world = accelerator.device, accelerator.num_processes
    model = prepared.make_model().to(device)
    speed = choose_speed(config, model, device, precision)
    network = make_network(model, speed)
    parallel = choose_parallel(
        config.parallel, processes=world, device=device, optimizer=config.optimizer
    )
    if parallel == "fsdp":
        shard(network, precision, world, device)
    return _Built(network, prepared.make_optimizer(model), speed, parallel)


def _train(
    config: RunConfig,
    prepared: Prepared,
    precision: Precision,
    accelerator: Accelerator,
    channel: Channel,
    stop: Stop,
    timings: Timings,
) -> Summary:
    """From a prepared run to its finished folder."""
    if accelerator.is_main_process:
        check_writable(config.out)
    with timings.phase("prepare"):
        tokenizer = read_tokenizer_files(prepared.tokenizer)
        built = _build(config, prepared, precision, accelerator)
    model = built.model
    log.info(
        "%s: %s parameters; %s steps; %s",
        prepared.name,
        f"{count_parameters(model):,}",
        f"{prepared.batches.steps:,}",
        prepared.batches.describe(),
    )
    heldout = _heldout(config, prepared, built.network)
    facts = _facts_before(config, prepared, heldout, timings)
    retention = _retention(config)
    settings = LoopSettings(
        name=prepared.name,
        out=config.out,
        schedule=prepared.schedule,
        micro_batch_size=config.micro_batch_size,
        grad_clip=config.grad_clip,
        spike_sigmas=config.spike_sigmas,
        spike_window=config.spike_window,
        checkpoint_every_steps=config.checkpoint_every_steps,
        retention=retention,
        identity=prepared.identity,
        heldout=heldout,
        heldout_every_steps=config.heldout_every_steps,
        describe=lambda folder: describe_model(model, tokenizer, folder),
    )
    reporting = _reporting(config, prepared, model, accelerator, channel)
    with reporting as reporter, timings.phase("train"):
        state = run_loop(
            built.network,
            built.optimizer,
            prepared.batches,
            settings,
            accelerator=accelerator,
            reporter=reporter,
            stop=stop,
            first_state=facts,
        )
    after = state.heldout_bits_per_byte
    summary = _summary(prepared, model, state, facts, after)
    with timings.phase("export"):
        writes = accelerator.is_main_process
        weights = checkpoints.named_weights(model, keep=writes)  # gathered when they are sharded
        moments = checkpoints.optimizer_tensors(model, built.optimizer, keep=writes)
        if writes:
            with checkpoints.saving(config.out):
                export_model(weights, model, tokenizer, config.out / "model")
                trainer_state = _trainer_state(prepared, state, facts, after)
                checkpoints.save_trainer_state(config.out / "trainer_state", trainer_state, moments)
    if accelerator.is_main_process:
        timings.facts.update(_execution(built, accelerator))
        with checkpoints.saving(config.out):
            timings.write(config.out / "logs" / "timing.json")
            write_json(config.out / "summary.json", summary)
        retention.finish(config.out / "checkpoints")
        log.info("%s: finished; the model is in %s", prepared.name, config.out / "model")
    accelerator.wait_for_everyone()
    return summary


def _execution(built: _Built, accelerator: Accelerator) -> dict[str, object]:
    """How the run was executed, for timing.json: nothing that its result depends on."""
    return {
        "device": str(accelerator.device),
        "processor": platform.machine(),
        "processes": accelerator.num_processes,
        "torch": torch.__version__,
        "mfu_formula": mfu.FORMULA,
        "parallel": built.parallel,
        "speed": built.speed.describe(),
    }


def _retention(config: RunConfig) -> Retention:
    return Retention(config.keep_last_checkpoints, config.keep_every_steps)


@contextlib.contextmanager
def _reporting(
    config: RunConfig,
    prepared: Prepared,
    model: LlamaForCausalLM,
    accelerator: Accelerator,
    channel: Channel,
) -> Iterator[Reporter]:
    """The reporter of this process; draws the picture and ends the MLflow run at the end."""
    if not accelerator.is_main_process:
        yield SilentReporter()
        return
    logs = config.out / "logs"
    peak = mfu.device_peak_flops()
    cost = mfu.flops_per_token(model.config, prepared.context_length)

    def share_of_peak(tokens_per_second: float) -> float | None:
        if not isinstance(config, PretrainConfig):
            return None  # target tokens are a part of what the model reads
        return mfu.mfu(tokens_per_second / accelerator.num_processes, cost, peak)

    curves = open_curves(f"{prepared.name} {config.out}", logs, _params(config, prepared))
    status = "FAILED"
    try:
        yield Reporter(prepared.name, logs, channel, mfu=share_of_peak, curves=curves)
        status = "FINISHED"
    except Interrupted:
        status = "KILLED"
        raise
    finally:
        plot_run(logs / "metrics.jsonl", logs / "loss.png", prepared.name)
        if curves is not None:
            curves.close(status, logs / "loss.png")


def _params(config: RunConfig, prepared: Prepared) -> dict[str, Any]:
    """What the run was asked to do and the digests of what it reads, for MLflow."""
    tree = {**asdict(config), "contents": prepared.identity["contents"]}
    return {key: value for key, value in flat(tree) if value is not None}


def _accelerator(precision: Precision) -> Accelerator:
    from accelerate import Accelerator
    from accelerate.utils import InitProcessGroupKwargs

    return Accelerator(
        cpu=not torch.cuda.is_available(),
        mixed_precision="no" if precision == "fp32" else "bf16",
        kwargs_handlers=[InitProcessGroupKwargs(timeout=_PATIENCE)],
    )


def _quiet_transformers() -> None:
    """Loading and saving bars are noise in a log file."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()


def _finished_summary(
    config: RunConfig, prepared: Prepared, accelerator: Accelerator
) -> Summary | None:
    """What a finished run left, or None. ConfigError when it is damaged or of another config."""
    file = config.out / "summary.json"
    if not file.is_file():
        return None
    state = checkpoints.read_trainer_state(config.out)
    check_identity(state["identity"], prepared.identity, config.out)
    summary = read_json(file, "the summary of a run (delete it to train again)")
    log.info("%s: %s is finished already", prepared.name, config.out)
    if accelerator.is_main_process:  # a kill may have come before the last clean-up
        _retention(config).finish(config.out / "checkpoints")
    return summary


def _facts_before(
    config: RunConfig,
    prepared: Prepared,
    heldout: Callable[[], float | None],
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
        "tokens_read_before": dict(prepared.tokens_read_before),
    }
    if facts["heldout_key"] is not None:
        known = prepared.origin.state if prepared.origin else {}
        if known.get("heldout_key") == facts["heldout_key"] and known.get("bits_per_byte_after"):
            facts["bits_per_byte_before"] = known["bits_per_byte_after"]
        else:
            with timings.phase("heldout"):
                facts["bits_per_byte_before"] = heldout()
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


def _heldout(
    config: RunConfig, prepared: Prepared, network: TokenLoss
) -> Callable[[], float | None]:
    """Measures bits per byte of the held-out text, which is read once: files may change or go."""
    if config.heldout is None:
        return lambda: None
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast.from_pretrained(prepared.tokenizer, local_files_only=True)
    documents = sample_documents(config.heldout, config.heldout_max_bytes)
    texts = [document.content for document in documents]

    def measure() -> float:
        with evaluating(network) as model:
            costs = document_bits(model, tokenizer, texts, prepared.context_length)
        return round(bits_per_byte(costs), 6)

    return measure


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


def _trainer_state(
    prepared: Prepared, state: LoopState, facts: Mapping[str, Any], after: float | None
) -> dict[str, Any]:
    """What the next run wants to know of this one."""
    return {
        "step": state.finished_steps,
        "tokens": state.tokens,
        "tokens_per_source": state.tokens_per_source,
        "tokens_read_before": facts["tokens_read_before"],
        "identity": prepared.identity,
        "tokenizer_digest": facts["tokenizer_digest"],
        "optimizer": facts["optimizer"],
        "heldout_key": facts["heldout_key"],
        "bits_per_byte_after": after,
    }
