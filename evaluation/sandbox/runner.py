"""The untrusted end: give up every right, then execute one program and report how it ended.

This runs in the last process of the chain, after its pid tree and scratch folder exist. Modes:
`calls` executes the source and calls one function on given inputs; `remote` does so as asked over
the data socket; both answer with values as data (wire.py) and know nothing of what is expected.
`program` executes a source and its own tests in one process: the nonce waits unread in a pipe and
is only read after the last line, the verdict goes out on a descriptor of its own, executed asserts
are counted: an "in-process" grade. `command` executes another program. What goes wrong before that
is told on a descriptor that no program ever has.

Frames on the data socket, runner to judge: status byte, length, bytes. Judge to runner (remote):
length, then marshal of (name, args, kwargs); the judge is trusted.
"""

from __future__ import annotations

import builtins
import contextlib
import linecache
import marshal
import os
import random
import re
import resource
import signal
import struct
import sys
import time
import traceback
import types
from collections.abc import Callable, Sequence
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from evaluation.sandbox import kernel, landlock, seccomp, view, wire

VERDICT_FD, PROC_FD, SETUP_FD, PAYLOAD_FD, DATA_FD = 3, 4, 5, 6, 7
READY, VALUE, RAISED, BROKEN = b"r", b"v", b"x", b"b"
# the kernel's limits of CPU time count clock ticks, on a busy virtual machine up to a third more
# than was used: they stand that much higher, and exact times decide
_TICKS_AHEAD = 1.33
_NOBODY = 65534
_FILE_NAME = "<program>"
#: The name under which a test finds what it calls after each assert that held.
ASSERT_HELD = "_assert_held"
_TOOLS = ("unittest", "doctest")  # what tests check with, beside assert
_IMPORT = re.compile(rb"^[ \t]*(?:from[ \t]+([\w.]+)|import[ \t]+([^\n;#]+))", re.M)
_own_modules: list[str] = []  # of this project: programs do not find them
_EXCEPTION_BYTES = 8 * 1024
_FLUSH_BYTES = 32 * 1024
_FLUSH_SECONDS = 0.2


def start(
    header: dict[str, Any],
    *,
    isolated: bool,
    spare_uid: int,
    readable: list[str],
    listable: list[str],
) -> None:
    """Read the payload, drop every right and execute. Never returns unless setting up failed."""
    parts = _read_payload(header["parts"])
    mode = header["mode"]
    if mode == "command":
        _write_files(header["files"], parts[1:])
        _open_stdin(parts[0])
    with contextlib.suppress(OSError):  # the first to go when memory runs out
        descriptor = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=PROC_FD)
        os.write(descriptor, b"1000")
        os.close(descriptor)
    drop_rights(
        header["limits"],
        isolated=isolated,
        spare_uid=spare_uid,
        readable=readable,
        listable=listable,
        address_space=header.get("address_space", True),
    )
    os.close(PROC_FD)
    os.close(SETUP_FD)
    if mode != "program":
        os.close(VERDICT_FD)
    if mode == "command":
        _command(header)
    elif mode == "program":
        _program(_text(parts[0]), parts[1], header["result"])
    else:
        _calls(header, parts)


def drop_rights(
    limits: dict[str, Any],
    *,
    isolated: bool,
    spare_uid: int,
    readable: list[str],
    listable: Sequence[str] = (),
    address_space: bool = True,
) -> None:
    """Take on the limits and give up identity, capabilities and dangerous system calls.

    spare_uid: the user to become when the server is really root, -1 otherwise.
    """
    if spare_uid >= 0:
        os.setgroups([])
        os.setresgid(spare_uid, spare_uid, spare_uid)
        os.setresuid(spare_uid, spare_uid, spare_uid)
    if isolated:
        _enter_user_namespace(PROC_FD)
    kernel.drop_capabilities()
    _set_limit(resource.RLIMIT_NPROC, limits["processes"])
    cpu_seconds = ceil(limits["cpu_seconds"] * _TICKS_AHEAD)
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
    if address_space:
        _set_limit(resource.RLIMIT_AS, limits["memory_bytes"])
    _set_limit(resource.RLIMIT_FSIZE, limits["file_bytes"])
    _set_limit(resource.RLIMIT_NOFILE, 64 if address_space else 512)
    _set_limit(resource.RLIMIT_CORE, 0)
    _set_limit(resource.RLIMIT_MEMLOCK, 0)
    _, most = resource.getrlimit(resource.RLIMIT_STACK)  # programs may ask for more
    resource.setrlimit(resource.RLIMIT_STACK, (8 * 1024**2, most))
    devices = [f"/dev/{name}" for name in view.DEVICES]
    scratch = view.SCRATCH if isolated else str(Path.cwd())
    landlock.restrict(
        readable=["/"] if isolated else readable,
        listable=listable,
        writable=[scratch, *devices],
    )
    seccomp.install(seccomp.build_filter(internet=isolated))


