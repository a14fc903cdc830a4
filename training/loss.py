"""Cross-entropy of a large vocabulary without its logits.

With 96,640 entries the logits of a micro-batch would be its largest tensor by far. The chunked
loss makes them for some tokens at a time and turns each chunk into its gradients at once, so no
more than `CHUNK_ENTRIES` logits exist. liger-kernel does the same in Triton and is taken on a GPU
that has it; `plain` is the textbook form the others are measured against.
Paper: table 4 (the vocabulary).

Shapes: K target tokens, C tokens of a chunk, D width, V vocabulary.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch.nn import functional

from training.config import ConfigError

log = logging.getLogger(__name__)

LossName = Literal["liger", "chunked", "plain"]
# hidden (K, D), weight (V, D), labels (K,) -> summed negative log-likelihood in nats, fp32 scalar
LossFunction = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

CHUNK_ENTRIES = 1 << 28  # 0.5 GiB of bf16 logits; few enough chunks to keep the matrices large
INSTALL_LIGER = "pip install 'liger-kernel>=0.8.5'"


def choose_loss(choice: str, device: torch.device) -> LossName:
    """Resolve `loss` of a config; ConfigError when liger is asked for and cannot run."""
    if choice in ("chunked", "plain"):
        return "chunked" if choice == "chunked" else "plain"
    reason = _liger_refusal(device)
    if reason is None:
        log.info("loss: liger")
        return "liger"
    if choice == "liger":
        raise ConfigError(f"loss: expected liger to run here: {reason}; or choose `loss: chunked`")
    log.info("loss: chunked (liger refused: %s)", reason)
    return "chunked"


def usable_losses(device: torch.device) -> tuple[LossName, ...]:
    """The losses that run on a device, in the order in which `auto` prefers them."""
    always: tuple[LossName, ...] = ("chunked", "plain")
    return always if _liger_refusal(device) else ("liger", *always)


def _liger_refusal(device: torch.device) -> str | None:
    if importlib.util.find_spec("liger_kernel") is None:
        return f"liger-kernel is not installed; install it with: {INSTALL_LIGER}"
    if device.type != "cuda":
        return f"liger-kernel needs a CUDA device, found {device.type}"
    return None


def loss_function(name: LossName, *, compiled: bool = False) -> LossFunction:
    """The loss of that name; `compiled` fuses the arithmetic on the logits (chunked only)."""
    if name == "plain":
        return plain_loss
    if name == "liger":
        return _liger_loss
    return ChunkedLoss(compiled=compiled)


def plain_loss(hidden_KD: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """All logits at once."""
    logits_KV = functional.linear(hidden_KD, weight)
    return functional.cross_entropy(logits_KV.float(), labels, reduction="sum")


def _liger_loss(
    hidden_KD: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    dtype = _compute_dtype(hidden_KD)
    loss: torch.Tensor = liger_fused_linear_cross_entropy(
        hidden_KD.to(dtype),
        weight.to(dtype),
        labels,
        reduction="sum",
        accum_dtype=torch.float32,
        # Logits of a chunk over the activations. Liger's own choice, 1, makes 32 chunks of a
        # micro-batch of the 1.5B model, each of which reads and writes the head's whole gradient.
        chunk_mem_const=max(1, CHUNK_ENTRIES // max(1, hidden_KD.numel())),
    )
    return loss


class ChunkedLoss:
    """Sums over chunks of tokens, with the gradients made in the forward pass."""

    def __init__(self, *, chunk_entries: int = CHUNK_ENTRIES, compiled: bool = False) -> None:
        self._entries = chunk_entries
        self._on_logits: _OnLogits = _loss_and_gradient
        if compiled:
            # Not `dynamic`: that would hide from the compiler that rows of logits are aligned. The
            # number of rows alone becomes variable, once a second one is seen.
            self._on_logits = torch.compile(_fusible_loss_and_gradient)

    def __call__(
        self, hidden_KD: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor
    ) -> torch.Tensor:
        tokens = max(1, self._entries // weight.shape[0])
        loss: torch.Tensor = _Chunked.apply(hidden_KD, weight, labels, tokens, self._on_logits)
        return loss


_OnLogits = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_KD: torch.Tensor,
        weight_VD: torch.Tensor,
        labels: torch.Tensor,
        chunk_tokens: int,
        on_logits: _OnLogits,
    ) -> torch.Tensor:
        dtype = _compute_dtype(hidden_KD)
        total = torch.zeros((), dtype=torch.float32, device=hidden_KD.device)
        hidden, weight = hidden_KD.to(dtype), weight_VD.to(dtype)
        hidden_grad = torch.empty_like(hidden)
        weight_grad: torch.Tensor | None = None
        chunks = max(1, -(-len(labels) // chunk_tokens))
        with torch.autocast(hidden.device.type, enabled=False):
            for rows, targets, grads in zip(
                hidden.chunk(chunks), labels.chunk(chunks), hidden_grad.chunk(chunks), strict=True
            ):
                loss, gradient_CV = on_logits(rows @ weight.T, targets)
                total += loss
                torch.mm(gradient_CV, weight, out=grads)
                part = gradient_CV.T @ rows
                if weight_grad is None:
                    weight_grad = part.float()
                else:
                    weight_grad += part
        ctx.save_for_backward(hidden_grad, weight_grad)
        ctx.dtypes = hidden_KD.dtype, weight_VD.dtype
        return total

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> tuple[torch.Tensor | None, ...]:
        hidden_grad, weight_grad = ctx.saved_tensors
        for_hidden, for_weight = (
            (gradient * upstream[0]).to(dtype)
            for gradient, dtype in zip((hidden_grad, weight_grad), ctx.dtypes, strict=True)
        )
        return for_hidden, for_weight, None, None, None


def _loss_and_gradient(
    logits_CV: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Summed loss, and its gradient in the dtype of the logits; the logits are overwritten."""
    exact = logits_CV.float()
    log_total = exact.logsumexp(1, keepdim=True)
    loss = (log_total - exact.gather(1, labels[:, None])).sum()
    gradient = exact.sub_(log_total).exp_()
    gradient.scatter_add_(1, labels[:, None], gradient.new_full((len(labels), 1), -1.0))
    return loss, gradient.to(logits_CV.dtype)


def _fusible_loss_and_gradient(
    logits_CV: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same as pointwise arithmetic, which a compiler fuses into two passes."""
    exact = logits_CV.float()
    log_total = exact.logsumexp(1, keepdim=True)
    loss = (log_total - exact.gather(1, labels[:, None])).sum()
    columns = torch.arange(logits_CV.shape[1], device=logits_CV.device)
    gradient = (exact - log_total).exp() - (columns == labels[:, None]).float()
    return loss, gradient.to(logits_CV.dtype)


def _compute_dtype(hidden: torch.Tensor) -> torch.dtype:
    """The dtype a linear layer would compute in here."""
    kind = hidden.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
