"""Checkpoints: complete or absent, never half.

A checkpoint is written into a hidden sibling, state.json last, synced, then renamed; the newest
complete one is what a restart continues from. It is a Hugging Face folder too (config, tokenizer),
so annealing can branch from any of them and any of them can be released. Optimizer and random
state are tensors in a safetensors file, so nothing is unpickled. The schedule and the data order
are functions of the step, so the step is all that is kept of them.
Paper: section 3.2 (stable checkpoints from which annealing branches).
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from training.config import ConfigError
from training.folder import read_json, sync, write_json
from training.parallel import whole

log = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d{6,})")
_MODEL_FILE = "model.safetensors"
_OPTIMIZER_FILE = "optimizer.safetensors"
_STATE_FILE = "state.json"

Tensors = dict[str, torch.Tensor]


class NotSaved(OSError):
    """What somebody waits for could not be written; what was saved before is still there."""


@contextlib.contextmanager
def saving(where: Path) -> Iterator[None]:
    """Say what to do when the writing inside fails (a full disk): NotSaved."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise NotSaved(
            f"{where}: could not be written ({error}); make room there and start the same command "
            "again: it continues from the last checkpoint"
        ) from error


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint on disk: the number of finished steps and the loop's state."""

    path: Path
    step: int
    state: dict[str, Any]


@dataclass(frozen=True)
class Snapshot:
    """What a checkpoint will hold: copies on the CPU that training no longer touches."""

    step: int
    state: dict[str, Any]
    weights: Tensors
    optimizer: Tensors


@dataclass(frozen=True)
class Retention:
    """Which checkpoints stay: the last `keep_last`, and every `keep_every_steps`-th for good."""

    keep_last: int = 2
    keep_every_steps: int | None = None

    def for_good(self, step: int) -> bool:
        """Whether the checkpoint of `step` outlives the run."""
        return self.keep_every_steps is not None and step % self.keep_every_steps == 0

    def prune(self, folder: Path, written: int) -> None:
        """After step `written` was saved: remove what need not stay, and what killed writers left.

        A later step can only be a torn checkpoint that the run did not continue from.
        """
        steps = [step for step, _ in _folders(folder) if step <= written]
        recent = steps[-self.keep_last :]
        for step, path in _folders(folder):
            if step > written or not (step in recent or self.for_good(step)):
                _remove(path)
        _remove_leftovers(folder)

    def finish(self, folder: Path) -> None:
        """What remains of a finished run: the checkpoints that are kept for good."""
        for step, path in _folders(folder):
            if not self.for_good(step):
                _remove(path)
        _remove_leftovers(folder)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


class CheckpointWriter:
    """Writes snapshots in a background thread, one at a time, while training goes on.

    A write that fails (a full disk) costs that checkpoint only: it is logged and counted, what it
    left is removed, and the previous checkpoint stays. `describe` adds files to each checkpoint.
    """

    def __init__(
        self, folder: Path, retention: Retention, describe: Callable[[Path], None] | None = None
    ) -> None:
        self._folder, self._retention, self._describe = folder, retention, describe
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None
        self.failed_writes = 0

    def submit(self, snapshot: Snapshot) -> None:
        """Start writing, after the write before has ended."""
        self.wait()
        # Not a daemon: leaving the interpreter waits for the write.
        self._thread = threading.Thread(target=self._write, args=(snapshot,), name="checkpoint")
        self._thread.start()

    def write_now(self, snapshot: Snapshot) -> None:
        """Write in this thread; raises NotSaved when it cannot be written."""
        self.wait()
        with saving(self._folder):
            write_checkpoint(self._folder, snapshot, self._describe)
            self._retention.prune(self._folder, snapshot.step)

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_checkpoint(self._folder, snapshot, self._describe)
            self._retention.prune(self._folder, snapshot.step)
        except (OSError, SafetensorError) as error:
            self.failed_writes += 1
            log.error(
                "%s: the checkpoint of step %d could not be written (%s); the previous one stays",
                self._folder,
                snapshot.step,
                error,
            )
        except BaseException as error:  # noqa: BLE001 - raised by the next wait()
            self._error = error