def prepare_interpreter(config: dict[str, Any], *, isolated: bool) -> None:
    """Warm imports and fixed state that every program inherits; runs once in the fork server."""
    import _sitebuiltins

    # without `site` these two are missing, and programs written by models do call them
    builtins.exit = _sitebuiltins.Quitter("exit", "Ctrl-D (i.e. EOF)")
    builtins.quit = _sitebuiltins.Quitter("quit", "Ctrl-D (i.e. EOF)")
    sys.path += config["site"]
    for name in (*_WARM, *config["warm"]) if config["profile"] != "native" else ():
        with contextlib.suppress(ImportError):
            __import__(name)
    # collected and assembled once, inherited by every fork: what a fork touches is copied for it
    _own_modules.extend(name for name in sys.modules if name.partition(".")[0] == "evaluation")
    seccomp.build_filter(internet=isolated)
    landlock.abi()
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _calls(header: dict[str, Any], parts: list[bytes]) -> None:
    """Modes `calls` and `remote`."""
    read, write, leave = os.read, os.write, os._exit
    encode = partial(wire.encode, numbers_of_numpy=may_use_packages(parts[0]))
    clock, last = time.monotonic, [time.monotonic()]
    arm, used, seconds = signal.setitimer, time.process_time, header["input_cpu_seconds"]
    room, text_room = header["value_bytes"], header["text_bytes"]
    source, process, own = _text(parts[0]), os.getpid, os.getpid()

    def send(status: bytes, data: bytes, keep: bytearray | None = None) -> None:
        if process() != own:  # a child that the program forked
            leave(0)
        frame = status + struct.pack(">I", len(data)) + data
        if keep is not None:
            keep += frame
            now = clock()
            if len(keep) < _FLUSH_BYTES and now - last[0] < _FLUSH_SECONDS:
                return
            last[0] = now
            frame = bytes(keep)
            keep.clear()
        while frame:
            frame = frame[write(DATA_FD, frame) :]

    def call(function: Any, args: Any, kwargs: Any, keep: bytearray | None = None) -> None:
        arm(signal.ITIMER_PROF, seconds * _TICKS_AHEAD)
        end = used() + seconds
        try:
            value, status = function(*args, **kwargs), VALUE
            data = encode(value)
            if len(data) > (text_room if data[:1] == b"u" else room):  # a text
                data = wire.digest(data)  # it is equal or not; nobody looks into it
        except BaseException as error:  # noqa: BLE001 - SystemExit and the like are no answer
            data, status = _told(error), RAISED
        if used() > end:
            signal.raise_signal(signal.SIGPROF)
            leave(1)
        arm(signal.ITIMER_PROF, 0)
        send(status, data, keep)

    signal.signal(signal.SIGPROF, signal.SIG_DFL)  # one call past its CPU limit ends the process
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    space = _fresh_module(source).__dict__
    try:
        exec(compile(source, _FILE_NAME, "exec", dont_inherit=True), space)
        missing = [name for name in header["names"] if name not in space]
        if missing:
            raise NameError(f"name {missing[0]!r} is not defined")
    except BaseException as error:  # noqa: BLE001
        send(BROKEN, encode(_name_and_text(error)))
        leave(0)
    send(READY, b"")
    if header["mode"] == "calls":
        function = space[header["names"][0]]
        keep = bytearray() if header["together"] else None
        inputs = marshal.loads(parts[1])
        for place, arguments in enumerate(inputs, start=1):
            call(function, arguments, {}, keep)
            if place in (header["checkpoint"], len(inputs)):
                while keep:
                    del keep[: write(DATA_FD, keep)]
        leave(0)
    while request := _read_frame(read):
        name, args, kwargs = marshal.loads(request)
        call(space[name], args, kwargs)
    leave(0)


