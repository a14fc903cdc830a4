"""The loss of a large vocabulary: equal to the plain one, without its logits."""

import sys
from types import ModuleType
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from training.config import ConfigError
from training.loss import CHUNK_ENTRIES, ChunkedLoss, choose_loss, loss_function, plain_loss

CPU = torch.device("cpu")


def _inputs(tokens: int, width: int, vocab: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(tokens, width, generator=generator)
    weight = torch.randn(vocab, width, generator=generator) * 0.3
    labels = torch.randint(vocab, (tokens,), generator=generator)
    return [hidden.requires_grad_(), weight.requires_grad_(), labels]


def _run(function: Any, inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    loss = function(*inputs)
    return [loss.detach(), *torch.autograd.grad(loss * 0.125, inputs[:2])]


@pytest.mark.parametrize("tokens", [1, 7, 64])
@pytest.mark.parametrize("chunk_tokens", [1, 5, 64])
def test_chunked_equals_plain(tokens: int, chunk_tokens: int) -> None:
    inputs = _inputs(tokens, 16, 50)
    chunked = ChunkedLoss(chunk_entries=50 * chunk_tokens)
    for ours, plain in zip(_run(chunked, inputs), _run(plain_loss, inputs), strict=True):
        assert torch.allclose(ours, plain, rtol=1e-5, atol=1e-6)


def test_chunked_equals_plain_in_bf16_with_fp32_weight_gradients() -> None:
    inputs = _inputs(64, 16, 50)
    exact = _run(plain_loss, inputs)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = _run(ChunkedLoss(chunk_entries=50 * 8), inputs)
    for mine, expected in zip(ours, exact, strict=True):
        assert mine.dtype == torch.float32
        assert float((mine - expected).abs().max()) < 2e-2 * float(expected.abs().max())


def test_a_tied_weight_gets_both_gradients() -> None:
    weight = torch.randn(20, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    ids, labels = torch.arange(12), torch.arange(3, 15)
    grads = [
        torch.autograd.grad(function(weight[ids].tanh(), weight, labels), weight)[0]
        for function in (ChunkedLoss(chunk_entries=60), plain_loss)
    ]
    assert torch.allclose(*grads, rtol=1e-5, atol=1e-6)


def test_no_targets_is_no_loss() -> None:
    hidden = torch.zeros(0, 8, requires_grad=True)
    weight = torch.ones(20, 8, requires_grad=True)
    labels = torch.zeros(0, dtype=torch.long)
    loss, for_hidden, for_weight = _run(ChunkedLoss(), [hidden, weight, labels])
    assert float(loss) == 0.0 and for_hidden.shape == (0, 8) and not bool(for_weight.any())


class _Largest(TorchDispatchMode):
    """The most elements that any tensor made inside had."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for item in out if isinstance(out, tuple | list) else (out,):
            if isinstance(item, torch.Tensor):
                self.elements = max(self.elements, item.numel())
        return out


def test_logits_of_the_paper_vocabulary_are_never_materialised() -> None:
    tokens, vocab = 96, 96_640
    inputs = _inputs(tokens, 8, vocab)
    with _Largest() as plain:
        _run(plain_loss, inputs)
    with _Largest() as chunked:
        _run(ChunkedLoss(chunk_entries=16 * vocab), inputs)
    assert plain.elements == tokens * vocab
    assert chunked.elements == 16 * vocab


def test_liger_is_taken_on_a_gpu_that_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_loss("auto", CPU) == "chunked"
    with pytest.raises(ConfigError, match=r"liger.*(pip install 'liger-kernel|CUDA)"):
        choose_loss("liger", CPU)
    calls: list[dict[str, Any]] = []

    def fused(hidden: Any, weight: Any, labels: Any, **named: Any) -> torch.Tensor:
        calls.append(named)
        assert hidden.dtype == weight.dtype
        return plain_loss(hidden, weight, labels)

    names = ("liger_kernel", "liger_kernel.transformers", "liger_kernel.transformers.functional")
    for name in names:
        module = ModuleType(name)
        module.__spec__ = object()  # type: ignore[assignment]
        module.liger_fused_linear_cross_entropy = fused  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, name, module)
    assert choose_loss("auto", torch.device("cuda")) == "liger"
    inputs = _inputs(8, 16, 50)
    for ours, plain in zip(
        _run(loss_function("liger"), inputs), _run(plain_loss, inputs), strict=True
    ):
        assert torch.equal(ours, plain)
    logits_over_activations = CHUNK_ENTRIES // (8 * 16)
    assert calls == [
        {
            "reduction": "sum",
            "accum_dtype": torch.float32,
            "chunk_mem_const": logits_over_activations,
        }
    ]
