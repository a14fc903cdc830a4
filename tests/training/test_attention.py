"""Attention: packed equals separate on each backend, the kernels' contract, probes, refusals."""

import importlib.metadata
import logging
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from training import attention
from training.attention import (
    BACKENDS,
    HeadShape,
    choose_attention,
    implementation_of,
    reference_attention,
    refusal,
    register,
)
from training.config import ConfigError, ModelConfig
from training.data import IGNORED, Rows, restarting_positions
from training.model import TokenLoss, new_model
from training.packing import collate

CPU = torch.device("cpu")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
HALF = DEVICE.type == "cuda"
DTYPE = torch.bfloat16 if HALF else torch.float32
MODEL = ModelConfig(
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=32,
)
SHAPE = HeadShape(heads=4, kv_heads=2, head_dim=32)
# Two rows of 48: single tokens, a row that one document fills, repeated lengths.
DOCUMENTS = ((20, 1, 1, 26), (48,))
FLASH = ("flash_attention_2", "flash_attention_3", "flash_attention_4")


def _model(implementation: str, device: torch.device = CPU) -> torch.nn.Module:
    torch.manual_seed(0)
    model = new_model(MODEL, vocab_size=128, context_length=64, end_of_text=0, pad=1)
    model.set_attn_implementation(implementation)
    return model.to(device)


def _rows(documents: tuple[tuple[int, ...], ...], tokens: np.ndarray) -> Rows:
    starts = np.zeros(tokens.shape, dtype=bool)
    for row, lengths in enumerate(documents):
        starts[row, np.cumsum((0, *lengths[:-1]))] = True
    positions = np.stack([restarting_positions(row) for row in starts])
    return Rows(tokens, np.roll(tokens, -1, axis=1), positions)


def _loss_and_gradients(model: torch.nn.Module, rows: Rows) -> tuple[float, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    device = next(model.parameters()).device
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda"):
        loss = TokenLoss(model)(**collate(rows).arguments(device))
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in model.parameters()])


def _packed_and_separate(model: torch.nn.Module) -> list[tuple[float, torch.Tensor]]:
    tokens = np.random.default_rng(1).integers(4, 128, (2, 48))
    packed = _rows(DOCUMENTS, tokens)
    loss, gradients = 0.0, torch.zeros((), device=next(model.parameters()).device)
    for row, lengths in enumerate(DOCUMENTS):
        for begin, length in zip(np.cumsum((0, *lengths)), lengths, strict=False):
            part = (slice(row, row + 1), slice(begin, begin + length))
            one = Rows(packed.inputs[part], packed.labels[part], packed.positions[part])
            more, gradient = _loss_and_gradients(model, one)
            loss, gradients = loss + more, gradients + gradient
    return [_loss_and_gradients(model, packed), (loss, gradients)]


def _assert_equal(results: list[tuple[float, torch.Tensor]], tolerance: float) -> None:
    (loss, gradients), (other_loss, other_gradients) = results
    assert loss == pytest.approx(other_loss, rel=tolerance)
    scale = float(other_gradients.abs().max())
    assert float((gradients - other_gradients).abs().max()) < tolerance * scale


@pytest.mark.parametrize("name", BACKENDS)
def test_packed_equals_separate(name: Any) -> None:
    reason = refusal(name, SHAPE, device=DEVICE, dtype=DTYPE)
    if reason is not None:
        pytest.skip(f"{name}: {reason}")
    results = _packed_and_separate(_model(implementation_of(name), DEVICE))
    _assert_equal(results, 3e-2 if HALF else 1e-5)


def test_a_leak_would_be_noticed() -> None:
    model = _model("sdpa")
    tokens = np.random.default_rng(1).integers(4, 128, (2, 48))
    leaking = _loss_and_gradients(model, _rows(((48,), (48,)), tokens))
    with pytest.raises(AssertionError):
        _assert_equal([leaking, _packed_and_separate(model)[0]], 1e-3)


