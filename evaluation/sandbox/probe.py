"""The sandbox tests itself before it is trusted: small attacks, each of which must fail.

Once per process and level it is attacked from inside: read a file of the parent, write outside the
scratch folder, connect, find environment variables, take too much memory in one process and in
many, start too many processes, signal the parent, leave a daemon, mount, claim success by exit
status. One success, and nothing is run at all at that level. A weaker level than `strict` is taken
only when its name is given, by the caller or by COOKBOOK_SANDBOX, and stands in every outcome.
"""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from evaluation.sandbox import cgroup, landlock
from evaluation.sandbox.jobs import Program
from evaluation.sandbox.outcome import Level, Limits, Outcome, SandboxError
from evaluation.sandbox.supervisor import Worker

SETTING = "COOKBOOK_SANDBOX"
_log = logging.getLogger(__name__)
_granted: set[tuple[int, Level]] = set()
_lock = threading.Lock()
_MEBIBYTE = 1024**2
_LIMITS = Limits(cpu_seconds=2, wall_seconds=20, memory_bytes=192 * _MEBIBYTE, processes=12)


@dataclass(frozen=True)
class Probe:
    """One attack of the self-test: held is True when the sandbox withstood it."""

    name: str
    held: bool
    found: str


def ensure_level(level: Level | None = None) -> Level:
    """The level asked for (None: the one that COOKBOOK_SANDBOX names, else strict), once it held.

    Raises SandboxError naming what does not hold and what can be done.
    """
    wanted = level if level is not None else _from_environment()
    with _lock:
        if (os.getpid(), wanted) not in _granted:
            _test(wanted)
            _granted.add((os.getpid(), wanted))
    return wanted


def self_test(level: Level = "strict") -> list[Probe]:
    """Attack a level from inside and return one Probe per attack.

    Raises SandboxError when the level cannot even be set up.
    """
    worker = Worker(level)
    try:
        with tempfile.TemporaryDirectory(prefix="sandbox-canary-") as folder:
            canary = Path(folder) / "canary.txt"
            secret = secrets.token_hex(16)
            canary.write_text(secret)
            Path(folder).chmod(0o777)
            marker = f"sandbox-daemon-{secrets.token_hex(8)}"
            source = _ATTACKS.format(
                canary=str(canary),
                targets=[folder, "/", "/usr", "/etc", "/root", "/home", "/var/tmp"],
                marker=marker,
                parent=os.getpid(),
                processes=_LIMITS.processes,
            )
            told = _run(worker, source, result="told")
            control = _run(worker, "assert sum(range(5)) == 10")
            memory = _run(worker, "held = bytearray(1024**3)")
            tree = _run(worker, _TREE)
            ended = _run(worker, "import os\nos._exit(0)")
        left = [pid for pid, line in _command_lines() if marker in line]
    finally:
        worker.close()
    found = told.result if isinstance(told.result, dict) else {}
    ran = "" if told.passed else f"the attacks ended with {told.status}: {told.error}"

    def refused(name: str, key: str) -> Probe:
        reached = found.get(key, ran or "no answer")
        reached = reached if secret not in str(reached) else "the secret was read"
        return Probe(name, reached == [], "" if reached == [] else str(reached)[:200])

    stopped = ("memory", "killed")
    return [
        Probe("control passes", control.passed, control.error or control.status),
        refused("files of the parent unreadable", "read"),
        refused("no writes outside scratch", "written"),
        refused("network refused", "connected"),
        refused("environment empty", "environment"),
        refused("process limit", "forked"),
        refused("parent out of reach", "signalled"),
        refused("namespaces, mounts and tracing refused", "calls"),
        Probe("memory limit of a process", memory.status in stopped, memory.status),
        Probe("memory limit of a tree", not tree.passed, tree.status),
        Probe("daemons die", told.passed and not left, f"left: {left}" if left else ran),
        Probe("exit status is no verdict", not ended.passed, ended.status),
    ]


def lacking() -> list[str]:
    """What the kernel of this machine does not offer, a sentence each."""
    return [sentence for sentence in (cgroup.lacking(), landlock.lacking()) if sentence]


