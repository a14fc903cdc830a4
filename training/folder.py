"""The folder of a run: one writer at a time, and files that a crash of the machine leaves whole.

Paper: none.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from training.config import ConfigError

log = logging.getLogger(__name__)

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.2


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Make the folder of a run and keep other processes out of it; ConfigError when one is in it.

    A process whose launcher was killed still saves a checkpoint, so it is waited for a minute. The
    lock is the process's own and ends with it, however it ends.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise ConfigError(
            f"out: expected a folder that can be made, found: {error}; choose another `out`"
        ) from error
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def check_writable(folder: Path) -> None:
    """ConfigError when nothing can be written in the folder of a run."""
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"out: expected a folder to write in, found {folder} read-only")


def write_json(file: Path, payload: Mapping[str, Any], *, sort_keys: bool = False) -> None:
    """Write a JSON file that is there whole or not at all."""
    temporary = file.with_name(f".tmp-{file.name}")
    text = json.dumps(dict(payload), indent=2, sort_keys=sort_keys)
    temporary.write_text(text + "\n", encoding="utf-8")
    sync(temporary)
    temporary.replace(file)
    sync(file.parent)


def read_json(file: Path, expected: str) -> dict[str, Any]:
    """A JSON object from a file; ConfigError, naming what was expected, when it is none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: expected {expected}, found: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file}: expected {expected}, found: {type(found).__name__}")
    return found


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    begin = time.monotonic()
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - begin > _WAIT_SECONDS:
                raise ConfigError(
                    f"out: expected a folder that no other process is training in, found one in "
                    f"{folder}; wait until it ends, stop it, or choose another `out`"
                ) from None
            time.sleep(_POLL_SECONDS)
        except OSError as error:  # some network file systems have no locks
            log.warning("%s: not locked (%s); start one process at a time in it", folder, error)
            return
        else:
            return