def _checked_kernel(calls: list[dict[str, Any]], returns_tuple: bool) -> Any:
    """What stands in for a flash kernel: checks its arguments, computes the reference."""

    def flash_attn_varlen_func(
        q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, **named: Any
    ) -> Any:
        cu_seqlens = named["cu_seqlens_q"]
        assert set(named) == {
            "cu_seqlens_q", "cu_seqlens_k", "max_seqlen_q", "max_seqlen_k", "softmax_scale",
            "causal",
        }  # fmt: skip
        assert named["cu_seqlens_k"] is cu_seqlens and cu_seqlens.dtype == torch.int32
        assert cu_seqlens.ndim == 1 and cu_seqlens.device == q.device
        assert cu_seqlens[0] == 0 and cu_seqlens[-1] == q.shape[0]
        assert bool((cu_seqlens.diff() >= 0).all())
        assert named["causal"] is True and named["softmax_scale"] == 32**-0.5
        assert type(named["max_seqlen_q"]) is int
        assert named["max_seqlen_q"] == named["max_seqlen_k"] >= int(cu_seqlens.diff().max())
        assert q.shape[1:] == (4, 32) and k.shape == v.shape == (q.shape[0], 2, 32)
        assert q.dtype == k.dtype == v.dtype
        calls.append(named)
        out = reference_attention(q, k, v, cu_seqlens)
        return (out, None) if returns_tuple else out

    return flash_attn_varlen_func


@pytest.mark.parametrize("name", FLASH)
def test_flash_kernels_get_documents_and_never_a_mask(
    name: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[dict[str, Any]] = []
    kernel = _checked_kernel(calls, returns_tuple=name != "flash_attention_2")
    flash_attn, cute, interface = (
        ModuleType(n) for n in ("flash_attn", "flash_attn.cute", "flash_attn_interface")
    )
    home = {"flash_attention_2": flash_attn, "flash_attention_3": interface}.get(name, cute)
    home.flash_attn_varlen_func = kernel  # type: ignore[attr-defined]
    for module in (flash_attn, cute, interface):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    implementation = implementation_of(name)
    assert "flash" not in implementation  # a name with it makes transformers look for kernels
    model = _model(implementation)
    _assert_equal(_packed_and_separate(model), 1e-5)
    assert len(calls) == 2 * 6  # two layers; one packed batch and five documents
    # Ordinary use of the model (no packing): each row is a document.
    ids = torch.arange(4, 24).view(2, 10)
    plain = model(input_ids=ids, use_cache=False).logits
    assert calls[-1]["cu_seqlens_q"].tolist() == [0, 10, 20] and calls[-1]["max_seqlen_q"] == 10
    model.set_attn_implementation("sdpa")
    assert torch.allclose(plain, model(input_ids=ids, use_cache=False).logits, atol=1e-5)


def test_a_mask_or_a_cache_is_refused_not_ignored() -> None:
    kernel = attention._flash(_checked_kernel([], returns_tuple=False))
    model = _model(register("flash_attention_2", kernel))
    ids = torch.arange(4, 14).view(1, 10)
    with pytest.raises(ValueError, match="no attention_mask"):
        mask = torch.zeros(1, 1, 10, 10)
        model(input_ids=ids, attention_mask=mask, use_cache=False)
    cached = model(input_ids=ids, use_cache=True).past_key_values
    with pytest.raises(ValueError, match="no key/value cache"):
        model(input_ids=ids[:, :1], past_key_values=cached, use_cache=True)


@pytest.mark.parametrize("installed", ["flash-attn", "flash-attn-4"])
def test_one_import_package_two_kernels(installed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(distribution: str) -> str:
        if distribution != installed:
            raise importlib.metadata.PackageNotFoundError(distribution)
        return "2.8.3"

    monkeypatch.setattr(importlib.metadata, "version", version)
    gpu, bf16 = torch.device("cuda"), torch.bfloat16
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (9, 0))
    monkeypatch.setattr(attention, "_probe_error", lambda *_: 0.0)
    ran = {name: refusal(name, SHAPE, device=gpu, dtype=bf16) for name in FLASH}
    assert [name for name, reason in ran.items() if reason is None] == [
        "flash_attention_2" if installed == "flash-attn" else "flash_attention_4"
    ]
    # On Blackwell, FlashAttention 4 lacks the width of the 1.5B model.
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (10, 0))
    wide = HeadShape(heads=14, kv_heads=14, head_dim=160)
    reason = refusal("flash_attention_4", wide, device=gpu, dtype=bf16) or ""
    assert ("head_dim" in reason) == (installed == "flash-attn-4")


