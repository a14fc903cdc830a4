"""Landlock, the second wall: even where a mount slipped, files beyond a short list stay closed.

A process gives up, for itself and all it starts, every file access outside the named folders, every
TCP connection, and signals and abstract sockets to processes outside. Needs no privilege. Each
kernel knows a part of this (its ABI number); `lacking` says in a sentence what it does not know.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from functools import cache

from evaluation.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446  # the same numbers on every architecture
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ALL_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | (1 << 14) | (1 << 15)  # also truncate, ioctl
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_NET_ABI, _SCOPE_ABI = 4, 6
_TCP = 3  # bind and connect
_SCOPES = 3  # abstract unix sockets and signals

_libc = ctypes.CDLL(None, use_errno=True)


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


@cache
def abi() -> int:
    """The kernel's Landlock version, 0 without Landlock."""
    return max(0, int(_libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)))


def lacking() -> str:
    """What this kernel's Landlock does not cover, "" when it covers all that is used."""
    if abi() == 0:
        return "the kernel has no Landlock, so the file view is the only wall around files"
    if abi() < _SCOPE_ABI:
        return f"Landlock is of ABI {abi()} (below {_SCOPE_ABI}): it does not hold back signals"
    return ""


def restrict(
    *, readable: Iterable[str], writable: Iterable[str], listable: Iterable[str] = ()
) -> None:
    """Close everything but these paths to this process for good; nothing without Landlock.

    listable: folders of which only the names are to be seen, theirs and those of all below. Paths
    that do not exist are left out. Raises OSError.
    """
    version = abi()
    if version == 0:
        return
    rights = max(value for least, value in _ALL_RIGHTS.items() if least <= version)
    rules = _Ruleset(rights, _TCP if version >= _NET_ABI else 0, _SCOPES)
    size = 24 if version >= _SCOPE_ABI else 16 if version >= _NET_ABI else 8
    ruleset = _call(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    try:
        for paths, allowed in ((listable, _READ_DIR), (readable, _READ), (writable, rights)):
            for path in paths:
                _allow(ruleset, path, allowed & rights)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        _call(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, allowed: int) -> None:
    try:
        parent = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(parent).st_mode):
            allowed &= _OF_FILES
        rule = _PathBeneath(allowed, parent)
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(parent)


def _call(number: int, *arguments: object) -> int:
    result = int(_libc.syscall(number, *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"landlock call {number}: {os.strerror(code)}")
    return result
