"""Checkpoints: complete or absent, never half.

A checkpoint is written into a hidden sibling, state.json last, synced, then renamed; the newest
complete one is what a restart continues from. Optimizer state and random state are tensors in a
safetensors file, so nothing is unpickled.
Paper: section 3.2 (stable checkpoints from which annealing branches).
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from training.config import ConfigError

log = logging.getLogger(__name__)

KEEP = 2
_NAME = re.compile(r"step-(\d{6,})")
_MODEL_FILE = "model.safetensors"
_OPTIMIZER_FILE = "optimizer.safetensors"
_STATE_FILE = "state.json"


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk: the number of finished steps and the loop's state."""

    path: Path
    step: int
    state: dict[str, Any]


def save_checkpoint(
    folder: Path,
    *,
    step: int,
    state: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> Path:
    """Write `folder/step-XXXXXX` atomically, drop all but the last two, return the new path."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{step:06d}"
    temporary = folder / f".tmp-{final.name}"
    _remove(temporary)
    temporary.mkdir()
    save_file(named_weights(model), temporary / _MODEL_FILE)
    save_file(optimizer_tensors(model, optimizer) | random_state(), temporary / _OPTIMIZER_FILE)
    sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
    text = json.dumps({"step": step, "files": sizes, **state}, indent=2)
    (temporary / _STATE_FILE).write_text(text + "\n", encoding="utf-8")
    for file in temporary.iterdir():
        _sync(file)
    _remove(final)
    temporary.replace(final)
    _sync(folder)
    for old in _folders(folder)[:-KEEP]:
        _remove(old)
    return final


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The complete checkpoint with the highest step; a torn one is passed over with a warning."""
    for path in reversed(_folders(folder)):
        try:
            return read_checkpoint(path)
        except ConfigError as error:
            log.warning("checkpoint passed over: %s", error)
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check state.json and the sizes it names; ConfigError when incomplete."""
    state_file = path / _STATE_FILE
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
        step, sizes = int(state["step"]), dict(state["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{state_file}: expected a checkpoint's state, found: {error}") from error
    for name, size_bytes in sizes.items():
        file = path / name
        found = file.stat().st_size if file.is_file() else None
        if found != size_bytes:
            raise ConfigError(f"{file}: expected {size_bytes} bytes, found {found}")
    return Checkpoint(path, step, state)


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load weights, optimizer and random state of a checkpoint into place."""
    load_weights(model, checkpoint.path / _MODEL_FILE)
    tensors = load_optimizer(model, optimizer, checkpoint.path / _OPTIMIZER_FILE)
    set_random_state(tensors)


def save_trainer_state(
    folder: Path, state: Mapping[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer
) -> None:
    """Write what a later run branches from: optimizer.safetensors and state.json."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(optimizer_tensors(model, optimizer), folder / _OPTIMIZER_FILE)
    text = json.dumps(dict(state), indent=2, sort_keys=True)
    (folder / _STATE_FILE).write_text(text + "\n", encoding="utf-8")


def named_weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters by name on the CPU; a shared parameter appears once, under its first name."""
    return {
        name: parameter.detach().to("cpu").contiguous()
        for name, parameter in model.named_parameters()
    }


def load_weights(model: nn.Module, file: Path) -> None:
    """Copy the weights of a file into a model of the same shape."""
    from safetensors.torch import load_file

    tensors = load_file(file)
    parameters = dict(model.named_parameters())
    if tensors.keys() != parameters.keys():
        odd = sorted(tensors.keys() ^ parameters.keys())[:5]
        raise ConfigError(f"{file}: expected the weights of this model, differing in {odd}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            if parameter.shape != tensors[name].shape:
                raise ConfigError(
                    f"{file}: {name}: expected shape {tuple(parameter.shape)}, "
                    f"found {tuple(tensors[name].shape)}"
                )
            parameter.copy_(tensors[name])


def optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, torch.Tensor]:
    """Optimizer state as `<kind>/<parameter name>`; empty before the first step."""
    return {
        f"{kind}/{name}": tensor.detach().to("cpu").contiguous()
        for name, parameter in model.named_parameters()
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    }


def load_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, file: Path
) -> dict[str, torch.Tensor]:
    """Set the optimizer state from a file and return all its tensors.

    Raises ConfigError when the state is of another model.
    """
    from safetensors.torch import load_file

    if not file.is_file():
        raise ConfigError(f"{file}: expected the optimizer state to start from, found none")
    tensors = load_file(file)
    by_parameter: dict[str, dict[str, torch.Tensor]] = {}
    for key, tensor in tensors.items():
        kind, _, name = key.partition("/")
        by_parameter.setdefault(name, {})[kind] = tensor
    for name, parameter in model.named_parameters():
        state = by_parameter.get(name)
        if state is None:
            continue
        for kind, tensor in state.items():
            if tensor.ndim and tensor.shape != parameter.shape:
                raise ConfigError(
                    f"{file}: {kind} of {name}: expected shape {tuple(parameter.shape)}, "
                    f"found {tuple(tensor.shape)}"
                )
        optimizer.state[parameter] = {
            kind: tensor.to(parameter.device) for kind, tensor in state.items()
        }
    return tensors


def random_state() -> dict[str, torch.Tensor]:
    """State of torch's generators, as uint8 tensors."""
    state = {"random/cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["random/cuda"] = torch.cuda.get_rng_state()
    return state


def set_random_state(tensors: Mapping[str, torch.Tensor]) -> None:
    """Undo `random_state` for the generators that are present."""
    torch.set_rng_state(tensors["random/cpu"])
    if "random/cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["random/cuda"])


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _match(path))]
    return [path for _, path in sorted(found)]


def _match(path: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(path.name) if path.is_dir() else None


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
