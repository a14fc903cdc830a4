"""How a run executes: attention kernel, loss kernel, precision, compilation, checkpointing, FSDP.

Nothing here is part of a run's identity except its precision: the same config gives the same
model, up to rounding, whatever is chosen. `auto` tries things and says once what it took and why
not the rest; an explicit choice that cannot run is an error before the first step.
Paper: section 3.2 (Megatron-LM with a distributed optimizer; ours is PyTorch alone).
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch.utils.checkpoint import checkpoint

from training.attention import Attention, HeadShape, choose_attention
from training.config import ConfigError
from training.loss import LossName, choose_loss, loss_function
from training.model import TokenLoss
from training.parallel import is_sharded
from training.precision import Precision, apply_precision

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

log = logging.getLogger(__name__)


class SpeedChoices(Protocol):
    """The keys of a run's config that this module reads."""

    @property
    def attention(self) -> str: ...
    @property
    def loss(self) -> str: ...
    @property
    def compile(self) -> str: ...
    @property
    def activation_checkpointing(self) -> bool: ...


@dataclass(frozen=True)
class Speed:
    """Resolved execution choices of a run."""

    precision: Precision
    attention: Attention
    loss: LossName
    compiled: bool
    activation_checkpointing: bool

    def describe(self) -> dict[str, object]:
        """The choices by name, for logs and reports."""
        return {
            "precision": self.precision,
            "attention": self.attention.name,
            "loss": self.loss,
            "compiled": self.compiled,
            "activation_checkpointing": self.activation_checkpointing,
        }


def choose_speed(
    choices: SpeedChoices, model: LlamaForCausalLM, device: torch.device, precision: Precision
) -> Speed:
    """Resolve the choices for a model on a device; ConfigError when one cannot run."""
    activations = torch.float32 if precision == "fp32" else torch.bfloat16
    return Speed(
        precision=precision,
        attention=choose_attention(
            choices.attention, head_shape(model), device=device, dtype=activations
        ),
        loss=choose_loss(choices.loss, device),
        compiled=_choose_compile(choices.compile, device),
        activation_checkpointing=choices.activation_checkpointing,
    )


def make_network(model: LlamaForCausalLM, speed: Speed) -> TokenLoss:
    """Apply the choices to a model (in place) and wrap it with its loss.

    Names and shapes of the weights stay those of the model.
    """
    apply_precision(model, speed.precision)
    model.set_attn_implementation(speed.attention.implementation)
    for layer in model.model.layers:
        # The method, not the module: names and hooks stay, and equal blocks share one compilation.
        if speed.compiled:
            layer.forward = torch.compile(layer.forward)
        if speed.activation_checkpointing:
            layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)
    return TokenLoss(
        model,
        loss_function(speed.loss, compiled=speed.compiled),
        as_one_row=not speed.attention.makes_masks,
    )


@contextlib.contextmanager
def evaluating(network: TokenLoss) -> Iterator[TokenLoss]:
    """The network as a plain causal model: texts of any length, nothing compiled, no flash kernel.

    Every process must take part when it is sharded.
    """
    model = network.causal_lm
    implementation = model.config._attn_implementation
    model.set_attn_implementation("sdpa")
    try:
        with torch.compiler.set_stance("force_eager"):
            yield network
    finally:
        model.set_attn_implementation(implementation)
        if is_sharded(network):
            network.reshard()


def head_shape(model: LlamaForCausalLM) -> HeadShape:
    """What the attention of a model looks like to a kernel."""
    config = model.config
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    return HeadShape(config.num_attention_heads, config.num_key_value_heads, head_dim)


def _choose_compile(choice: str, device: torch.device) -> bool:
    if choice == "never" or (choice == "auto" and device.type != "cuda"):
        return False
    reason = _compile_refusal(device)
    if reason is None:
        log.info("compile: per block")
        return True
    if choice == "always":
        raise ConfigError(
            f"compile: expected torch.compile to work here: {reason}; choose `compile: never`"
        )
    log.warning("compile: off (%s)", reason)
    return False


def _compile_refusal(device: torch.device) -> str | None:
    """Compile and run one small function: a missing C compiler shows only then."""
    try:
        torch.compile(_compile_probe)(torch.ones(8, device=device))
    except Exception as problem:  # noqa: BLE001 (whatever the tool chain raises is the reason)
        line = (str(problem).splitlines() or [""])[0][:200]
        return f"torch.compile failed: {type(problem).__name__}: {line}"
    return None


def _compile_probe(values: torch.Tensor) -> torch.Tensor:
    return values * 2 + 1
