"""Model FLOPs utilisation (MFU) with the formula's name and a table of known devices.

PaLM's convention: a token costs 6 FLOPs per matrix weight it passes (output head included, input
embedding not) plus 12 x layers x heads x head width x context for attention, causal or not; work
done twice by checkpointing does not count. Peaks are dense bf16, from NVIDIA's data sheets; fp8
runs are quoted against them too. A device that is not in the table has no MFU.
Paper: none; the convention is appendix B of PaLM (arXiv 2204.02311).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers.models.llama.configuration_llama import LlamaConfig

FORMULA = "PaLM"

# Whole names as torch.cuda.get_device_name gives them: a MIG slice ("... MIG 1g.10gb") is another
# device and must not match. TFLOP/s, dense bf16 with fp32 accumulation.
_PEAK_TFLOPS: tuple[tuple[str, float], ...] = (
    (r"NVIDIA B200", 2250.0),
    (r"NVIDIA GH200 (480GB|120GB)", 989.4),
    (r"NVIDIA H200", 989.4),
    (r"NVIDIA H200 NVL", 835.5),
    (r"NVIDIA H[18]00 80GB HBM3|NVIDIA H800", 989.4),
    (r"NVIDIA H100 NVL", 835.5),
    (r"NVIDIA H[18]00 PCIe", 756.5),
    (r"NVIDIA A[18]00-(SXM4|PCIE)-[48]0GB|NVIDIA A[18]00 80GB PCIe", 312.0),
    (r"NVIDIA L40S", 362.1),
    (r"NVIDIA L40", 181.1),
    (r"NVIDIA L4", 121.0),
    (r"NVIDIA A40", 149.7),
    (r"NVIDIA A10", 125.0),
    (r"NVIDIA GeForce RTX 4090", 165.2),
    (r"NVIDIA GeForce RTX 3090", 71.0),
)


def peak_flops(device_name: str) -> float | None:
    """Dense bf16 peak in FLOP/s of a device by its full name; None when it is not in the table."""
    for pattern, tflops in _PEAK_TFLOPS:
        if re.fullmatch(pattern, device_name):
            return tflops * 1e12
    return None


def device_peak_flops() -> float | None:
    """Peak of the current CUDA device; None on a CPU and for a device of unknown peak."""
    import torch

    return peak_flops(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def flops_per_token(config: LlamaConfig, context_length: int) -> float:
    """FLOPs of one token, forward and backward, by the PaLM formula."""
    head_dim = config.head_dim or config.hidden_size // config.num_attention_heads
    query_width = config.num_attention_heads * head_dim
    key_width = config.num_key_value_heads * head_dim
    layer_weights = config.hidden_size * (
        2 * query_width + 2 * key_width + 3 * config.intermediate_size
    )
    weights = config.num_hidden_layers * layer_weights + config.vocab_size * config.hidden_size
    attention = 12 * config.num_hidden_layers * query_width * context_length
    return float(6 * weights + attention)


def mfu(tokens_per_second: float, token_flops: float, peak: float | None) -> float | None:
    """Share (0..1) of one device's peak, for the tokens per second of that device."""
    return None if peak is None else tokens_per_second * token_flops / peak
