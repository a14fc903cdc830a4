"""MFU: the PaLM formula against worked figures, and no figure for a device nobody knows."""

import pytest
import torch
from transformers.models.llama.configuration_llama import LlamaConfig

from training.mfu import flops_per_token, mfu, peak_flops


def _config(**changes: int) -> LlamaConfig:
    values = {
        "vocab_size": 96_640,
        "hidden_size": 2240,
        "intermediate_size": 6144,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 14,
        "head_dim": 160,
    }
    return LlamaConfig(**{**values, **changes})


def test_flops_of_the_paper_models() -> None:
    # 24 x (4 x 2240^2 + 3 x 2240 x 6144) + 96,640 x 2240 weights, and the attention term.
    weights = 24 * (4 * 2240**2 + 3 * 2240 * 6144) + 96_640 * 2240
    assert flops_per_token(_config(), 4096) == 6 * weights + 12 * 24 * 2240 * 4096
    grouped = _config(
        hidden_size=4096,
        intermediate_size=14_336,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=8,
        head_dim=128,
    )
    assert flops_per_token(grouped, 8192) == pytest.approx(57.1e9, rel=0.01)


def test_weights_are_those_of_the_real_model_without_embedding_and_norms() -> None:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    config = _config(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        vocab_size=256,
    )
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    matrices = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear))
    assert flops_per_token(config, 0) == 6 * matrices


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.4),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H200", 989.4),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", None),
        ("NVIDIA H100", None),
        ("AMD Instinct MI300X", None),
        ("cpu", None),
    ],
)
def test_unknown_devices_have_no_peak(name: str, tflops: float | None) -> None:
    assert peak_flops(name) == (None if tflops is None else tflops * 1e12)


def test_mfu_of_the_published_rate() -> None:
    peak = peak_flops("NVIDIA H800")
    assert mfu(19_819, flops_per_token(_config(), 4096), peak) == pytest.approx(0.256, abs=1e-3)
    assert mfu(19_819, 1e9, None) is None
