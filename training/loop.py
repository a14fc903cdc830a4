"""The training loop: accumulate, clip, step, checkpoint; resumable to the bit.

One step is a function of (weights, optimizer, step number): the data and the learning rate have no
state of their own. Loss is summed over the target tokens of the whole step and divided once, so
micro-batches and processes do not change it. The guard skips steps that are not finite or spike.
Paper: section 3.2; section 4.3.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

import torch

from training.checkpoint import (
    CheckpointWriter,
    Retention,
    newest_checkpoint,
    restore,
    saving,
    take_snapshot,
)
from training.config import ConfigError
from training.data import Batches, Plan
from training.guard import Guard
from training.model import TokenLoss
from training.packing import collate
from training.parallel import is_sharded, whole
from training.report import Reporter, StepClock, StepMetrics
from training.schedule import Schedule
from training.strict import flat

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)

_FINAL_LOSS_STEPS = 20
#: Steps in a row that are not finite before the run is given up: the weights themselves are bad.
_MOST_LOST_STEPS = 25
#: Set by torchrun, accelerate launch and Dagster Pipes for the processes that they start.
_LAUNCHERS_VARIABLES = (
    "TORCHELASTIC_RUN_ID",
    "ACCELERATE_MIXED_PRECISION",
    "DAGSTER_PIPES_CONTEXT",
)


class Interrupted(Exception):
    """The run was asked to stop; its checkpoint is saved and the same command continues it."""

    def __init__(self, step: int, steps: int, reason: str) -> None:
        super().__init__(
            f"stopped after step {step} of {steps} ({reason}); checkpoint saved: "
            "the same command continues"
        )
        self.step = step


class Diverged(Exception):
    """Every recent step was lost; going on would change nothing."""


@dataclass
class LoopState:
    """What the loop itself carries from step to step; all of it is in the checkpoint."""

    finished_steps: int = 0
    tokens: int = 0
    tokens_per_source: dict[str, int] = field(default_factory=dict)
    skipped_steps: int = 0
    lost_in_a_row: int = 0
    recent_losses: list[float] = field(default_factory=list)
    heldout_bits_per_byte: float | None = None
    guard_losses: list[float] = field(default_factory=list)
    guard_norms: list[float] = field(default_factory=list)

    def final_loss(self) -> float | None:
        """Mean loss (nats per target token) of the last steps; None when none was finite."""
        if not self.recent_losses:
            return None
        return math.fsum(self.recent_losses) / len(self.recent_losses)


@dataclass(frozen=True)
class LoopSettings:
    """How the loop runs; `identity` must match the checkpoint it resumes from.

    `heldout` measures bits per byte (on every process) each `heldout_every_steps` and after
    the last step; `describe` adds files to a checkpoint (config, tokenizer).
    """

    name: str
    out: Path
    schedule: Schedule
    micro_batch_size: int
    grad_clip: float
    spike_sigmas: float | None
    spike_window: int
    checkpoint_every_steps: int
    retention: Retention
    identity: Mapping[str, Any]
    heldout: Callable[[], float | None]
    heldout_every_steps: int | None
    describe: Callable[[Path], None]


class Stop:
    """Asked to stop? SIGTERM, SIGINT or SIGHUP came, or the process that started us is gone.

    Under nohup (SIGHUP is ignored) the end of the shell that started us is no reason; that of a
    launcher or an orchestrator is.
    """

    def __init__(self) -> None:
        outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        self._parent = None if outlives and not _is_launched() else os.getppid()
        self._signal: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
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
        if self._parent is not None and os.getppid() != self._parent:
            return "the parent process is gone"
        return None


def run_loop(
    token_loss: TokenLoss,
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    settings: LoopSettings,
    *,
    accelerator: Accelerator,
    reporter: Reporter,
    stop: Stop,
    first_state: Mapping[str, Any],
) -> LoopState:
    """Train to `batches.steps`, continuing from the newest checkpoint in `settings.out`.

    `first_state` is stored with each checkpoint. Raises Interrupted after saving, Diverged when
    nothing but lost steps remains, ConfigError when the checkpoint belongs to another config.
    """
    folder = settings.out / "checkpoints"
    model = token_loss.causal_lm
    state = LoopState()
    found = newest_checkpoint(folder)
    if found is not None:
        check_identity(found.state["identity"], settings.identity, found.path)
        restore(found, model, optimizer)
        state = LoopState(**found.state["loop"])
        log.info("%s: continuing after step %d of %s", settings.name, found.step, found.path.name)
    guard = Guard(
        settings.spike_sigmas, settings.spike_window, state.guard_losses, state.guard_norms
    )
    network: Any = token_loss
    if not is_sharded(token_loss):
        network = accelerator.prepare_model(token_loss)
    writer = CheckpointWriter(folder, settings.retention, settings.describe)

    def save(*, now: bool = False) -> None:
        extra = {"identity": settings.identity, "loop": asdict(state), "facts": first_state}
        writer.wait()  # before the next copy is made: there is never more than one
        snapshot = take_snapshot(
            step=state.finished_steps,
            state=extra,
            model=model,
            optimizer=optimizer,
            keep=accelerator.is_main_process,
        )
        if accelerator.is_main_process:
            (writer.write_now if now else writer.submit)(snapshot)

    with saving(settings.out):
        reporter.start(batches.steps, state.finished_steps)
    try:
        while state.finished_steps < batches.steps:
            step = state.finished_steps
            clock = StepClock()
            lr = settings.schedule(step)
            for group in optimizer.param_groups:
                group["lr"] = lr
            with clock.waiting_for_data():
                plan = batches.plan(step)
            loss, grad_norm = _gradients(network, batches, step, plan, settings, accelerator, clock)
            reason = guard.judge(loss, grad_norm)
            if reason is None:
                optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            _account(state, plan, loss, grad_norm, reason)
            every = settings.heldout_every_steps
            last = state.finished_steps == batches.steps
            due = last or (every is not None and state.finished_steps % every == 0)
            metrics = _metrics(state, plan, loss, grad_norm, lr, batches, reason, clock)
            measured = settings.heldout() if due else None
            if last:
                state.heldout_bits_per_byte = measured
            reporter.step(metrics, measured)
            asked = _agreed_reason(stop.reason(state.finished_steps), accelerator)
            if asked and state.finished_steps < batches.steps:
                save(now=True)
                accelerator.wait_for_everyone()
                raise Interrupted(state.finished_steps, batches.steps, asked)
            if state.lost_in_a_row >= _MOST_LOST_STEPS:
                raise Diverged(
                    f"{settings.name}: the last {state.lost_in_a_row} steps up to step "
                    f"{state.finished_steps} were not finite; lower the learning rate, or branch "
                    f"from an earlier checkpoint of {folder}"
                )
            if _is_due(state.finished_steps, settings):
                save()
    finally:
        writer.wait()
        reporter.finish(writer.failed_writes)
    return state


def check_identity(found: Mapping[str, Any], expected: Mapping[str, Any], where: Path) -> None:
    """ConfigError naming the keys in which a saved run differs from the one asked for."""
    old, new = dict(flat(found)), dict(flat(expected))
    different = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    if different:
        pairs = "; ".join(f"{key}: {old.get(key)!r} -> {new.get(key)!r}" for key in different[:8])
        raise ConfigError(
            f"{where}: expected a run of the same config, found differences ({pairs}). "
            "Choose another `out`, delete this one, or restore the config"
        )


def _gradients(
    network: torch.nn.Module,
    batches: Batches,
    step: int,
    plan: Plan,
    settings: LoopSettings,
    accelerator: Accelerator,
    clock: StepClock,
) -> tuple[float, float]:
    """Loss (nats per target token of the whole step) and gradient norm before clipping."""
    world, rank = accelerator.num_processes, accelerator.process_index
    mine = list(range(rank, plan.rows, world))
    micro = settings.micro_batch_size
    passes = math.ceil(math.ceil(plan.rows / world) / micro)
    total = torch.zeros((), dtype=torch.float64, device=accelerator.device)
    for number in range(passes):
        with clock.waiting_for_data():
            indices = mine[number * micro : (number + 1) * micro]
            batch = collate(batches.rows(step, indices)).arguments(accelerator.device)
        last = number == passes - 1
        with _gradient_sync(network, accelerator, last):
            loss_sum = network(**batch)
            # Gradients are averaged over processes; the factor turns that into their sum.
            accelerator.backward(loss_sum * (world / plan.target_tokens))
        total += loss_sum.detach()
    if world > 1:
        total = accelerator.reduce(total, "sum")
    norm = accelerator.clip_grad_norm_(network.parameters(), settings.grad_clip)
    grad_norm = math.nan if norm is None else float(whole(norm))
    return float(total) / plan.target_tokens, grad_norm


def _account(
    state: LoopState, plan: Plan, loss: float, grad_norm: float, skip_reason: str | None
) -> None:
    state.finished_steps += 1
    state.tokens += plan.target_tokens
    for name, tokens in plan.source_tokens.items():
        state.tokens_per_source[name] = state.tokens_per_source.get(name, 0) + tokens
    lost = not (math.isfinite(loss) and math.isfinite(grad_norm))
    state.lost_in_a_row = state.lost_in_a_row + 1 if lost else 0
    if skip_reason is not None:
        state.skipped_steps += 1
        log.warning("step %d skipped: %s", state.finished_steps, skip_reason)
    else:
        state.recent_losses = [*state.recent_losses, loss][-_FINAL_LOSS_STEPS:]


def _metrics(
    state: LoopState,
    plan: Plan,
    loss: float,
    grad_norm: float,
    lr: float,
    batches: Batches,
    skip_reason: str | None,
    clock: StepClock,
) -> StepMetrics:
    bits = loss / math.log(2) / batches.bytes_per_token
    seconds = clock.seconds()
    return StepMetrics(
        step=state.finished_steps,
        loss=_finite(loss),
        bits_per_byte_estimate=_finite(bits),
        lr=lr,
        grad_norm=_finite(grad_norm),
        skipped=skip_reason is not None,
        skip_reason=skip_reason,
        tokens=state.tokens,
        step_seconds=round(seconds, 4),
        tokens_per_second=round(plan.target_tokens / max(1e-9, seconds), 1),
        data_wait_share=round(clock.data_seconds / max(1e-9, seconds), 4),
    )


def _finite(value: float) -> float | None:
    return round(value, 6) if math.isfinite(value) else None


def _is_due(finished_steps: int, settings: LoopSettings) -> bool:
    due = finished_steps % settings.checkpoint_every_steps == 0
    return due or settings.retention.for_good(finished_steps)


def _gradient_sync(network: Any, accelerator: Accelerator, last: bool) -> Any:
    if is_sharded(network):
        network.set_requires_gradient_sync(last)
        return contextlib.nullcontext()
    return contextlib.nullcontext() if last else accelerator.no_sync(network)


def _agreed_reason(reason: str | None, accelerator: Accelerator) -> str | None:
    """All processes stop when one is asked to."""
    if accelerator.num_processes == 1:
        return reason
    flag = torch.tensor(float(reason is not None), device=accelerator.device)
    asked = float(accelerator.reduce(flag, "sum")) > 0
    return (reason or "another process was asked to stop") if asked else None


def _is_launched() -> bool:
    """Whether torchrun, accelerate or an orchestrator started this process."""
    return not os.environ.keys().isdisjoint(_LAUNCHERS_VARIABLES)
