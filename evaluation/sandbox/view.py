"""The file view of untrusted programs: a new root that holds an interpreter and nothing else.

A tmpfs becomes the root; system libraries and the interpreter's own folder are bound into it
read-only, the four harmless devices are bound by name, and the host's tree is let go. Homes, the
checkout, the lake and the host's temporary folders are not hidden: they are never there.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from evaluation.sandbox import kernel

SCRATCH = "/scratch"
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/etc/ld.so.cache", "/nix/store")
DEVICES = ("null", "zero", "full", "random", "urandom")
_WORKPLACES = ("/mnt", "/media", "/srv", "/opt", "/tmp", "/var")


def interpreter() -> str:
    """Path of the running interpreter's real binary, outside any virtual environment."""
    return os.path.realpath(getattr(sys, "_base_executable", "") or sys.executable)


def visible_folders(more: Iterable[Path] = ()) -> list[Path]:
    """Host paths a program can read: system libraries, the interpreter with its library, `more`."""
    wanted = [Path(name) for name in _SYSTEM]
    for prefix in (sys.base_prefix, sys.base_exec_prefix):
        wanted += [Path(prefix), Path(os.path.realpath(prefix))]
    wanted += [Path(interpreter()).parent, *more]
    kept: list[Path] = []
    for path in wanted:
        covered = any(path == other or other in path.parents for other in kept)
        if os.path.lexists(path) and not covered and path != Path("/"):
            kept.append(path)
    return kept


def readable_by_others(path: Path) -> bool:
    """Whether any user may read this file: its folders let everybody through."""
    through = all(folder.stat().st_mode & 0o001 for folder in path.resolve().parents)
    return through and bool(path.stat().st_mode & 0o004)


def without(hidden: list[str], readable: list[str]) -> tuple[list[str], list[str]]:
    """Host paths to read so that the hidden ones stay out, and folders to list only.

    For a wall that knows grants alone, which hold for all below: each folder above a hidden place
    gives way to what is in it. Links are left out: they lead to what is granted, or out of it.
    """
    whole = list(dict.fromkeys(Path(os.path.realpath(name)) for name in readable))
    opened: list[Path] = []
    keep = Path(interpreter())
    for place in (Path(os.path.realpath(name)) for name in hidden):
        if place in keep.parents:
            continue
        while around := next((path for path in whole if path in place.parents), None):
            whole.remove(around)
            opened.append(around)
            with contextlib.suppress(OSError):
                whole += [path for path in around.iterdir() if not path.is_symlink()]
            whole = [path for path in whole if path != place]
    return [str(path) for path in whole], [str(path) for path in opened]


def enter(hidden: list[str], readable: list[str]) -> None:
    """Build the view in a private mount namespace and make it this process's root.

    readable: host paths to bind. hidden: host folders that must stay out even where a bound folder
    contains them (a checkout below /usr, say). The caller needs CAP_SYS_ADMIN over its mount
    namespace. Raises OSError.
    """
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    sources = [Path(name) for name in readable]
    root = _workplace(sources)
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("sandbox", root, "tmpfs", flags, "mode=0755,size=1m")
    for source in sources:
        _expose(source, root)
    Path(f"{root}/dev").mkdir(exist_ok=True)
    for name in DEVICES:
        Path(f"{root}/dev/{name}").touch()
        kernel.mount(f"/dev/{name}", f"{root}/dev/{name}", "", kernel.MS_BIND)
    for folder in (SCRATCH, "/proc", "/.host"):
        Path(root + folder).mkdir(exist_ok=True)
    for name in ("/tmp", "/dev/shm"):
        if not os.path.lexists(root + name):
            Path(root + name).symlink_to(SCRATCH)
    for folder in hidden:
        _hide(folder, sources, root)
    os.chdir(root)
    kernel.pivot_root(root, f"{root}/.host")
    os.chdir("/")
    kernel.umount("/.host")
    Path("/.host").rmdir()
    kernel.mount("", "/", "", kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | flags)


def mount_scratch(scratch_bytes: int) -> None:
    """Mount a fresh, empty, size-limited scratch folder and stand in it."""
    options = f"mode=1777,size={scratch_bytes},nr_inodes=4096"
    kernel.mount("scratch", SCRATCH, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, options)
    os.chdir(SCRATCH)


def umount_scratch() -> None:
    """Let the scratch folder go, with all that is in it, once every process of the program died."""
    os.chdir("/")
    kernel.umount(SCRATCH)


def mount_proc() -> None:
    """Mount a /proc that shows this pid namespace's own processes only; compilers look there.

    A container that covers parts of its own /proc may refuse; most tools do without.
    """
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    with contextlib.suppress(OSError):
        kernel.mount("proc", "/proc", "proc", flags, "hidepid=2")


def _workplace(sources: list[Path]) -> str:
    for name in _WORKPLACES:
        place = Path(name)
        busy = any(place == source or place in source.parents for source in sources)
        if place.is_dir() and not place.is_symlink() and not busy:
            return name
    raise OSError(2, f"no folder of {', '.join(_WORKPLACES)} is free to build the file view on")


def _expose(source: Path, root: str) -> None:
    target = Path(root + str(source))
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.bind_read_only(str(source), str(target))


def _hide(folder: str, sources: list[Path], root: str) -> None:
    path = Path(folder)
    exposed = any(source in path.parents for source in sources)
    needed = any(path == keep or path in keep.parents for keep in (Path(interpreter()), *sources))
    if exposed and not needed and path.is_dir():
        flags = kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
        kernel.mount("hidden", root + folder, "tmpfs", flags, "size=4k,mode=0755")