def test_auto_logs_the_choice_and_each_refusal_in_a_line(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        chosen = choose_attention("auto", SHAPE, device=torch.device("cpu"), dtype=torch.float32)
    assert chosen.name == chosen.implementation == "sdpa"
    assert list(chosen.refusals) == list(BACKENDS[:4])
    lines = [line for line in caplog.messages if line.startswith("attention: ")]
    assert len(lines) == 5 and lines[-1] == "attention: sdpa (cpu, float32)"
    assert all("refused: " in line for line in lines[:4])


@pytest.mark.parametrize(
    ("name", "fragments"),
    [
        ("flash_attention_2", ["pip install --no-build-isolation flash-attn==2.8.3.post2"]),
        ("flash_attention_3", ["flash-attn-3", "python setup.py install"]),
        ("flash_attention_4", ["pip install 'flash-attn-4[cu13]>=4.0.0b36'"]),
        ("varlen", ["CUDA device"]),
    ],
)
def test_an_explicit_choice_that_cannot_run_says_why(name: str, fragments: list[str]) -> None:
    with pytest.raises(ConfigError, match=name) as caught:
        choose_attention(name, SHAPE, device=torch.device("cpu"), dtype=torch.float32)
    assert all(fragment in str(caught.value) for fragment in [*fragments, "attention: auto"])


@pytest.mark.parametrize("fault", ["wrong", "nan", "raises"])
def test_a_kernel_that_runs_wrong_is_refused(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu: Any, *_: Any) -> torch.Tensor:
        if fault == "raises":
            raise RuntimeError("no kernel image\nfor this device")
        leaking = reference_attention(q, k, v, cu[[0, -1]])  # one document: they see each other
        return leaking * (float("nan") if fault == "nan" else 1.0)

    def kernel(cu_honoured: bool) -> str | None:
        def honest(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, cu: Any, *_: Any) -> Any:
            return reference_attention(q, k, v, cu)

        monkeypatch.setitem(attention._VARLEN, "varlen", lambda: honest if cu_honoured else broken)
        return refusal("varlen", SHAPE, device=torch.device("cpu"), dtype=torch.float32)

    monkeypatch.setattr(attention, "_missing", lambda *_: None)
    assert kernel(cu_honoured=True) is None
    reason = kernel(cu_honoured=False)
    words = {"wrong": "differs", "nan": "inf", "raises": "RuntimeError: no kernel image"}
    assert reason is not None and words[fault] in reason and "\n" not in reason


def test_torch_varlen_speaks_to_each_version_of_its_function(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch.nn.attention.varlen as varlen

    seen: list[dict[str, Any]] = []

    def newer(q, k, v, cu, _cu, mq, mk, *, scale=None, window_size=(-1, -1), enable_gqa=False):  # type: ignore[no-untyped-def]
        seen.append({"window_size": window_size, "gqa": enable_gqa, "kv": k.shape[1], "s": scale})
        return q

    def older(q, k, v, cu, _cu, mq, mk, is_causal=False):  # type: ignore[no-untyped-def]
        seen.append({"is_causal": is_causal, "kv": k.shape[1]})
        return q

    q, kv = torch.zeros(6, 4, 8), torch.zeros(6, 2, 8)
    for function in (newer, older):
        monkeypatch.setattr(varlen, "varlen_attn", function)
        attention._torch_varlen()(q, kv, kv, torch.tensor([0, 6]), 6, 0.5)
    assert seen == [
        {"window_size": (-1, 0), "gqa": True, "kv": 2, "s": 0.5},
        {"is_causal": True, "kv": 4},
    ]


def test_the_collator_emits_boundaries_and_targets() -> None:
    tokens = np.arange(96).reshape(2, 48)
    rows = _rows(DOCUMENTS, tokens)
    batch = collate(rows)
    assert set(batch.arguments(torch.device("cpu"))) == {
        "input_ids", "labels", "position_ids", "cu_seqlens", "max_seqlen", "targets",
    }  # fmt: skip
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.cu_seqlens.tolist() == [0, 20, 21, 22, 48] + [96] * 12
    assert batch.max_seqlen == 48 and batch.targets is None
    rows.labels[0, :47] = IGNORED
    targets = collate(rows).targets
    assert targets is not None and targets.tolist() == list(range(47, 96))
    rows.positions[1, 0] = 3
    with pytest.raises(ValueError, match="begin at 0"):
        collate(rows)