def _read_frame(read: Callable[[int, int], bytes]) -> bytes:
    """One request of the judge, empty when it has closed its end."""
    data, wanted = b"", 4
    while len(data) < wanted:
        part = read(DATA_FD, wanted - len(data))
        if not part:
            return b""
        data += part
        if len(data) == 4 and wanted == 4:
            wanted = 4 + struct.unpack(">I", data)[0]
    return data[4:]


def _program(source: str, test: bytes, result_expression: str | None) -> None:
    """Mode `program`. Never returns."""
    # bound before the program runs, so that patched modules do not reach the report
    read, write, leave, run, evaluate = os.read, os.write, os._exit, exec, eval
    encode, join = _encoder(), "".join
    process, own = os.getpid, os.getpid()
    counted = [0]
    tests = marshal.loads(test) if test else None
    renew = _renewal([name for name in _TOOLS if name.encode() in test])
    module = _fresh_module(source)

    def held() -> None:
        counted[0] += 1

    report: dict[str, Any]
    try:
        code = compile(source, _FILE_NAME, "exec", dont_inherit=True)
        run(code, module.__dict__)
        if tests is not None:
            module.__dict__[ASSERT_HELD] = held
            renew()
            run(tests, module.__dict__)
        value = evaluate(result_expression, module.__dict__) if result_expression else None
        report = {"ended": True, "result": value, "asserts": counted[0]}
        text = join(encode(report, 0))
    except BaseException as error:  # noqa: BLE001 - SystemExit and the like end a program too
        report = {"ended": False, "error": _describe(error)}
        text = join(encode(report, 0))
    with contextlib.suppress(BaseException):  # a program may have closed or replaced its streams
        sys.stdout.flush()
        sys.stderr.flush()
    if process() != own:  # a child that the program forked came to its end
        leave(0)
    data = read(DATA_FD, 64) + text.encode()
    while data:
        data = data[write(VERDICT_FD, data) :]
    leave(0)


def _renewal(names: list[str]) -> Callable[[], None]:
    """What imports these modules anew: a program may have changed them, or have one of its own."""
    path, get = [*sys.path], __import__

    def renew() -> None:
        sys.path, kept = path, sys.path
        for part in [part for part in sys.modules if part.partition(".")[0] in names]:
            del sys.modules[part]
        for name in names:
            get(name)
        sys.path = kept

    return renew


def _encoder() -> Callable[[Any, int], Any]:
    """JSON in pieces, by compiled code alone: no method of a class that a program may change."""
    from json import encoder

    def refuse(value: Any) -> Any:
        raise TypeError("no value of JSON")

    made: Callable[[Any, int], Any] = encoder.c_make_encoder(  # type: ignore[attr-defined]
        None, refuse, encoder.c_encode_basestring_ascii,  # type: ignore[attr-defined]
        None, ": ", ", ", False, False, True,
    )  # fmt: skip
    return made


def may_use_packages(source: bytes) -> bool:
    """Whether a program names numpy, or imports a package that may give its numbers back."""
    names = []
    for one, several in _IMPORT.findall(source):
        names += [one] if one else [part.split()[0] for part in several.split(b",") if part.split()]
    roots = {name.partition(b".")[0].decode("ascii", "replace") for name in names}
    return b"numpy" in source or not roots <= sys.stdlib_module_names


def _command(header: dict[str, Any]) -> None:
    """Mode `command`: become another program, or run it and send the files it made."""
    os.environ.clear()
    os.environ.update(header["environment"])
    os.environ["HOME"] = os.environ["TMPDIR"] = str(Path.cwd())
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    arguments = header["argv"]
    collect = header["collect"]
    if not collect:
        os.closerange(3, 64)
        os.execv(arguments[0], arguments)
    child = os.fork()
    if child == 0:
        os.closerange(3, 64)
        os.execv(arguments[0], arguments)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code == 0:
        _send_files(set(header["files"]), caches=collect == "caches")
    os._exit(code if code >= 0 else 128 - code)