def _from_environment() -> Level:
    setting = os.environ.get(SETTING, "") or "strict"
    for level in get_args(Level):
        if setting == level:
            return level  # type: ignore[no-any-return]
    raise SandboxError(f"{SETTING} is {setting!r}; expected unset or {', '.join(get_args(Level))}")


def _test(level: Level) -> None:
    if sys.platform != "linux":
        raise SandboxError(f"the sandbox needs Linux namespaces; this is {sys.platform}")
    try:
        failed = [probe for probe in self_test(level) if not probe.held]
        if not failed:
            if level != "strict":
                _log.warning("sandbox level %r, by name: %s", level, _MEANING[level])
            return
        reason = "; ".join(f"{probe.name}: {probe.found}" for probe in failed)
    except (SandboxError, OSError) as error:
        reason = str(error)
    raise SandboxError(
        f"untrusted programs are not run here, sandbox level {level!r} does not hold: {reason}. "
        + _REMEDY[level]
    )


_MEANING: dict[Level, str] = {
    "user": "namespaces, but no control group; a watcher bounds memory",
    "container": "no namespaces of its own; the container around it is the wall",
}
_REMEDY: dict[Level, str] = {
    "strict": (
        "It needs mount, pid, network, ipc and user namespaces and a writable control group: run "
        "as root, or allow unprivileged user namespaces (sysctl user.max_user_namespaces and "
        "kernel.apparmor_restrict_unprivileged_userns=0), or start the container with --cap-add "
        f"SYS_ADMIN --security-opt seccomp=unconfined; or set {SETTING}=user to go on without "
        f"a control group, or {SETTING}=container to go on without namespaces inside a container; "
        "either stands in every result."
    ),
    "user": "It needs user namespaces; see docs/sandbox.md.",
    "container": "It needs Landlock and seccomp in the container; see docs/sandbox.md.",
}


def _run(worker: Worker, source: str, result: str | None = None) -> Outcome:
    return worker.run_program(Program(source, result=result, limits=_LIMITS))


def _command_lines() -> list[tuple[str, str]]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append((path.parent.name, path.read_bytes().decode("utf-8", "replace")))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended while we looked, or hidden from us
    return lines


# Each entry of `told` lists what an attack reached; an empty list means that it failed.
_ATTACKS = """
import ctypes, os, signal, socket, sys
told = dict(read=[], written=[], connected=[], environment=sorted(os.environ), forked=[],
            signalled=[], calls=[])
try:
    told["read"].append(open({canary!r}).read())
except OSError:
    pass
for folder in {targets!r}:
    path = os.path.join(folder, "intruder")
    try:
        with open(path, "w") as file:
            file.write("x")
        told["written"].append(folder)
        os.remove(path)
    except OSError:
        pass
try:
    socket.create_connection(("127.0.0.1", 9), timeout=2)
    told["connected"].append("connected")
except ConnectionRefusedError:
    told["connected"].append("reached the host's loopback")
except OSError:
    pass
for pid in {{os.getppid(), {parent}}} - {{0, 1}}:
    try:
        os.kill(pid, 0)
        told["signalled"].append(pid)
    except OSError:
        pass
libc = ctypes.CDLL(None)
for name, arguments in (("unshare", (0x10000000,)), ("ptrace", (0, 0, 0, 0)), ("chroot", (b".",)),
                        ("mount", (b"x", b"/tmp", b"tmpfs", 0, 0))):
    if getattr(libc, name)(*arguments) != -1:
        told["calls"].append(name)
r, w = os.pipe()
os.set_inheritable(w, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        tell = "import os, sys, time; os.write(int(sys.argv[1]), b'x'); time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", tell, str(w), {marker!r}])
    os._exit(0)
os.wait()
assert os.read(r, 1) == b"x"
children = []
try:
    for _ in range(4 * {processes}):
        pid = os.fork()
        if pid == 0:
            signal.pause()
        children.append(pid)
except OSError:
    pass
if len(children) > {processes}:
    told["forked"].append(len(children))
"""
# six processes that together hold twice the limit, none of them more than it
_TREE = """
import os
children = []
for _ in range(6):
    pid = os.fork()
    if pid == 0:
        held = bytearray(64 * 1024 * 1024)
        for place in range(0, len(held), 4096):
            held[place] = 1
        os.write(1, b"x")
        import time
        time.sleep(5)
        os._exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
"""
