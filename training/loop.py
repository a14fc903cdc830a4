"""The training loop: accumulate, clip, step, checkpoint; resumable to the bit.

One step is a function of (weights, optimizer, step number): the data and the learning rate have no
state of their own. Loss is summed over the target tokens of the whole step and divided once, so
micro-batches and processes do not change it. A gradient that is not finite skips its step.
Paper: section 3.2; section 4.3.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from training.checkpoint import newest_checkpoint, restore, save_checkpoint
from training.config import ConfigError
from training.data import Batches, Plan
from training.model import TokenLoss
from training.report import Channel, MetricsLog, Progress, StepMetrics
from training.schedule import Schedule

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

log = logging.getLogger(__name__)

EXIT_INTERRUPTED = 75
_FINAL_LOSS_STEPS = 20


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved and the same command continues it."""

    def __init__(self, step: int, steps: int, reason: str) -> None:
        super().__init__(f"stopped after step {step} of {steps} ({reason}); checkpoint saved")
        self.step = step


@dataclass
class LoopState:
    """What the loop itself carries from step to step; all of it is in the checkpoint."""

    finished_steps: int = 0
    tokens: int = 0
    tokens_per_source: dict[str, int] = field(default_factory=dict)
    skipped_steps: int = 0
    recent_losses: list[float] = field(default_factory=list)

    def final_loss(self) -> float | None:
        """Mean loss (nats per target token) of the last steps; None when none was finite."""
        if not self.recent_losses:
            return None
        return math.fsum(self.recent_losses) / len(self.recent_losses)


@dataclass(frozen=True)
class LoopSettings:
    """How the loop runs; `identity` must match the checkpoint it resumes from."""

    name: str
    out: Path
    schedule: Schedule
    micro_batch_size: int
    grad_clip: float
    checkpoint_every_steps: int
    identity: Mapping[str, Any]


class Stop:
    """Asked to stop? SIGTERM or SIGINT came, or the process that started us is gone."""

    def __init__(self) -> None:
        self._parent = os.getppid()
        self._signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT):
            self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number: int, _: FrameType | None) -> None:
        self._signal = number

    def reason(self, finished_steps: int) -> str | None:
        """Why to stop after `finished_steps`, or None."""
        if self._signal is not None:
            return signal.Signals(self._signal).name
        if os.getppid() != self._parent:
            return "the parent process is gone"
        return None


def run_loop(
    model: LlamaForCausalLM,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    settings: LoopSettings,
    *,
    accelerator: Accelerator,
    channel: Channel,
    stop: Stop,
    first_state: Mapping[str, Any],
) -> LoopState:
    """Train to `batches.steps`, continuing from the newest checkpoint in `settings.out`.

    `first_state` is stored with each checkpoint (see `resumed_facts`). Raises Interrupted after
    saving, ConfigError when the checkpoint belongs to another config.
    """
    folder = settings.out / "checkpoints"
    state = LoopState()
    found = newest_checkpoint(folder)
    if found is not None:
        check_identity(found.state["identity"], settings.identity, found.path)
        restore(found, model, optimizer)
        state = LoopState(**found.state["loop"])
        log.info("%s: continuing after step %d of %s", settings.name, found.step, found.path.name)
    network = accelerator.prepare_model(TokenLoss(model))
    metrics = None
    if accelerator.is_main_process:
        metrics = MetricsLog(settings.out / "logs" / "metrics.jsonl", state.finished_steps)
    progress = Progress(settings.name, batches.steps, state.finished_steps, channel)

    def save() -> None:
        if accelerator.is_main_process:
            extra = {"identity": settings.identity, "loop": asdict(state), "facts": first_state}
            save_checkpoint(
                folder, step=state.finished_steps, state=extra, model=model, optimizer=optimizer
            )
        accelerator.wait_for_everyone()

    try:
        while state.finished_steps < batches.steps:
            step = state.finished_steps
            lr = settings.schedule(step)
            for group in optimizer.param_groups:
                group["lr"] = lr
            plan = batches.plan(step)
            loss, grad_norm = _one_step(
                network, optimizer, batches, step, plan, settings, accelerator
            )
            line = _account(state, plan, loss, grad_norm, lr, batches, progress)
            if metrics is not None:
                metrics.write(line)
                progress.step(line)
            reason = _agreed_reason(stop.reason(state.finished_steps), accelerator)
            if reason and state.finished_steps < batches.steps:
                save()
                raise Interrupted(state.finished_steps, batches.steps, reason)
            if state.finished_steps % settings.checkpoint_every_steps == 0:
                save()
    finally:
        progress.close()
        if metrics is not None:
            metrics.close()
    return state


