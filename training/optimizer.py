"""Optimizers: AdamW as the paper assumes, and Muon for runs that can afford only few tokens.

Muon replaces the momentum of a hidden matrix by the nearest orthogonal one, so that every direction
learns, not just the loudest; its updates are scaled to AdamW's size, so one learning rate serves
both. Embeddings, the output head and vectors stay with AdamW.
Paper: section 3.2 names no optimizer; AdamW is assumed and the default.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import nn

OptimizerName = Literal["adamw", "muon"]

_EPSILON = 1e-8
_NESTEROV_MOMENTUM = 0.95
# Odd quintic that drives singular values towards 1; five rounds bring them into about 0.7..1.2.
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ROUNDS = 5
# An AdamW update has a root mean square of about 0.2.
_ADAMW_RMS = 0.2


def new_optimizer(
    model: nn.Module,
    *,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    name: OptimizerName = "adamw",
) -> torch.optim.Optimizer:
    """The optimizer of a model; weight decay spares vectors (norms)."""
    parameters = [(n, p) for n, p in model.named_parameters() if p.requires_grad]
    vectors = [p for _, p in parameters if p.ndim < 2]
    matrices = [p for _, p in parameters if p.ndim >= 2]
    if name == "adamw":
        groups = [
            {"params": matrices, "weight_decay": weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=_EPSILON, fused=True)
    hidden = [p for n, p in parameters if p.ndim == 2 and ".layers." in f".{n}"]
    inside = {id(p) for p in hidden}
    ends = [p for p in matrices if id(p) not in inside]
    groups = [
        {"params": hidden, "weight_decay": weight_decay, "muon": True},
        {"params": ends, "weight_decay": weight_decay, "muon": False},
        {"params": vectors, "weight_decay": 0.0, "muon": False},
    ]
    return Muon(groups, lr=lr, betas=betas)


class Muon(torch.optim.Optimizer):
    """Muon for the groups marked `muon`, AdamW for the others, with one learning rate."""

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, betas: tuple[float, float]
    ) -> None:
        super().__init__([group for group in groups if group["params"]], {"lr": lr, "betas": betas})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            lr, decay = group["lr"], group["weight_decay"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if group["muon"]:
                    update = _muon_update(parameter.grad, state)
                else:
                    update = _adamw_update(parameter.grad, state, group["betas"])
                parameter.mul_(1.0 - lr * decay).add_(update, alpha=-lr)


def _muon_update(gradient: torch.Tensor, state: dict[str, torch.Tensor]) -> torch.Tensor:
    if "momentum" not in state:
        state["momentum"] = torch.zeros_like(gradient)
    momentum = state["momentum"].lerp_(gradient, 1.0 - _NESTEROV_MOMENTUM)
    ahead = gradient.lerp(momentum, _NESTEROV_MOMENTUM)
    scale = _ADAMW_RMS * max(gradient.shape) ** 0.5
    return orthogonalized(ahead) * scale


def _adamw_update(
    gradient: torch.Tensor, state: dict[str, torch.Tensor], betas: tuple[float, float]
) -> torch.Tensor:
    if "step" not in state:
        state["step"] = torch.zeros((), dtype=torch.float32)
        state["exp_avg"] = torch.zeros_like(gradient)
        state["exp_avg_sq"] = torch.zeros_like(gradient)
    state["step"] += 1
    step = int(state["step"])
    mean = state["exp_avg"].lerp_(gradient, 1.0 - betas[0])
    square = state["exp_avg_sq"].lerp_(gradient.square(), 1.0 - betas[1])
    corrected = (square / (1.0 - betas[1] ** step)).sqrt_().add_(_EPSILON)
    return mean / corrected / (1.0 - betas[0] ** step)


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """A matrix of the same singular vectors whose singular values are near 1."""
    a, b, c = _QUINTIC
    result = matrix.float() / (matrix.float().norm() + 1e-7)
    tall = result.shape[0] > result.shape[1]
    if tall:
        result = result.T
    for _ in range(_ROUNDS):
        gram = result @ result.T
        result = a * result + (b * gram + c * gram @ gram) @ result
    return (result.T if tall else result).to(matrix.dtype)
