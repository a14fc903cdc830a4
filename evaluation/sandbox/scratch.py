"""The scratch folder of level `container`, where none can be mounted.

A mount would limit the size of the folder and take all of it away at once. Here a watcher looks how
full it is, and it is emptied by hand, however deep, odd or closed what a program left in it is.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import secrets
import tempfile
from pathlib import Path

#: Files and folders that a program may have at a time, as on the mount of the other levels.
MOST_ENTRIES = 4096


def make() -> str:
    """A new folder that any user may write to; its path."""
    folder = tempfile.mkdtemp(prefix="sandbox-")
    Path(folder).chmod(0o777)
    return folder


def is_full(folder: str, limit_bytes: int) -> bool:
    """Whether it holds more than this on disk, too many entries, or some that cannot be counted."""
    todo, entries, used = [folder], 0, 0
    try:
        while todo:
            for entry in os.scandir(todo.pop()):
                entries += 1
                with contextlib.suppress(FileNotFoundError):  # the program removed it meanwhile
                    used += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
                if used > limit_bytes or entries > MOST_ENTRIES:
                    return True
    except FileNotFoundError:
        return False
    except OSError:  # a path too long to be named, a folder that is closed to its own user
        return True
    return False


def remove(folder: str) -> None:
    """Remove a folder with all that is in it, once nobody works in it any more.

    What is deeper is moved up first: no path gets longer than the kernel takes, no recursion deep.
    """
    names = (f"{secrets.token_hex(16)}-{number}" for number in itertools.count())
    with contextlib.suppress(OSError):
        while entries := list(os.scandir(folder)):
            for entry in entries:
                if not entry.is_dir(follow_symlinks=False):
                    Path(entry.path).unlink()
                    continue
                Path(entry.path).chmod(0o700)
                for inner in os.scandir(entry.path):
                    if inner.is_dir(follow_symlinks=False):
                        Path(inner.path).chmod(0o700)
                        Path(inner.path).rename(f"{folder}/{next(names)}")
                    else:
                        Path(inner.path).unlink()
                Path(entry.path).rmdir()
        Path(folder).rmdir()
