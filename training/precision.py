"""Which arithmetic a run uses: fp32, bf16, or fp8 for the matrices of the blocks.

Weights, optimizer and gradients stay fp32; bf16 is an autocast around them, with the residual
stream in bf16 too. fp8 (torchao, one scale a tensor) is bf16 whose block matrices are multiplied in
8 bits; the output head is left alone. `auto` never picks bf16 on a CPU: most emulate it about
twenty times slower, and a recipe should give one result on every CPU.
Paper: its configurations say bfloat16.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from training.config import ConfigError

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

log = logging.getLogger(__name__)

Precision = Literal["fp32", "bf16", "fp8"]

INSTALL_TORCHAO = "pip install 'torchao>=0.18'"
_FP8_MULTIPLE = 16  # both sides of a matrix, for the 8-bit tensor cores
_CPU_INFO = Path("/proc/cpuinfo")
_BF16_UNITS = ("avx512_bf16", "amx_bf16", "bf16")


def choose_precision(choice: str, device: torch.device) -> Precision:
    """Resolve `precision` of a config; ConfigError when it cannot run on this device."""
    if choice == "fp32":
        return "fp32"
    reason = _bf16_refusal(device)
    if choice == "auto":
        log.info("precision: %s", "bf16" if reason is None and device.type == "cuda" else "fp32")
        return "bf16" if reason is None and device.type == "cuda" else "fp32"
    if choice == "fp8":
        reason = _fp8_refusal(device)
    if reason is not None:
        raise ConfigError(
            f"precision: expected one that runs here, found {choice}: {reason}; "
            "choose `precision: auto`"
        )
    return "fp8" if choice == "fp8" else "bf16"


def apply_precision(model: LlamaForCausalLM, precision: Precision) -> None:
    """Prepare a model for a run in `precision` (in place); names of weights do not change."""
    if precision == "fp32":
        return
    model.model.embed_tokens.register_forward_hook(_to_autocast_dtype)
    if precision == "fp8":
        from torchao.float8 import Float8LinearConfig, convert_to_float8_training

        _check_fp8_sizes(model)
        convert_to_float8_training(
            model,
            config=Float8LinearConfig.from_recipe_name("tensorwise"),
            module_filter_fn=is_fp8_matrix,
        )


def is_fp8_matrix(module: nn.Module, name: str) -> bool:
    """The linear layers of the blocks; the output head loses too much in 8 bits."""
    return isinstance(module, nn.Linear) and ".layers." in f".{name}"


def cpu_has_bf16_units() -> bool:
    """Whether the processor multiplies bf16 itself (AVX512-BF16, AMX, or Arm's BF16)."""
    if not _CPU_INFO.is_file():
        return False
    for line in _CPU_INFO.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return not set(_BF16_UNITS).isdisjoint(value.split())
    return False


def _bf16_refusal(device: torch.device) -> str | None:
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device)[0] >= 8:
            return None
        return "this GPU has no bf16 arithmetic (compute capability below 8.0)"
    return None if cpu_has_bf16_units() else "this CPU only emulates bf16, about 20 times slower"


def _fp8_refusal(device: torch.device) -> str | None:
    if device.type != "cuda":
        return f"fp8 needs a CUDA device, found {device.type}"
    if torch.cuda.get_device_capability(device) < (8, 9):
        return "this GPU has no fp8 arithmetic (compute capability below 8.9)"
    if importlib.util.find_spec("torchao") is None:
        return f"torchao is not installed; install it with: {INSTALL_TORCHAO}"
    return None


def _check_fp8_sizes(model: nn.Module) -> None:
    for name, module in model.named_modules():
        if is_fp8_matrix(module, name) and any(n % _FP8_MULTIPLE for n in module.weight.shape):
            raise ConfigError(
                f"precision: fp8 expects matrices whose sides are multiples of {_FP8_MULTIPLE}, "
                f"found {tuple(module.weight.shape)} in {name}; choose `precision: bf16`"
            )


def _to_autocast_dtype(_: nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
    """A bf16 residual stream under autocast; outside of it (held-out text) nothing changes."""
    kind = output.device.type
    if torch.is_autocast_enabled(kind):
        return output.to(torch.get_autocast_dtype(kind))
    return output
