"""Memory and process limits of a whole process tree, by control groups of either version.

Each fork server lives in a group of its own, so that programs are in it from their first moment and
starting one costs nothing here. Where no writable group with memory and pids control is found,
`lacking` says so in a sentence, and level "user" watches memory from outside instead.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from functools import cache
from pathlib import Path

from evaluation.sandbox.outcome import Limits, SandboxError

_SERVER_BYTES = 64 * 1024**2  # the server's own share
_SERVER_PROCESSES = 2  # the server and the reaper
_REMOVE_SECONDS = 5.0
_PREFIX = "cookbook-sandbox-"
_numbers = itertools.count(1)


class Group:
    """One group: a folder per controller (version 1) or one folder for all (version 2)."""

    def __init__(self) -> None:
        """Make the group. Raises SandboxError where there is none to be had."""
        parents = _parents()
        if parents is None:
            raise SandboxError(lacking())
        times = _time_parent()
        _sweep({*parents, *([times] if times else [])})
        name = f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        self._memory, self._pids = (parent / name for parent in parents)
        self._times = times / name if times else None
        self._folders = {self._memory, self._pids, *([self._times] if self._times else [])}
        self._set: Limits | None = None
        self._kills = 0
        for folder in self._folders:
            folder.mkdir()

    def add(self, pid: int) -> None:
        """Move a process, and so all it starts later, into the group."""
        for folder in self._folders:
            (folder / "cgroup.procs").write_text(str(pid))

    def cpu_seconds(self) -> float | None:
        """CPU time of all that ever ran in the group, orphans that nobody waited for included; None
        where no controller counts it."""
        if self._times is None:
            return None
        with contextlib.suppress(OSError):
            return int((self._times / "cpuacct.usage").read_text()) / 1e9
        with contextlib.suppress(OSError):
            lines = (self._times / "cpu.stat").read_text().splitlines()
            return next(int(line.split()[1]) / 1e6 for line in lines if "usage_usec" in line)
        return None

    def limit(self, limits: Limits) -> None:
        """Put limits in force; cheap when they are in force already."""
        if self._set is not None and (
            (self._set.memory_bytes, self._set.processes) == (limits.memory_bytes, limits.processes)
        ):
            return
        total = limits.memory_bytes + _SERVER_BYTES
        if (self._memory / "memory.max").exists():
            (self._memory / "memory.max").write_text(str(total))
            self._try(self._memory / "memory.swap.max", "0")
        else:
            # the limit with swap may never be below the one without
            self._try(self._memory / "memory.memsw.limit_in_bytes", "-1")
            (self._memory / "memory.limit_in_bytes").write_text(str(total))
            self._try(self._memory / "memory.memsw.limit_in_bytes", str(total))
        (self._pids / "pids.max").write_text(str(limits.processes + _SERVER_PROCESSES))
        self._set = limits

    def killed_for_memory(self) -> bool:
        """Whether the kernel killed something of the group since the last call."""
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(OSError):
                lines = (self._memory / name).read_text().splitlines()
                found = [line.split() for line in lines]
                kills = sum(int(count) for key, count in found if key == "oom_kill")
                killed, self._kills = kills > self._kills, kills
                return killed
        return False

    def remove(self) -> None:
        """Remove the group once its last process has ended. Raises OSError if that fails."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        for folder in self._folders:
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)  # the kernel is still taking the last process apart

    @staticmethod
    def _try(path: Path, text: str) -> None:
        with contextlib.suppress(OSError):  # swap accounting is often compiled out
            path.write_text(text)


def _sweep(parents: set[Path]) -> None:
    """Remove empty groups of supervisors that were killed before they could."""
    for folder in (place for parent in parents for place in parent.glob(f"{_PREFIX}*")):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            with contextlib.suppress(OSError):  # still in use after all, or swept by another
                folder.rmdir()


def lacking() -> str:
    """Why there is no control group to use, "" when there is one."""
    if _parents() is not None:
        return ""
    return (
        "no writable control group with memory and pids control, so nothing but a watcher bounds "
        "the memory of a whole process tree"
    )


def version() -> str:
    """ "v1", "v2", or "" without one."""
    parents = _parents()
    if parents is None:
        return ""
    return "v2" if parents[0] == parents[1] else "v1"


@cache
def _parents() -> tuple[Path, Path] | None:
    """Folders below which groups can be made, for memory and for pids."""
    own, mounts = _hierarchies()
    if "memory" in mounts and "pids" in mounts and "memory" in own and "pids" in own:
        found = tuple(_below(mounts[name], own[name]) for name in ("memory", "pids"))
        if all(_usable(folder) for folder in found):
            return (found[0], found[1])
    if "" in mounts and "" in own:
        inside = _below(mounts[""], own[""])
        for folder in (inside, inside.parent):  # processes of ours may forbid children of `inside`
            if mounts[""] not in (folder, *folder.parents):
                continue
            with contextlib.suppress(OSError):
                given = (folder / "cgroup.subtree_control").read_text().split()
                if {"memory", "pids"} <= set(given) and _usable(folder):
                    return (folder, folder)
    return None


@cache
def _time_parent() -> Path | None:
    """The folder below which groups count CPU time; version 2 counts it in every group."""
    parents = _parents()
    if parents is not None and parents[0] == parents[1]:
        return parents[0]
    own, mounts = _hierarchies()
    if "cpuacct" not in own or "cpuacct" not in mounts:
        return None
    folder = _below(mounts["cpuacct"], own["cpuacct"])
    return folder if _usable(folder) else None


def _hierarchies() -> tuple[dict[str, str], dict[str, Path]]:
    """By controller ("" for version 2): the group of this process, and where it is mounted."""
    own: dict[str, str] = {}
    mounts: dict[str, Path] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            for name in controllers.split(","):
                own[name] = path
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, place, kind, options, *_ = line.split(" ")
            if kind == "cgroup2":
                mounts[""] = Path(place)
            elif kind == "cgroup":
                for name in options.split(","):
                    mounts[name] = Path(place)
    return own, mounts


def _below(mount: Path, path: str) -> Path:
    inside = mount / path.lstrip("/")
    return inside if inside.is_dir() else mount


def _usable(folder: Path) -> bool:
    trial = folder / f"cookbook-sandbox-trial-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return False
    return True
