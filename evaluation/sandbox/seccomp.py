"""A system-call filter for untrusted programs, assembled as classic BPF and loaded by prctl.

Idea: programs may do ordinary work; calls that build namespaces, mount, trace, load code into the
kernel, or hold memory outside the limits are refused with EPERM. Known architectures: x86_64 and
aarch64; any other is a clear error.
"""

from __future__ import annotations

import ctypes
import os
import struct
from functools import cache

from evaluation.sandbox.kernel import PR_SET_NO_NEW_PRIVS, prctl

# name: (x86_64, aarch64)
_DENIED = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "semget": (64, 190),
    "msgget": (68, 186),
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "personality": (135, 92),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "sync": (162, 81),  # waits, past any limit, for what the whole machine has to write
    "acct": (163, 89),
    "mount": (165, 40),
    "umount2": (166, 39),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "init_module": (175, 105),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "mq_open": (240, 180),
    "kexec_load": (246, 104),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    "syncfs": (306, 267),
    "setns": (308, 268),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "finit_module": (313, 273),
    "memfd_create": (319, 279),
    "kexec_file_load": (320, 294),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "mount_setattr": (442, 442),
    "memfd_secret": (447, 447),
    "modify_ldt": (154, 425),  # x86 alone: elsewhere a number that is refused anyway
    "io_setup": (206, 0),
    "statmount": (457, 457),
    "listmount": (458, 458),
}
_CLONE = (56, 220)
_CLONE3 = (435, 435)
_SOCKET = (41, 198)
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NAMESPACE_FLAGS = 0x7E020000
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10

_LOAD, _JUMP_EQ, _JUMP_GE, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000
_EPERM, _ENOSYS = 1, 38
_OFFSET_NUMBER, _OFFSET_ARCH, _OFFSET_ARGUMENT = 0, 4, 16


@cache
def build_filter(*, internet: bool) -> bytes:
    """Return the filter as BPF instructions for this machine.

    internet: leave internet sockets to the (empty) network namespace; False refuses them here.
    Raises OSError on an architecture without a table.
    """
    machine = os.uname().machine
    if machine not in _AUDIT_ARCH:
        known = ", ".join(sorted(_AUDIT_ARCH))
        raise OSError(_ENOSYS, f"system-call filter: known for {known}, this machine is {machine}")
    column = 0 if machine == "x86_64" else 1
    code: list[bytes] = []

    def emit(op: int, value: int, if_true: int = 0, if_false: int = 0) -> None:
        code.append(struct.pack("=HBBI", op, if_true, if_false, value))

    emit(_LOAD, _OFFSET_ARCH)
    emit(_JUMP_EQ, _AUDIT_ARCH[machine], if_true=1)
    emit(_RETURN, _KILL)
    emit(_LOAD, _OFFSET_NUMBER)
    if machine == "x86_64":  # the x32 calls share the architecture but not the numbers
        emit(_JUMP_GE, 0x40000000, if_false=1)
        emit(_RETURN, _ERRNO | _EPERM)
    for numbers in _DENIED.values():
        emit(_JUMP_EQ, numbers[column], if_false=1)
        emit(_RETURN, _ERRNO | _EPERM)
    emit(_JUMP_EQ, _CLONE3[column], if_false=1)  # its flags are out of reach: libc falls back
    emit(_RETURN, _ERRNO | _ENOSYS)
    emit(_JUMP_EQ, _CLONE[column], if_false=4)
    emit(_LOAD, _OFFSET_ARGUMENT)
    emit(_JUMP_SET, _NAMESPACE_FLAGS, if_false=1)
    emit(_RETURN, _ERRNO | _EPERM)
    emit(_RETURN, _ALLOW)
    families = (_AF_UNIX, _AF_INET, _AF_INET6) if internet else (_AF_UNIX,)
    emit(_JUMP_EQ, _SOCKET[column], if_false=2 + len(families))
    emit(_LOAD, _OFFSET_ARGUMENT)
    for position, family in enumerate(families):
        emit(_JUMP_EQ, family, if_true=len(families) - position)
    emit(_RETURN, _ERRNO | _EPERM)
    emit(_RETURN, _ALLOW)
    return b"".join(code)


def install(program: bytes) -> None:
    """Load the filter into this process; it can never be taken off again."""

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_char_p)]

    prctl(PR_SET_NO_NEW_PRIVS, 1)
    buffer = Program(len(program) // 8, program)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(buffer)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_SECCOMP): {os.strerror(number)}")
