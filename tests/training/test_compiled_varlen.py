"""torch's variable-length attention inside compiled blocks, traced and differentiated on a CPU.

The operator is torch's own with its tracing rules and its autograd formula; only its kernel, which
exists for GPUs alone, is replaced by plain arithmetic.
"""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from training.attention import Attention, implementation_of, reference_attention
from training.config import ModelConfig
from training.data import Rows, restarting_positions
from training.loss import ChunkedLoss, plain_loss
from training.model import TokenLoss, new_model
from training.packing import collate
from training.precision import Precision
from training.speed import Speed, make_network

pytest.importorskip("torch.nn.attention.varlen", reason="torch has no variable-length attention")

CPU = torch.device("cpu")
MODEL = ModelConfig(
    hidden_size=64,
    intermediate_size=64,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    head_dim=16,
)
LENGTH = 256


@pytest.fixture(scope="module", autouse=True)
def _varlen_on_a_cpu() -> None:
    def forward(q: Any, k: Any, v: Any, cu_seqlens: Any, *_: Any) -> tuple[torch.Tensor, ...]:
        out = reference_attention(q, k, v, cu_seqlens)
        lse = torch.zeros(q.shape[1], q.shape[0])
        return out, lse, torch.zeros(2, dtype=torch.uint64)

    torch.library.register_kernel("torch_attn::_varlen_attn", "cpu", forward)
    torch.library.register_kernel("torch_attn::_varlen_attn_backward", "cpu", _attention_gradients)


def _attention_gradients(
    upstream: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, *rest: Any
) -> tuple[torch.Tensor, ...]:
    """By hand: below an operator there is no autograd. Shapes (tokens, heads, width)."""
    cu_seqlens, groups, scale = rest[2], q.shape[1] // k.shape[1], q.shape[2] ** -0.5
    grads = [torch.zeros_like(x) for x in (q, k, v)]
    for begin, end in itertools.pairwise(cu_seqlens.tolist()):
        part = slice(begin, end)
        up, ours = (x[part].transpose(0, 1).float() for x in (upstream, q))
        keys, values = (
            x[part].repeat_interleave(groups, dim=1).transpose(0, 1).float() for x in (k, v)
        )
        hidden = torch.ones(end - begin, end - begin, dtype=torch.bool).triu(1)
        scores = (ours @ keys.mT * scale).masked_fill(hidden, float("-inf"))
        weights = scores.softmax(-1)
        inner = up @ values.mT
        slope = weights * (inner - (inner * weights).sum(-1, keepdim=True)) * scale
        for grad, found in zip(
            grads, (slope @ keys, slope.mT @ ours, weights.mT @ up), strict=True
        ):
            by_head = found.transpose(0, 1)
            grad[part] = by_head.unflatten(1, (grad.shape[1], -1)).sum(2).to(grad.dtype)
    return tuple(grads)


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> CompileCounterWithBackend:
    """Blocks are traced with their backward pass, but no code is generated."""
    counter = CompileCounterWithBackend("aot_eager")
    compile_anything = torch.compile
    monkeypatch.setattr(
        torch,
        "compile",
        lambda function: compile_anything(function, backend=counter, fullgraph=True),
    )
    torch.compiler.reset()
    return counter


def _network(name: Any, precision: Precision, *, compiled: bool, recompute: bool) -> TokenLoss:
    torch.manual_seed(0)
    model = new_model(MODEL, vocab_size=128, context_length=LENGTH, end_of_text=0, pad=1)
    attention = Attention(name, implementation_of(name), {})
    return make_network(model, Speed(precision, attention, "plain", compiled, recompute))


def _batch(generator: np.random.Generator, share_of_starts: float) -> dict[str, Any]:
    starts = generator.random((2, LENGTH)) < share_of_starts
    tokens = generator.integers(4, 128, (2, LENGTH))
    positions = np.stack([restarting_positions(row) for row in starts])
    return collate(Rows(tokens, np.roll(tokens, -1, 1), positions)).arguments(CPU)


def _loss_and_gradients(network: TokenLoss, batch: Any) -> tuple[float, torch.Tensor]:
    network.zero_grad(set_to_none=True)
    loss = network(**batch)
    loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    return float(loss.detach()), gradients


@pytest.mark.parametrize("recompute", [False, True], ids=["", "checkpointing"])
def test_compiled_blocks_give_what_eager_sdpa_gives(
    compilations: CompileCounterWithBackend, recompute: bool
) -> None:
    compiled = _network("varlen", "fp32", compiled=True, recompute=recompute)
    eager = _network("sdpa", "fp32", compiled=False, recompute=False)
    generator = np.random.default_rng(0)
    for share in (0.02, 0.0, 0.4):
        batch = _batch(generator, share)
        loss, gradients = _loss_and_gradients(compiled, batch)
        expected_loss, expected = _loss_and_gradients(eager, batch)
        assert loss == pytest.approx(expected_loss, rel=1e-5)
        assert float((gradients - expected).norm() / expected.norm()) < 1e-5
    assert compilations.frame_count > 0


@pytest.mark.parametrize(("name", "shape"), [("varlen", (1, 2 * LENGTH)), ("sdpa", (2, LENGTH))])
def test_rows_reach_a_kernel_that_goes_by_bounds_as_one(name: str, shape: tuple[int, int]) -> None:
    network = _network(name, "fp32", compiled=False, recompute=False)
    seen = []
    network.causal_lm.model.embed_tokens.register_forward_pre_hook(
        lambda _, inputs: seen.append(tuple(inputs[0].shape))
    )
    network(**_batch(np.random.default_rng(0), 0.1))
    assert seen == [shape]


def test_lengths_of_documents_do_not_compile_again(
    compilations: CompileCounterWithBackend,
) -> None:
    network = _network("varlen", "bf16", compiled=True, recompute=False)
    generator = np.random.default_rng(0)
    shapes = set()
    for share in (0.02, 0.02, 0.0, 0.5, 0.1, 0.3, 0.001, 0.9, 0.04, 1.0):
        batch = _batch(generator, share)
        shapes.add((batch["cu_seqlens"].shape, batch["max_seqlen"]))
        with torch.autocast("cpu", torch.bfloat16):
            network(**batch).backward()
    # Once for the first batch, once each when the number of documents and the longest of them
    # turn out to vary: three in all, for every block together, whatever comes after.
    assert len(shapes) > 5 and compilations.frame_count <= 3


def test_numbers_of_targets_do_not_compile_the_loss_again(
    compilations: CompileCounterWithBackend,
) -> None:
    loss = ChunkedLoss(chunk_entries=128 * 16, compiled=True)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(128, 8, generator=generator).requires_grad_()
    for targets in (64, 60, 37, 16, 15, 2, 90):
        hidden = torch.randn(targets, 8, generator=generator).requires_grad_()
        labels = torch.randint(0, 128, (targets,), generator=generator)
        found, expected = (
            torch.autograd.grad(function(hidden, weight, labels), (hidden, weight))
            for function in (loss, plain_loss)
        )
        for ours, plain in zip(found, expected, strict=True):
            assert torch.allclose(ours, plain, atol=1e-5)
    assert compilations.frame_count <= 2