def _send_files(given: set[str], *, caches: bool) -> None:
    """Send the regular files of the working folder that were not given: name, mode, bytes.

    caches: those in hidden folders, where compilers keep what they may use again; else the others.
    """
    os.set_blocking(DATA_FD, True)
    for path in sorted(Path().rglob("*")):
        name = str(path)
        if path.is_symlink() or not path.is_file() or name in given:
            continue
        if (path.parts[0][0] == ".") != caches:
            continue
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW)
        with open(descriptor, "rb") as file:
            data = file.read()
            executable = bool(os.fstat(file.fileno()).st_mode & 0o100)
        frame = marshal.dumps((name, executable, data), 2)
        frame = struct.pack(">I", len(frame)) + frame
        while frame:
            frame = frame[os.write(DATA_FD, frame) :]


def _write_files(files: dict[str, list[int]], parts: list[bytes]) -> None:
    """Put the given files into the working folder; names come from the supervisor."""
    for (name, (index, executable)), _ in zip(files.items(), parts, strict=True):
        path = Path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(parts[index])
        path.chmod(0o755 if executable else 0o644)
    for folder in [path for path in Path().rglob("*") if path.is_dir()]:
        folder.chmod(0o777)


def _open_stdin(data: bytes) -> None:
    descriptor = os.memfd_create("stdin", 0)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.dup2(descriptor, 0)
    os.close(descriptor)


def _read_payload(sizes: list[int]) -> list[bytes]:
    data = bytearray()
    while part := os.read(PAYLOAD_FD, 1 << 16):
        data += part
    os.close(PAYLOAD_FD)
    if len(data) != sum(sizes):
        raise OSError(5, f"expected {sum(sizes)} bytes of payload, found {len(data)}")
    parts, at = [], 0
    for size in sizes:
        parts.append(bytes(data[at : at + size]))
        at += size
    return parts


def _text(source: bytes) -> str:
    """A source, whatever encoding it says to have been written in."""
    return source.decode("utf-8", "surrogatepass").removeprefix("\ufeff")


def _fresh_module(source: str) -> types.ModuleType:
    """The module a program is executed in, and the fixed state around it."""
    module = types.ModuleType("program")
    module.__file__ = _FILE_NAME
    sys.modules["program"] = module
    sys.argv = ["program"]
    sys.orig_argv = ["program"]
    random.seed(0)  # unseeded programs do the same in every run (a fork draws a new seed)
    os.environ.clear()
    for name in _own_modules:
        del sys.modules[name]
    linecache.cache[_FILE_NAME] = (
        len(source),
        None,
        source.splitlines(keepends=True),
        _FILE_NAME,
    )
    return module


def _name_and_text(error: BaseException) -> tuple[str, str]:
    try:
        return type(error).__name__[:80], str(error)[:300]
    except BaseException:  # noqa: BLE001 - a hostile exception cannot even be printed
        return "Exception", ""


def _told(error: BaseException) -> bytes:
    """Name and text of an exception; the built-in one that it is; what it was made of, if plain."""
    name, text = _name_and_text(error)
    with contextlib.suppress(BaseException):  # a hostile exception tells its name and text alone
        kinds = type.mro(type(error))
        base = next(kind.__name__ for kind in kinds if kind.__module__ == "builtins")
        data = wire.encode((name, text, base, error.args))
        if len(data) < _EXCEPTION_BYTES:
            return data
    return wire.encode((name, text, name, (text,)))


def _describe(error: BaseException) -> str:
    with contextlib.suppress(BaseException):  # a hostile exception cannot even be printed
        own = error.__traceback__  # the first frame is ours: the report starts at the program's
        traceback.print_exception(error.with_traceback(own.tb_next if own else None))
    name, text = _name_and_text(error)
    return f"{name}: {text}" if text else name


def _enter_user_namespace(proc_fd: int) -> None:
    uid, gid = os.getuid(), os.getgid()
    kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # else /proc/self is not ours after the uid change
    try:
        kernel.unshare(kernel.CLONE_NEWUSER)
    except OSError:
        if uid == 0:  # same identity as the server: not separated enough to go on
            raise
        return  # a container that allows root mounts but no user namespaces: the spare uid stands
    kernel.write_identity_map("self", _NOBODY, uid, gid, proc_fd)


def _set_limit(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(kind, (value, value))


_WARM = (
    "bisect",
    "collections",
    "copy",
    "functools",
    "heapq",
    "itertools",
    "math",
    "operator",
    "random",
    "re",
    "string",
    "typing",
)
