"""The untrusted end: give up every right, then execute one program and report how it ended.

This runs in the last process of the chain, after its pid tree and scratch folder exist. The nonce
waits unread in a pipe while the program runs and is only read after its last line; the verdict goes
out on a descriptor of its own. Program and report share a process: the grade is "in-process".
"""

from __future__ import annotations

import builtins
import contextlib
import json
import linecache
import os
import random
import resource
import signal
import sys
import traceback
import types
from math import ceil
from typing import Any

from evaluation.sandbox import kernel, seccomp

NONCE_FD, VERDICT_FD = 3, 4
_NOBODY = 65534
_FILE_NAME = "<program>"


def drop_rights(limits: dict[str, Any], *, strict: bool, spare_uid: int, proc_fd: int) -> None:
    """Take on the limits and give up identity, capabilities and dangerous system calls.

    spare_uid: the user to become when the server is really root, -1 otherwise.
    """
    if spare_uid >= 0:
        os.setgroups([])
        os.setresgid(spare_uid, spare_uid, spare_uid)
        os.setresuid(spare_uid, spare_uid, spare_uid)
    if strict:
        _enter_user_namespace(proc_fd)
        kernel.drop_capabilities()
    # a spare uid and a fresh user namespace count their processes from zero; else the count would
    # include everything else the user runs, so the limit would only do harm
    if strict:
        _set_limit(resource.RLIMIT_NPROC, limits["processes"])
    cpu_seconds = ceil(limits["cpu_seconds"])
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    _set_limit(resource.RLIMIT_AS, limits["memory_bytes"])
    _set_limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _set_limit(resource.RLIMIT_NOFILE, 64)
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_MEMLOCK, 0)
    _set_limit(resource.RLIMIT_STACK, 8 * 1024**2)
    seccomp.install(seccomp.build_filter(internet=strict))


def execute(source: str, result_expression: str | None) -> None:
    """Run the program, report, end the process. Never returns."""
    # bound before the program runs, so that patched modules do not reach the report
    read, write, leave, encode = os.read, os.write, os._exit, json.dumps
    module = types.ModuleType("program")
    sys.modules["program"] = module
    sys.argv = ["program"]
    random.seed(0)  # unseeded programs do the same in every run (a fork draws a new seed)
    os.environ.clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "evaluation"]:
        del sys.modules[name]
    lines = source.splitlines(keepends=True)
    linecache.cache[_FILE_NAME] = (len(source), None, lines, _FILE_NAME)
    report: dict[str, Any]
    try:
        code = compile(source, _FILE_NAME, "exec", dont_inherit=True)
        exec(code, module.__dict__)
        value = eval(result_expression, module.__dict__) if result_expression else None  # noqa: S307
        report = {"ended": True, "result": value}
        text = encode(report)
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like end a program too
        report = {"ended": False, "error": _describe(error)}
        text = encode(report)
    with contextlib.suppress(BaseException):  # a program may have closed or replaced its streams
        sys.stdout.flush()
        sys.stderr.flush()
    data = read(NONCE_FD, 64) + text.encode()
    while data:
        data = data[write(VERDICT_FD, data) :]
    leave(0)


def _describe(error: BaseException) -> str:
    with contextlib.suppress(BaseException):  # a hostile exception cannot even be printed
        own = error.__traceback__  # the first frame is ours: the report starts at the program's
        traceback.print_exception(error.with_traceback(own.tb_next if own else None))
    try:
        return f"{type(error).__name__}: {error}"[:500]
    except BaseException:  # noqa: BLE001
        return type(error).__name__


def _enter_user_namespace(proc_fd: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # else /proc/self is not ours after the uid change
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError:
        if uid == 0:  # same identity as the keeper: not separated enough to go on
            raise
        return  # a container that allows root mounts but no user namespaces: the spare uid stands
    kernel.write_identity_map("self", _NOBODY, uid, gid, proc_fd)


def _set_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


def prepare_interpreter(*, strict: bool) -> None:
    """Warm imports and fixed state that every program inherits; runs once in the fork server."""
    import _sitebuiltins

    # without `site` these two are missing, and programs written by models do call them
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    for name in _WARM:
        __import__(name)
    seccomp.build_filter(internet=strict)  # assembled once, inherited by every fork
    signal.signal(signal.SIGINT, signal.default_int_handler)


_WARM = (
    "bisect",
    "collections",
    "copy",
    "datetime",
    "decimal",
    "doctest",
    "fractions",
    "functools",
    "hashlib",
    "heapq",
    "itertools",
    "math",
    "operator",
    "re",
    "statistics",
    "string",
    "typing",
)
