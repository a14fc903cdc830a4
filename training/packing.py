"""The one collator: rows of packed documents as the tensors of a forward pass.

Both descriptions of the documents come from the same positions, so no backend can see other
boundaries than the rest: `position_ids` restart at each document (rotary embedding, dense masks)
and `cu_seqlens` hold their ends (flash kernels). There is no attention_mask and there never is one.
Paper: none; section 4.3's script pads instead of packing.

Shapes: B rows, T tokens of a row, N documents, K target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from training.data import IGNORED, Rows

_SMALLEST_BUCKET = 16


@dataclass(frozen=True)
class PackedBatch:
    """What a forward pass gets.

    `input_ids`, `labels`, `position_ids`: (B, T) int64. `cu_seqlens`: (N+1,) int32, document
    bounds in the flattened batch; its end is repeated so that only a few lengths of it exist.
    `max_seqlen`: at least the longest document, a power of two or T. Both are rounded so that a
    compiled block is not compiled again for every batch. `targets`: (K,) int64, the flat indices
    with a label, or None when every token has one.
    """

    input_ids: torch.Tensor
    labels: torch.Tensor
    position_ids: torch.Tensor
    cu_seqlens: torch.Tensor
    max_seqlen: int
    targets: torch.Tensor | None

    def arguments(self, device: torch.device) -> dict[str, Any]:
        """Keyword arguments of TokenLoss, copied without waiting for the device."""
        return {
            name: _to(value, device) if isinstance(value, torch.Tensor) else value
            for name, value in vars(self).items()
        }


def collate(rows: Rows) -> PackedBatch:
    """Make the tensors of `rows`; ValueError when a row does not begin with a document."""
    if rows.positions[:, 0].any():
        raise ValueError("positions: expected every row to begin at 0, found another number")
    flat = rows.positions.ravel()
    width = rows.positions.shape[1]
    bounds = np.append(np.flatnonzero(flat == 0), flat.size)
    count = _bucket(bounds.size - 1) + 1
    cu_seqlens = np.full(count, flat.size, dtype=np.int32)
    cu_seqlens[: bounds.size] = bounds
    labels = rows.labels.ravel()
    targets = np.flatnonzero(labels != IGNORED)
    return PackedBatch(
        input_ids=torch.from_numpy(rows.inputs),
        labels=torch.from_numpy(rows.labels),
        position_ids=torch.from_numpy(rows.positions),
        cu_seqlens=torch.from_numpy(cu_seqlens),
        max_seqlen=min(width, _bucket(int(np.diff(bounds).max()))),
        targets=None if targets.size == labels.size else torch.from_numpy(targets),
    )


def _bucket(number: int) -> int:
    """The next power of two, at least 16."""
    return max(_SMALLEST_BUCKET, 1 << (number - 1).bit_length())


def _to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)
