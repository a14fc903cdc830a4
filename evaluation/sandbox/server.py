"""The fork server: one process that prepared the namespaces, and one short-lived chain per program.

server -> keeper (limits, pipes, clock) -> reaper (pid 1 of its own pid namespace) -> program.
Killing the reaper kills everything the program started, daemons included. The server never sees a
program: the keeper reads the request, so nothing of one program is left in memory for the next.
Started by supervisor.py with only the standard library in reach; frames are a 4-byte length + JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from evaluation.sandbox import kernel, runner, view
from evaluation.sandbox.outcome import DRAIN_BYTES, RESULT_BYTES, STDERR_TAIL_BYTES

_REQUESTS, _RESPONSES = 0, 1
_SPARE_UID_BASE = 0x70000000


def serve(level: str, hidden: list[str]) -> None:
    """Prepare the level, say so, then run one program per request until the parent goes away."""
    strict = level == "strict"
    real_root = os.geteuid() == 0
    proc_fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    try:
        if strict:
            real_root = _enter_namespaces(real_root)
            view.enter(hidden)
            kernel.set_hostname("sandbox")
        # without a file view of our own, another user may not reach an interpreter in a home folder
        spare = real_root and (strict or view.readable_by_others(Path(os.__file__)))
        spare_uid = _SPARE_UID_BASE | (os.getpid() & 0xFFFFFF) if spare else -1
    except OSError as error:
        _send({"failed": str(error)})
        return
    runner.prepare_interpreter(strict=strict)
    gc.collect()
    gc.freeze()
    _send({"ready": level})
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 2)
    os.close(null)
    while _request_waits():
        pid = os.fork()
        if pid == 0:
            _keep(strict, spare_uid, proc_fd)
        _, status = os.waitpid(pid, 0)
        if status != 0:
            _send({"failed": f"the keeper process ended with wait status {status}"})


def _request_waits() -> bool:
    """Whether a request waits (False: the parent closed its end), leaving it to the keeper."""
    poll = select.poll()
    poll.register(_REQUESTS, select.POLLIN)
    return any(event & select.POLLIN for _, event in poll.poll())


def _enter_namespaces(real_root: bool) -> bool:
    """Leave the host's mounts, network, ipc and host name; True if still really root."""
    flags = kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    if real_root:
        try:
            kernel.unshare(flags)
            return True
        except PermissionError:
            pass  # root of a container without CAP_SYS_ADMIN: try as an ordinary user would
    uid, gid = os.geteuid(), os.getegid()
    kernel.unshare(flags | kernel.CLONE_NEWUSER)
    kernel.write_identity_map("/proc/self", 0, uid, gid, None)
    return False


