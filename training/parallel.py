"""More than one process: FSDP2 over the blocks, or plain replication (DDP).

FSDP2 (`fully_shard`) keeps weights, gradients and optimizer state in pieces and gathers one block
at a time. Each block is a unit, the rest (embedding, last norm, output head) is the root's. The
arithmetic is the same as with one process; so is the data, which is dealt by row.
Paper: section 3.2 (a distributed optimizer with overlapped gradient reduction).
"""

from __future__ import annotations

import logging
from typing import Literal

import torch
from torch import nn

from training.config import ConfigError
from training.model import TokenLoss
from training.precision import Precision

log = logging.getLogger(__name__)

Parallel = Literal["none", "ddp", "fsdp"]


def choose_parallel(
    choice: str, *, processes: int, device: torch.device, optimizer: str
) -> Parallel:
    """Resolve `parallel` of a config; ConfigError when FSDP cannot serve the optimizer."""
    if processes == 1:
        return "none"
    if choice == "fsdp" and optimizer == "muon":
        raise ConfigError(
            "parallel: expected ddp or auto with optimizer muon (it orthogonalises whole "
            "matrices, which fsdp has only pieces of), found fsdp"
        )
    if choice == "auto":
        choice = "fsdp" if device.type == "cuda" and optimizer == "adamw" else "ddp"
    log.info("parallel: %s over %d processes", choice, processes)
    return "fsdp" if choice == "fsdp" else "ddp"


def shard(network: TokenLoss, precision: Precision, processes: int, device: torch.device) -> None:
    """Shard a network over all processes (in place). Make the optimizer afterwards."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (processes,))
    policy = MixedPrecisionPolicy(
        param_dtype=None if precision == "fp32" else torch.bfloat16, reduce_dtype=torch.float32
    )
    for block in network.causal_lm.model.layers:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(network, mesh=mesh, mp_policy=policy)


def is_sharded(network: nn.Module) -> bool:
    """Whether `shard` was applied."""
    return hasattr(network, "set_requires_gradient_sync")


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor with all its pieces (on every process, so every process must call it)."""
    if hasattr(tensor, "full_tensor"):
        gathered: torch.Tensor = tensor.full_tensor()
        return gathered
    return tensor