def check_identity(found: Mapping[str, Any], expected: Mapping[str, Any], where: Path) -> None:
    """ConfigError naming the keys in which a saved run differs from the one asked for."""
    old, new = dict(_flat(found)), dict(_flat(expected))
    different = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if different:
        pairs = "; ".join(f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in different[:8])
        raise ConfigError(
            f"{where}: expected a run of the same config, found differences ({pairs}). "
            "Choose another `out`, delete this one, or restore the config"
        )


def _one_step(
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    step: int,
    plan: Plan,
    settings: LoopSettings,
    accelerator: Accelerator,
) -> tuple[float, float]:
    """Loss (nats per target token of the whole step) and gradient norm before clipping."""
    world, rank = accelerator.num_processes, accelerator.process_index
    mine = list(range(rank, plan.rows, world))
    micro = settings.micro_batch_size
    passes = math.ceil(math.ceil(plan.rows / world) / micro)
    total = torch.zeros((), dtype=torch.float64)
    for number in range(passes):
        rows = batches.rows(step, mine[number * micro : (number + 1) * micro])
        last = number == passes - 1
        with _gradient_sync(network, accelerator, last):
            loss_sum = network(
                torch.from_numpy(rows.inputs).to(accelerator.device),
                torch.from_numpy(rows.labels).to(accelerator.device),
                torch.from_numpy(rows.positions).to(accelerator.device),
            )
            # Gradients are averaged over processes; the factor turns that into their sum.
            accelerator.backward(loss_sum * (world / plan.target_tokens))
        total += loss_sum.detach().double().cpu()
    if world > 1:
        total = accelerator.reduce(total.float().to(accelerator.device), "sum").double().cpu()
    norm = accelerator.clip_grad_norm_(network.parameters(), settings.grad_clip)
    grad_norm = float(norm) if norm is not None else math.nan
    if math.isfinite(grad_norm):
        optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return float(total) / plan.target_tokens, grad_norm


def _account(
    state: LoopState,
    plan: Plan,
    loss: float,
    grad_norm: float,
    lr: float,
    batches: Batches,
    progress: Progress,
) -> StepMetrics:
    state.finished_steps += 1
    state.tokens += plan.target_tokens
    for name, tokens in plan.source_tokens.items():
        state.tokens_per_source[name] = state.tokens_per_source.get(name, 0) + tokens
    finite = math.isfinite(loss)
    skipped = not math.isfinite(grad_norm)
    if skipped:
        state.skipped_steps += 1
        log.warning(
            "step %d skipped: gradient norm %s, loss %s", state.finished_steps, grad_norm, loss
        )
    if finite and not skipped:
        state.recent_losses = [*state.recent_losses, loss][-_FINAL_LOSS_STEPS:]
    bits = loss / math.log(2) / batches.bytes_per_token if finite else None
    return StepMetrics(
        step=state.finished_steps,
        loss=round(loss, 6) if finite else None,
        bits_per_byte_estimate=None if bits is None else round(bits, 6),
        lr=lr,
        grad_norm=None if skipped else round(grad_norm, 6),
        skipped=skipped,
        tokens=state.tokens,
        tokens_per_second=round(progress.tokens_per_second(plan.target_tokens), 1),
    )


def _gradient_sync(network: torch.nn.Module, accelerator: Accelerator, last: bool) -> Any:
    return contextlib.nullcontext() if last else accelerator.no_sync(network)


def _agreed_reason(reason: str | None, accelerator: Accelerator) -> str | None:
    """All processes stop when one is asked to."""
    if accelerator.num_processes == 1:
        return reason
    flag = torch.tensor(float(reason is not None), device=accelerator.device)
    asked = float(accelerator.reduce(flag, "sum")) > 0
    return (reason or "another process was asked to stop") if asked else None


def _flat(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(tree, list | tuple):
        for number, value in enumerate(tree):
            yield from _flat(value, f"{prefix}[{number}]")
    else:
        yield prefix, tree
