"""Execution choices change how a run computes, never what: and what cannot run says so."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training import precision, speed
from training.config import ConfigError, ModelConfig
from training.data import Rows
from training.model import TokenLoss, new_model
from training.packing import collate
from training.precision import choose_precision, is_fp8_matrix
from training.runs import pretrain
from training.speed import choose_speed, evaluating, make_network

CPU = torch.device("cpu")
MODEL = ModelConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    tie_word_embeddings=True,
)


@dataclass(frozen=True)
class Choices:
    attention: str = "auto"
    loss: str = "auto"
    compile: str = "auto"
    activation_checkpointing: bool = False


def _model() -> Any:
    torch.manual_seed(0)
    return new_model(MODEL, vocab_size=128, context_length=64, end_of_text=0, pad=1)


def _loss_and_gradients(choices: Choices) -> tuple[float, dict[str, torch.Tensor]]:
    model = _model()
    network = make_network(model, choose_speed(choices, model, CPU, "fp32"))
    tokens = np.random.default_rng(0).integers(4, 128, (2, 24))
    positions = np.concatenate([np.arange(9), np.arange(15)])
    batch = collate(Rows(tokens, np.roll(tokens, -1, 1), np.stack([positions, np.arange(24)])))
    loss = network(**batch.arguments(CPU))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return float(loss.detach()), gradients


@pytest.mark.parametrize(
    "choices",
    [
        Choices(activation_checkpointing=True),
        Choices(attention="eager"),
        Choices(loss="plain"),
        pytest.param(Choices(compile="always"), marks=pytest.mark.slow),
        pytest.param(
            Choices(compile="always", activation_checkpointing=True), marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_a_choice_does_not_change_loss_or_gradients(choices: Choices) -> None:
    loss, gradients = _loss_and_gradients(choices)
    expected, expected_gradients = _loss_and_gradients(Choices())
    assert loss == pytest.approx(expected, rel=1e-6)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in gradients.items():
        assert torch.allclose(gradient, expected_gradients[name], rtol=1e-4, atol=1e-5), name


def test_checkpointing_keeps_less_for_the_backward_pass() -> None:
    def saved_elements(choices: Choices) -> int:
        total = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal total
            total += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            _loss_and_gradients(choices)
        return total

    assert saved_elements(Choices(activation_checkpointing=True)) < 0.7 * saved_elements(Choices())


def test_a_run_with_other_kernels_is_the_same_run(
    world: Any, finished_run: Path, tmp_path: Path
) -> None:
    summary = pretrain(
        world.pretrain(
            tmp_path / "run", attention="eager", loss="plain", activation_checkpointing=True
        )
    )
    expected = json.loads((finished_run / "summary.json").read_text())
    assert summary["final_loss"] == pytest.approx(expected["final_loss"], abs=1e-5)
    timing = json.loads((tmp_path / "run/logs/timing.json").read_text())
    assert timing["speed"] == {
        "precision": "fp32",
        "attention": "eager",
        "loss": "plain",
        "compiled": False,
        "activation_checkpointing": True,
    }
    exported = json.loads((tmp_path / "run/model/config.json").read_text())
    assert not any("attn" in key for key in exported)


def test_evaluation_is_plain_and_leaves_no_trace() -> None:
    model = _model()
    model.set_attn_implementation("eager")
    network = TokenLoss(model)
    ids = torch.arange(4, 14)[None]
    with pytest.raises(RuntimeError, match="inside"), evaluating(network) as evaluated:
        assert model.config._attn_implementation == "sdpa"
        logits = evaluated(input_ids=ids, use_cache=False).logits
        assert torch.equal(logits, model(input_ids=ids, use_cache=False).logits)
        raise RuntimeError("inside")
    assert model.config._attn_implementation == "eager"


def test_compile_degrades_loudly_or_is_an_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(_: object) -> Any:
        raise RuntimeError("no C compiler found\nsee the log")

    monkeypatch.setattr(torch, "compile", no_compiler)
    monkeypatch.setattr(speed.torch, "ones", lambda *_, **__: None)
    assert not speed._choose_compile("auto", CPU)  # not even tried
    assert not speed._choose_compile("never", torch.device("cuda"))
    with caplog.at_level(logging.WARNING):
        assert not speed._choose_compile("auto", torch.device("cuda"))
    assert caplog.messages == [
        "compile: off (torch.compile failed: RuntimeError: no C compiler found)"
    ]
    with pytest.raises(ConfigError, match=r"no C compiler found; choose `compile: never`"):
        speed._choose_compile("always", CPU)


@pytest.mark.parametrize(
    ("flags", "has_units"),
    [
        ("flags\t\t: fpu avx2 avx512f\n", False),
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile\n", True),
        ("processor : 0\nFeatures\t: fp asimd bf16\n", True),
        ("model name : bf16 of a name\n", False),
    ],
)
def test_bf16_on_a_cpu_needs_its_units(
    flags: str, has_units: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(flags)
    monkeypatch.setattr(precision, "_CPU_INFO", info)
    assert choose_precision("auto", CPU) == choose_precision("fp32", CPU) == "fp32"
    if has_units:
        assert choose_precision("bf16", CPU) == "bf16"
    else:
        with pytest.raises(ConfigError, match=r"precision: .* emulates bf16"):
            choose_precision("bf16", CPU)


def test_fp8_is_refused_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    with pytest.raises(ConfigError, match="CUDA device, found cpu"):
        choose_precision("fp8", CPU)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
    assert choose_precision("auto", gpu) == "bf16"
    with pytest.raises(ConfigError, match=r"below 8\.9"):
        choose_precision("fp8", gpu)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    with pytest.raises(ConfigError, match=r"pip install 'torchao"):
        choose_precision("fp8", gpu)


def test_fp8_takes_the_matrices_of_the_blocks_only() -> None:
    model = _model()
    chosen = [name for name, module in model.named_modules() if is_fp8_matrix(module, name)]
    assert len(chosen) == 2 * 7 and "lm_head" not in chosen
    precision._check_fp8_sizes(model)
    model.model.layers[1].mlp.up_proj = torch.nn.Linear(32, 50)
    with pytest.raises(ConfigError, match=r"multiples of 16.*layers\.1\.mlp\.up_proj"):
        precision._check_fp8_sizes(model)


def test_bf16_keeps_the_residual_stream_in_bf16_and_weights_in_fp32() -> None:
    model = _model()
    precision.apply_precision(model, "bf16")
    ids = torch.arange(4, 14)[None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = model.model.layers[0](
            model.model.embed_tokens(ids),
            position_embeddings=model.model.rotary_emb(torch.zeros(1), torch.arange(10)[None]),
        )
    assert hidden.dtype == torch.bfloat16
    hidden.float().sum().backward()
    assert all(p.dtype == torch.float32 for p in model.parameters())
    assert model.model.layers[0].mlp.up_proj.weight.grad.dtype == torch.float32
    assert model(input_ids=ids).logits.dtype == torch.float32
