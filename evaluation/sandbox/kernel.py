"""The few Linux calls the sandbox needs, by ctypes, each raising OSError with the call's name.

Python 3.11 has no os.unshare, and mount, pivot_root, prctl and capset were never in it. Every
function here is one system call; what they are combined to is in view.py and server.py.
"""

from __future__ import annotations

import ctypes
import os
import signal

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18
MNT_DETACH = 2

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

_SYS_MOUNT_SETATTR = 442  # the same number on every architecture
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID, _MOUNT_ATTR_NODEV = 1, 2, 4
# statvfs flag, mount flag: noexec, noatime, nodiratime, relatime
_LOCKED_FLAGS = ((8, MS_NOEXEC), (1024, 1 << 10), (2048, 1 << 11), (4096, 1 << 21))
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000

_CLONE_VM = 0x00000100
_STACK_BYTES = 64 * 1024

_libc = ctypes.CDLL(None, use_errno=True)
_CAPABILITY_HEADER = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3, the caller
_NO_CAPABILITIES = (ctypes.c_uint32 * 6)()
_PAUSE = ctypes.cast(_libc.pause, ctypes.c_void_p)
_STACK = ctypes.create_string_buffer(_STACK_BYTES)
_STACK_TOP = ctypes.c_void_p((ctypes.addressof(_STACK) + _STACK_BYTES - 64) & ~0xF)


class _MountAttr(ctypes.Structure):
    _fields_ = [
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    ]


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Give the caller (or, for pids, its next child) new namespaces."""
    _check(_libc.unshare(flags), f"unshare({flags:#x})")


def spawn_keeper(flags: int) -> int:
    """Start a process that sleeps in new namespaces and does nothing else; its process id.

    As pid 1 of a new pid namespace it takes in orphans (the kernel reaps them, since it ignores
    SIGCHLD), and killing it kills everything there. It shares the caller's memory and so costs next
    to nothing; it runs nothing but pause(2). At most one may live at a time.
    """
    handler = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        pid: int = _libc.clone(_PAUSE, _STACK_TOP, flags | _CLONE_VM | signal.SIGCHLD, None)
        _check(pid, f"clone({flags:#x})")
        return pid
    finally:
        signal.signal(signal.SIGCHLD, handler)


def enter_pid_namespace(descriptor: int) -> None:
    """Let the caller's next children be born in the pid namespace of a process or of a ns file."""
    _check(_libc.setns(descriptor, CLONE_NEWPID), "setns(pid)")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2); empty strings stand for the null pointer."""
    arguments = [value.encode() or None for value in (source, target, kind, data)]
    result = _libc.mount(
        arguments[0], arguments[1], arguments[2], ctypes.c_ulong(flags), arguments[3]
    )
    _check(result, f"mount({kind or source} on {target})")


def bind_read_only(source: str, target: str) -> None:
    """Bind source (with what is mounted below it) on target, read-only, without suid or devices."""
    mount(source, target, "", MS_BIND | MS_REC)
    wanted = _MountAttr(_MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID | _MOUNT_ATTR_NODEV, 0, 0, 0)
    result = _libc.syscall(
        _SYS_MOUNT_SETATTR,
        _AT_FDCWD,
        target.encode(),
        _AT_RECURSIVE,
        ctypes.byref(wanted),
        ctypes.c_size_t(ctypes.sizeof(wanted)),
    )
    if result < 0:  # before Linux 5.12: the top mount only, with the flags it is locked to
        present = os.statvfs(target).f_flag
        kept = sum(flag for seen, flag in _LOCKED_FLAGS if present & seen)
        mount("", target, "", MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | kept)


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2), lazily unless told otherwise."""
    _check(_libc.umount2(target.encode(), flags), f"umount2({target})")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make new_root the root of this mount namespace."""
    number = _SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise OSError(38, f"pivot_root: unknown on {os.uname().machine}")
    _check(_libc.syscall(number, new_root.encode(), put_old.encode()), "pivot_root")


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument."""
    zero = ctypes.c_ulong(0)
    _check(_libc.prctl(option, ctypes.c_ulong(value), zero, zero, zero), f"prctl({option})")


def drop_capabilities() -> None:
    """Empty the permitted, effective and inheritable sets; no_new_privs keeps them empty."""
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _check(_libc.capset(_CAPABILITY_HEADER, _NO_CAPABILITIES), "capset")


def set_hostname(name: str) -> None:
    """sethostname(2)."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def write_identity_map(proc_self: str, inside: int, uid: int, gid: int, dir_fd: int | None) -> None:
    """Map one user and group into the user namespace just entered.

    proc_self is "/proc/self", or "self" with dir_fd open on a /proc that is out of reach by name.
    """
    for name, text in (
        ("setgroups", "deny"),
        ("uid_map", f"{inside} {uid} 1"),
        ("gid_map", f"{inside} {gid} 1"),
    ):
        descriptor = os.open(f"{proc_self}/{name}", os.O_WRONLY, dir_fd=dir_fd)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