def _keep(strict: bool, spare_uid: int, proc_fd: int) -> None:
    """Keeper: read the request, start the chain, watch clock and pipes, answer. Never returns."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    request = json.loads(_receive())
    scratch = None
    try:
        if strict:
            kernel.unshare(kernel.CLONE_NEWPID | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC)
        else:
            kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
            scratch = tempfile.mkdtemp(prefix="sandbox-")
            Path(scratch).chmod(0o777)
            os.chdir(scratch)
        _send(_watch(request, strict, spare_uid, proc_fd))
    except OSError as error:
        _send({"failed": str(error)})
    finally:
        if scratch is not None:
            os.chdir("/")
            shutil.rmtree(scratch, ignore_errors=True)
    os._exit(0)


def _watch(request: dict[str, Any], strict: bool, spare_uid: int, proc_fd: int) -> dict[str, Any]:
    limits = request["limits"]
    pipes = {name: os.pipe() for name in ("stdout", "stderr", "verdict", "status", "nonce")}
    os.write(pipes["nonce"][1], request["nonce"].encode())
    started = time.monotonic()
    reaper = os.fork()
    if reaper == 0:
        _reap(request, pipes, strict, spare_uid, proc_fd)
    names = {}
    poll = select.poll()
    poll.register(_REQUESTS, select.POLLHUP)
    for name in ("stdout", "stderr", "verdict", "status"):
        os.close(pipes[name][1])
        names[pipes[name][0]] = name
        poll.register(pipes[name][0], select.POLLIN)
    os.close(pipes["nonce"][0])
    os.close(pipes["nonce"][1])
    kept = {name: b"" for name in names.values()}
    room = {"stdout": limits["output_bytes"], "verdict": RESULT_BYTES, "status": 4096}
    drained, reason, alive = 0, "", True
    deadline = started + limits["wall_seconds"]

    def stop() -> None:
        nonlocal alive
        if alive:
            alive = False
            os.kill(reaper, signal.SIGKILL)
            os.waitpid(reaper, 0)
            if not strict:
                _kill_descendants()

    while names:
        left = deadline - time.monotonic()
        if alive and left <= 0:
            reason = "timeout"
            stop()
        for descriptor, event in poll.poll(max(0.0, left) * 1000 + 1 if alive else None):
            if descriptor == _REQUESTS:
                if event & select.POLLHUP:  # the parent is gone: leave nothing behind
                    stop()
                    os._exit(0)
                continue
            name = names[descriptor]
            data = os.read(descriptor, 65536)
            if not data:
                poll.unregister(descriptor)
                os.close(descriptor)
                del names[descriptor]
                if name == "status":  # the reaper is done: what is left of the tree goes now
                    stop()
                continue
            if name == "stderr":
                kept[name] = (kept[name] + data)[-STDERR_TAIL_BYTES:]
            else:
                kept[name] += data[: max(0, room[name] - len(kept[name]))]
            if name in ("stdout", "stderr"):
                drained += len(data)
            if alive and drained > DRAIN_BYTES:
                reason = "output_limit"
                stop()
    stop()
    wall_seconds = time.monotonic() - started
    ending = json.loads(kept["status"]) if kept["status"] else {}
    return {
        "stopped": reason,
        "stdout": kept["stdout"].decode("utf-8", "replace"),
        "stderr": kept["stderr"].decode("utf-8", "replace"),
        "verdict": kept["verdict"].decode("utf-8", "replace"),
        "wall_seconds": wall_seconds,
        "ending": ending,
    }


def _reap(
    request: dict[str, Any],
    pipes: dict[str, tuple[int, int]],
    strict: bool,
    spare_uid: int,
    proc_fd: int,
) -> None:
    """Reaper, pid 1 of the program's tree: start the program, wait, tell, take all down."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0)
    status_fd = pipes["status"][1]
    try:
        if strict:
            view.mount_scratch(request["limits"]["scratch_bytes"])
        program = os.fork()
        if program == 0:
            _become_program(request, pipes, strict, spare_uid, proc_fd)
        for descriptor in [end for ends in pipes.values() for end in ends] + [0, 1]:
            if descriptor != status_fd:
                with contextlib.suppress(OSError):  # closed before the fork
                    os.close(descriptor)
        while True:
            pid, status, usage = os.wait4(-1, 0)
            if pid == program:
                break
        told: dict[str, Any] = {
            "code": os.waitstatus_to_exitcode(status),
            "cpu_seconds": usage.ru_utime + usage.ru_stime,
        }
    except OSError as error:
        told = {"failed": str(error)}
    os.write(status_fd, json.dumps(told).encode())
    os._exit(0)


def _become_program(
    request: dict[str, Any],
    pipes: dict[str, tuple[int, int]],
    strict: bool,
    spare_uid: int,
    proc_fd: int,
) -> None:
    try:
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        sources = [null, pipes["stdout"][1], pipes["stderr"][1], pipes["nonce"][0]]
        sources.append(pipes["verdict"][1])
        # move everything above the targets first, so that no dup2 closes a later source
        spare = [fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in [*sources, proc_fd]]
        for target, descriptor in enumerate(spare[:5]):
            os.dup2(descriptor, target, inheritable=target < 3)
        proc_fd = os.dup2(spare[5], 5, inheritable=False)
        os.closerange(6, os.sysconf("SC_OPEN_MAX"))
        runner.drop_rights(request["limits"], strict=strict, spare_uid=spare_uid, proc_fd=proc_fd)
        os.close(proc_fd)
    except BaseException as error:  # noqa: BLE001 - told to the keeper, nothing may escape upwards
        text = json.dumps({"setup_failed": f"{type(error).__name__}: {error}"})
        os.write(runner.VERDICT_FD, text.encode())
        os._exit(1)
    runner.execute(request["source"], request["result"])


def _kill_descendants() -> None:
    """Without a pid namespace: everything re-parents to us, so kill until nothing is left."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while pids := children.read_text().split():
        for pid in pids:
            os.kill(int(pid), signal.SIGKILL)
        for pid in pids:
            os.waitpid(int(pid), 0)


def _receive() -> bytes:
    (length,) = struct.unpack(">I", _read_exactly(4))
    return _read_exactly(length)


def _read_exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(_REQUESTS, min(65536, count - len(data)))
        if not part:
            os._exit(0)
        data += part
    return data


def _send(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode()
    data = struct.pack(">I", len(data)) + data
    while data:
        data = data[os.write(_RESPONSES, data) :]


def main() -> None:
    """Entry point of the server process: level, then the folders to hide."""
    level, *hidden = sys.argv[1:]
    serve(level, hidden)


if __name__ == "__main__":
    main()