def take_snapshot(
    *,
    step: int,
    state: Mapping[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    keep: bool = True,
) -> Snapshot:
    """Copy what a checkpoint needs. Sharded tensors are gathered: call it on every process.

    Without `keep` (a process that does not write) there are no copies in it: those of the 1.5B
    model are 23 GB, and the processes of a machine share its memory.
    """
    tensors = optimizer_tensors(model, optimizer, keep=keep) | random_state()
    weights = named_weights(model, keep=keep)
    return Snapshot(step, json.loads(json.dumps(state)), weights, tensors)


def write_checkpoint(
    folder: Path, snapshot: Snapshot, describe: Callable[[Path], None] | None = None
) -> Path:
    """Write `folder/step-XXXXXX` atomically and return it."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step-{snapshot.step:06d}"
    temporary = folder / f".tmp-{final.name}"
    _remove_leftovers(folder)  # of writers that were killed: they take room
    try:
        temporary.mkdir()
        save_file(snapshot.weights, temporary / _MODEL_FILE, metadata={"format": "pt"})
        save_file(snapshot.optimizer, temporary / _OPTIMIZER_FILE)
        if describe is not None:
            describe(temporary)
        sizes = {file.name: file.stat().st_size for file in sorted(temporary.iterdir())}
        text = json.dumps({"step": snapshot.step, "files": sizes, **snapshot.state}, indent=2)
        (temporary / _STATE_FILE).write_text(text + "\n", encoding="utf-8")
        for file in temporary.iterdir():
            sync(file)
        sync(temporary)
        _remove(final)
        temporary.replace(final)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)  # a full disk needs the room
        raise
    sync(folder)
    return final


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The complete checkpoint with the highest step; a torn one is passed over with a warning.

    One that cannot be read now (OSError) stops the search: going on from an older one would
    replace it.
    """
    for _, path in reversed(_folders(folder)):
        try:
            return read_checkpoint(path)
        except ConfigError as error:
            log.warning("checkpoint passed over: %s", error)
    return None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check state.json and the files it names; ConfigError when incomplete."""
    state_file = path / _STATE_FILE
    try:
        state = json.loads(state_file.read_text(encoding="utf-8"))
        step, sizes = int(state["step"]), dict(state["files"])
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{state_file}: expected a checkpoint's state, found: {error}") from error
    for name, size_bytes in sizes.items():
        file = path / name
        found = file.stat().st_size if file.is_file() else None
        if found != size_bytes:
            raise ConfigError(f"{file}: expected {size_bytes} bytes, found {found}")
    for file in (path / _MODEL_FILE, path / _OPTIMIZER_FILE):
        with reading_tensors(file), safe_open(file, "pt"):
            pass  # its header fits its size
    return Checkpoint(path, step, state)


def restore(checkpoint: Checkpoint, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Load weights, optimizer and random state of a checkpoint into place."""
    load_weights(model, checkpoint.path / _MODEL_FILE)
    tensors = load_optimizer(model, optimizer, checkpoint.path / _OPTIMIZER_FILE)
    set_random_state(tensors)


def save_trainer_state(folder: Path, state: Mapping[str, Any], moments: Tensors) -> None:
    """Write what a later run branches from: optimizer.safetensors and state.json."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(moments, folder / _OPTIMIZER_FILE)
    sync(folder / _OPTIMIZER_FILE)
    write_json(folder / _STATE_FILE, state, sort_keys=True)


def read_trainer_state(run: Path) -> dict[str, Any]:
    """The facts that `save_trainer_state` left in a finished run; ConfigError when damaged."""
    file = run / "trainer_state" / _STATE_FILE
    expected = (
        f"the state of a finished run (restore it, or delete {run / 'summary.json'} to train again)"
    )
    state = read_json(file, expected)
    missing = {"identity", "tokenizer_digest", "optimizer", "tokens_per_source"} - state.keys()
    if missing:
        raise ConfigError(f"{file}: expected {expected}, found none of {sorted(missing)}")
    return state


def named_weights(model: nn.Module, *, keep: bool = True) -> Tensors:
    """Copies of the parameters, on the CPU; a shared one appears once, under its first name.

    Without `keep` this process only helps to gather what is sharded, and gets nothing.
    """
    return _copies(model.named_parameters(), keep)


def load_weights(model: nn.Module, file: Path) -> None:
    """Copy the weights of a file into a model of the same shape."""
    from safetensors.torch import load_file

    with reading_tensors(file):
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
            parameter.copy_(_placed(tensors[name], parameter))


def optimizer_tensors(
    model: nn.Module, optimizer: torch.optim.Optimizer, *, keep: bool = True
) -> Tensors:
    """Copies of the optimizer state as `<kind>/<parameter name>`; empty before the first step.

    `keep` as in `named_weights`.
    """
    tensors = (
        (f"{kind}/{name}", tensor)
        for name, parameter in model.named_parameters()
        for kind, tensor in optimizer.state.get(parameter, {}).items()
    )
    return _copies(tensors, keep)


def load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, file: Path) -> Tensors:
    """Set the optimizer state from a file and return all its tensors.

    Raises ConfigError when the state is of another model.
    """
    from safetensors.torch import load_file

    with reading_tensors(file):
        tensors = load_file(file)
    by_parameter: dict[str, Tensors] = {}
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
            kind: _placed(tensor, parameter) if tensor.ndim else tensor.to(parameter.device)
            for kind, tensor in state.items()
        }
    return tensors


@contextlib.contextmanager
def reading_tensors(file: Path) -> Iterator[None]:
    """ConfigError when the file that is read inside is absent or no safetensors file."""
    try:
        yield
    except (FileNotFoundError, SafetensorError) as error:
        raise ConfigError(f"{file}: expected a whole safetensors file, found: {error}") from error


def random_state() -> Tensors:
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


def _copies(tensors: Iterable[tuple[str, torch.Tensor]], keep: bool) -> Tensors:
    copies: Tensors = {}
    for name, tensor in tensors:
        gathered = whole(tensor.detach())
        if keep:
            copies[name] = gathered.to("cpu", copy=True).contiguous()
    return copies


def _placed(tensor: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """`tensor` on the device of `like`, sharded as it is."""
    if not hasattr(like, "device_mesh"):
        return tensor.to(like.device)
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements)


def _folders(folder: Path) -> list[tuple[int, Path]]:
    """(step, path) of the checkpoints in a folder, complete or not, by step."""
    if not folder.is_dir():
        return []
    return sorted((int(match[1]), path) for path in folder.iterdir() if (match := _match(path)))


def _match(path: Path) -> re.Match[str] | None:
    return _NAME.fullmatch(path.name) if path.is_dir() else None


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".tmp-step-*"):
        _remove(path)


def _remove(path: Path) -> None:
    if path.exists():
        shutil.rmtree(path)
