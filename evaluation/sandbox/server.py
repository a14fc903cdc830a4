"""The fork server: one process that prepared the namespaces, and two short-lived ones per program.

The keeper is pid 1 of the program's own pid namespace: it only sleeps, and killing it kills
everything the program started, daemons included. The program is forked from here into that
namespace. The server never sees a program: its text goes through a pipe of its own straight to the
last process, so nothing of one program is left in memory for the next. Started by supervisor.py
with only the standard library in reach.

Conversation on descriptor 0, a socket: b"R", length, JSON header, with descriptors attached (the
payload's pipe, then the data socket or the nonce's pipe where the mode has one); b"S" stops the
program that runs. The answer is a length and JSON.
"""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from evaluation.sandbox import kernel, runner, view

# what is imported here is copied by every fork: hence nothing that few programs need
STDERR_TAIL_BYTES = 8 * 1024
DRAIN_BYTES = 8 * 1024 * 1024
RESULT_BYTES = 1024 * 1024
_SPARE_UID_BASE = 0x70000000
_WATCH_MILLISECONDS = 20  # how often memory is summed where no cgroup does it
_PIPES = ("stdout", "stderr", "verdict", "setup")


class Server:
    """What a fork server knows: its level, who programs become, and the way to /proc."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.level: str = config["level"]
        self.profile: str = config["profile"]
        self.isolated = self.level != "container"
        self.watched = self.level != "strict"
        self.others = 0  # processes of this user at the last look
        self.control = socket.socket(fileno=0)
        self.proc_fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        self.pid_namespace = os.open("/proc/self/ns/pid", os.O_RDONLY)
        self.readable: list[str] = config["readable"]
        self.listable: list[str] = []
        if not self.isolated:  # no file view of our own takes the hidden places away
            self.readable, self.listable = view.without(config["hidden"], self.readable)
        self.spare_uid = enter_level(config)
        # leaving a child's pid namespace again takes rights over our own, which real root has
        self.may_return = not self.isolated or self.spare_uid >= 0
        runner.prepare_interpreter(config, isolated=self.isolated)
        gc.collect()
        gc.freeze()

    def serve(self) -> None:
        """Run one program per request until the parent goes away."""
        null = os.open("/dev/null", os.O_RDWR)
        os.dup2(null, 2)
        os.close(null)
        while kind := self.control.recv(1):
            if kind == b"R":  # a stale b"S" is for a program that has ended by itself
                header, descriptors = self._receive()
                if self.may_return:
                    send_message(self.control, self._run(header, descriptors))
                else:
                    self._run_apart(header, descriptors)

    def _run_apart(self, header: dict[str, Any], descriptors: list[int]) -> None:
        """Run in a child, which need not come back from the program's pid namespace."""
        child = os.fork()
        if child == 0:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            send_message(self.control, self._run(header, descriptors))
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        os.waitpid(child, 0)

    def _receive(self) -> tuple[dict[str, Any], list[int]]:
        data, descriptors, _, _ = socket.recv_fds(self.control, 4, 4)
        (length,) = struct.unpack(">I", data + read_exactly(self.control, 4 - len(data)))
        header: dict[str, Any] = json.loads(read_exactly(self.control, length))
        return header, descriptors

    def _run(self, header: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        try:
            if not self.isolated:
                return self._run_in_folder(header, descriptors)
            view.mount_scratch(header["limits"]["scratch_bytes"])
            try:
                return self._watch(header, descriptors)
            finally:
                view.umount_scratch()
        except OSError as error:
            return {"failed": str(error)}

    def _run_in_folder(self, header: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        from evaluation.sandbox import scratch

        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)
        folder = scratch.make()
        room = header["limits"]["scratch_bytes"]
        try:
            os.chdir(folder)
            return self._watch(header, descriptors, lambda: scratch.is_full(folder, room))
        finally:
            os.chdir("/")
            scratch.remove(folder)

    def _watch(
        self,
        header: dict[str, Any],
        descriptors: list[int],
        scratch_is_full: Callable[[], bool] = lambda: False,
    ) -> dict[str, Any]:
        limits, own = header["limits"], time.process_time()
        if not self.isolated and self.spare_uid < 0:
            # a spare uid and a fresh user namespace count from zero; here others count as well
            from evaluation.sandbox.process_count import processes_of_user

            self.others = processes_of_user(self.others)
            limits["processes"] += self.others
        pipes = {name: os.pipe() for name in _PIPES}
        started = time.monotonic()
        back = self.pid_namespace if self.may_return else -1
        tree = _Tree(self.isolated, self.proc_fd, back)
        program = os.fork()
        if program == 0:
            self._become_program(header, descriptors, pipes)
        tree.started(program)
        for descriptor in descriptors:
            os.close(descriptor)
        names = {tree.pidfd: ""}
        for name in _PIPES:
            os.close(pipes[name][1])
            names[pipes[name][0]] = name
        deadline = started + limits["wall_seconds"]
        kept, reason = self._drain(names, limits, tree, deadline, scratch_is_full)
        return {
            "stopped": reason,
            "stdout": kept["stdout"].decode("utf-8", "replace"),
            "stderr": kept["stderr"].decode("utf-8", "replace"),
            "verdict": kept["verdict"].decode("utf-8", "replace"),
            "wall_seconds": time.monotonic() - started,
            "cpu_seconds": tree.cpu_seconds,
            "server_cpu_seconds": time.process_time() - own,
            "code": tree.code,
            "failed": kept["setup"].decode("utf-8", "replace"),
        }

    def _drain(
        self,
        names: dict[int, str],
        limits: dict[str, Any],
        tree: _Tree,
        deadline: float,
        scratch_is_full: Callable[[], bool],
    ) -> tuple[dict[str, bytes], str]:
        """Read the pipes until the tree is gone; what was kept of each, and why it was stopped."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        for descriptor in names:
            poll.register(descriptor, select.POLLIN)
        kept = {name: b"" for name in names.values()}
        room = {"stdout": limits["output_bytes"], "verdict": RESULT_BYTES, "setup": 4096}
        drained, reason = 0, ""
        while names:
            left = deadline - time.monotonic()
            if tree.alive and left <= 0:
                reason = "timeout"
                tree.kill()
            elif tree.alive and self.watched and tree.memory_bytes() > limits["memory_bytes"]:
                reason = "memory"
                tree.kill()
            elif tree.alive and scratch_is_full():
                reason = "output_limit"
                tree.kill()
            wait = max(0.0, left) * 1000 + 1
            wait = min(wait, _WATCH_MILLISECONDS) if self.watched else wait
            for descriptor, _ in poll.poll(wait if tree.alive else None):
                if descriptor == 0:
                    told = self.control.recv(1)
                    tree.kill()
                    if not told:  # the parent is gone: leave nothing behind
                        os._exit(0)
                    reason = reason or "stopped"
                    continue
                name = names[descriptor]
                # the program has ended: what is left of its tree goes now
                data = os.read(descriptor, 65536) if name else tree.kill()
                if not data:
                    poll.unregister(descriptor)
                    os.close(descriptor)
                    del names[descriptor]
                    continue
                if name == "stderr":
                    kept[name] = (kept[name] + data)[-STDERR_TAIL_BYTES:]
                else:
                    kept[name] += data[: max(0, room[name] - len(kept[name]))]
                if name in ("stdout", "stderr"):
                    drained += len(data)
                if tree.alive and drained > DRAIN_BYTES:
                    reason = "output_limit"
                    tree.kill()
        tree.kill()
        return kept, reason

    def _become_program(
        self, header: dict[str, Any], descriptors: list[int], pipes: dict[str, tuple[int, int]]
    ) -> None:
        try:
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            os.setsid()
            if self.isolated and self.profile == "native":
                kernel.unshare(kernel.CLONE_NEWNS)
                view.mount_proc()
            null = os.open("/dev/null", os.O_RDWR)
            ends = [null, pipes["stdout"][1], pipes["stderr"][1]]
            if header["mode"] in ("calls", "remote"):
                ends[1:] = [null, null]
            ends += [pipes["verdict"][1], self.proc_fd, pipes["setup"][1], *descriptors]
            # move everything above the targets first, so that no dup2 closes a later source
            spare = [fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in ends]
            for target, descriptor in enumerate(spare):
                os.dup2(descriptor, target, inheritable=target < 3)
            os.closerange(len(spare), os.sysconf("SC_OPEN_MAX"))
            runner.start(
                header,
                isolated=self.isolated,
                spare_uid=self.spare_uid,
                readable=self.readable,
                listable=self.listable,
            )
        except BaseException as error:  # noqa: BLE001 - nothing may escape upwards
            with contextlib.suppress(BaseException):  # closed once the program runs
                os.write(runner.SETUP_FD, f"{type(error).__name__}: {error}".encode())
        os._exit(1)


class _Tree:
    """The processes of one program, and where they are born."""

    def __init__(self, isolated: bool, proc_fd: int, own_namespace: int) -> None:
        self.proc_fd, self.own_namespace = proc_fd, own_namespace
        self.keeper = 0
        self.alive, self.cpu_seconds = True, 0.0
        self.code: int | None = None
        if isolated:
            self.keeper = kernel.spawn_keeper(kernel.CLONE_NEWPID)
            descriptor = os.pidfd_open(self.keeper)
            kernel.enter_pid_namespace(descriptor)
            os.close(descriptor)

    def started(self, program: int) -> None:
        """The program is there; what the server starts next is not born beside it."""
        self.program = program
        self.pidfd = os.pidfd_open(program)
        if self.keeper and self.own_namespace >= 0:
            kernel.enter_pid_namespace(self.own_namespace)

    def kill(self) -> bytes:
        """Kill everything, take the CPU time it used and the program's exit code."""
        if not self.alive:
            return b""
        self.alive = False
        ended, status, usage = os.wait4(self.program, os.WNOHANG)
        if self.keeper:
            os.kill(self.keeper, signal.SIGKILL)
        elif not ended:
            os.kill(self.program, signal.SIGKILL)
        if not ended:
            _, status, usage = os.wait4(self.program, 0)
        self.code = os.waitstatus_to_exitcode(status)
        self._count(usage)
        if self.keeper:
            _, _, usage = os.wait4(self.keeper, 0)
            self._count(usage)
        while not self.keeper and (pids := self._children(os.getpid())):
            # without a pid namespace everything re-parents to us: kill until nothing is left
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            for pid in pids:
                _, _, usage = os.wait4(pid, 0)
                self._count(usage)
        return b""

    def _count(self, usage: resource.struct_rusage) -> None:
        self.cpu_seconds += usage.ru_utime + usage.ru_stime

    def memory_bytes(self) -> int:
        """Memory that the tree holds, shared pages by their share where the kernel tells it."""
        total, todo = 0, [self.program]
        while todo:
            pid = todo.pop()
            todo += self._children(pid)
            with contextlib.suppress(OSError, ValueError):
                total += self._memory_of(pid)
        return total

    def _memory_of(self, pid: int) -> int:
        try:
            return _sum_kilobytes(self._read(f"{pid}/smaps_rollup"), ("Pss:",))
        except PermissionError:  # another user's, to a root without CAP_SYS_PTRACE (containers)
            return _sum_kilobytes(self._read(f"{pid}/status"), ("RssAnon:", "RssShmem:"))

    def _children(self, pid: int) -> list[int]:
        with contextlib.suppress(OSError):
            return [int(child) for child in self._read(f"{pid}/task/{pid}/children").split()]
        return []

    def _read(self, name: str) -> str:
        descriptor = os.open(name, os.O_RDONLY, dir_fd=self.proc_fd)
        with open(descriptor) as file:
            return file.read()


def _sum_kilobytes(text: str, keys: tuple[str, ...]) -> int:
    """The sum of these lines of a file of /proc, in bytes."""
    return 1024 * sum(int(line.split()[1]) for line in text.splitlines() if line.startswith(keys))


def enter_level(config: dict[str, Any]) -> int:
    """Take this process to its level; the user that programs become, -1 for the same. OSError."""
    real_root = os.geteuid() == 0
    isolated = config["level"] != "container"
    if isolated:
        real_root = _enter_namespaces(real_root)
        view.enter(config["hidden"], config["readable"])
        with contextlib.suppress(PermissionError):  # a container may forbid it: its name stays
            kernel.set_hostname("sandbox")
    # without a file view of our own, another user may not reach an interpreter in a home folder
    spare = real_root and (isolated or view.readable_by_others(Path(os.__file__)))
    return _SPARE_UID_BASE | (os.getpid() & 0xFFFFFF) if spare else -1


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


def read_exactly(source: socket.socket, count: int) -> bytes:
    """Read that many bytes; the process ends when its parent has gone."""
    data = bytearray()
    while len(data) < count:
        part = source.recv(min(1 << 20, count - len(data)))
        if not part:
            os._exit(0)
        data += part
    return bytes(data)


def send_message(target: socket.socket, message: dict[str, Any]) -> None:
    """Send a length and JSON."""
    data = json.dumps(message).encode()
    target.sendall(struct.pack(">I", len(data)) + data)


def main() -> None:
    """Entry point of the server process: its configuration as JSON."""
    config = json.loads(sys.argv[1])
    try:
        server = Server(config)
    except OSError as error:
        send_message(socket.socket(fileno=0), {"failed": str(error)})
        return
    send_message(server.control, {"ready": server.level})
    server.serve()


if __name__ == "__main__":
    main()
