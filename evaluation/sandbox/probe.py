"""The sandbox tests itself before it is trusted: seven small attacks, each of which must fail.

Once per process the wanted level is attacked from inside: read a file of the parent, write outside
the scratch folder, connect, find environment variables, take too much memory, leave a daemon, claim
success by exit status. One success and nothing is run at all, unless the environment setting
COOKBOOK_SANDBOX=unsafe-rlimits-only accepts level "user", which then stands in every outcome.
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

from evaluation.sandbox.outcome import Level, Limits, Outcome, SandboxError
from evaluation.sandbox.supervisor import run_program

SETTING = "COOKBOOK_SANDBOX"
UNSAFE = "unsafe-rlimits-only"
_log = logging.getLogger(__name__)
_granted: dict[int, Level] = {}
_lock = threading.Lock()
_LIMITS = Limits(cpu_seconds=2, wall_seconds=20, memory_bytes=256 * 1024**2)


@dataclass(frozen=True)
class Probe:
    """One attack of the self-test: held is True when the sandbox withstood it."""

    name: str
    held: bool
    found: str


def ensure_level() -> Level:
    """The level this process may use, probed on the first call.

    Raises SandboxError naming what is missing when `strict` does not hold, unless the environment
    setting COOKBOOK_SANDBOX=unsafe-rlimits-only accepts `user`.
    """
    with _lock:
        if os.getpid() not in _granted:
            _granted[os.getpid()] = _probe_levels()
        return _granted[os.getpid()]


def self_test(level: Level = "strict") -> list[Probe]:
    """Attack a level from inside and return one Probe per attack.

    Raises SandboxError when the level cannot even be set up.
    """
    with tempfile.TemporaryDirectory(prefix="sandbox-canary-") as folder:
        canary = Path(folder) / "canary.txt"
        secret = secrets.token_hex(16)
        canary.write_text(secret)
        Path(folder).chmod(0o777)
        probes = [_control(level), _reads(level, canary, secret), _writes(level, Path(folder))]
    return [
        *probes,
        _expect_stdout("network refused", _CONNECT, level, "refused"),
        _expect_stdout("environment empty", "import os\nprint(len(os.environ))", level, "0"),
        _memory(level),
        _daemon(level),
        _exit_status(level),
    ]


def _probe_levels() -> Level:
    setting = os.environ.get(SETTING, "")
    if setting not in ("", "strict", UNSAFE):
        raise SandboxError(f"{SETTING} is {setting!r}; expected unset, 'strict' or {UNSAFE!r}")
    if sys.platform != "linux":
        raise SandboxError(f"the sandbox needs Linux namespaces; this is {sys.platform}")
    try:
        failed = [probe for probe in self_test("strict") if not probe.held]
        if not failed:
            return "strict"
        reason = "; ".join(f"{probe.name}: {probe.found}" for probe in failed)
    except SandboxError as error:
        reason = str(error)
    if setting == UNSAFE:
        _log.warning(
            "sandbox level 'user' (limits only, files readable): strict failed: %s", reason
        )
        return "user"
    raise SandboxError(
        f"untrusted programs are not run here, the strict sandbox does not hold: {reason}. "
        "It needs mount, pid, network, ipc and user namespaces: allow unprivileged user namespaces "
        "(sysctl user.max_user_namespaces and kernel.apparmor_restrict_unprivileged_userns=0) or "
        "start the container with --cap-add SYS_ADMIN --security-opt seccomp=unconfined; or set "
        f"{SETTING}={UNSAFE} to accept resource limits only, marked in every result."
    )


def _run(source: str, level: Level) -> Outcome:
    return run_program(source, limits=_LIMITS, level=level)


def _expect_stdout(name: str, source: str, level: Level, wanted: str) -> Probe:
    outcome = _run(source, level)
    said = outcome.stdout.strip()
    return Probe(name, said == wanted, f"{said[:200]!r} {outcome.error}".strip())


def _control(level: Level) -> Probe:
    outcome = _run("assert sum(range(5)) == 10", level)
    return Probe("a right program passes", outcome.passed, f"{outcome.status} {outcome.stderr}")


def _reads(level: Level, canary: Path, secret: str) -> Probe:
    outcome = _run(f"print(open({str(canary)!r}).read())", level)
    held = secret not in outcome.stdout and not outcome.passed
    return Probe("parent's files unreadable", held, outcome.error or "the canary was read")


def _writes(level: Level, folder: Path) -> Probe:
    targets = [str(folder), "/", "/usr", "/etc", "/root", "/home", "/var/tmp"]
    outcome = _run(_WRITE.format(targets=targets), level)
    return Probe("no writes outside scratch", outcome.stdout.strip() == "[]", outcome.stdout[:200])


def _memory(level: Level) -> Probe:
    outcome = _run("held = bytearray(1024**3)", level)
    return Probe("memory limit", outcome.status in ("memory", "killed"), outcome.status)


def _daemon(level: Level) -> Probe:
    marker = f"sandbox-daemon-{secrets.token_hex(8)}"
    outcome = _run(_DAEMON.format(marker=marker), level)
    left = [pid for pid, line in _command_lines() if marker in line]
    held = outcome.passed and not left
    return Probe("daemons die", held, f"{outcome.status} {outcome.error}, left: {left}")


def _exit_status(level: Level) -> Probe:
    outcome = _run("import os\nos._exit(0)", level)
    return Probe("exit status is no verdict", not outcome.passed, outcome.status)


def _command_lines() -> list[tuple[str, str]]:
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append((path.parent.name, path.read_bytes().decode("utf-8", "replace")))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # ended while we looked, or hidden from us
    return lines


_CONNECT = """
import socket
try:
    socket.create_connection(("127.0.0.1", 9), timeout=2)
    print("connected")
except ConnectionRefusedError:
    print("reached the host's loopback")
except OSError:
    print("refused")
"""
_WRITE = """
import os
reached = []
for folder in {targets!r}:
    path = os.path.join(folder, "intruder")
    try:
        with open(path, "w") as file:
            file.write("x")
        reached.append(folder)
        os.remove(path)
    except OSError:
        pass
print(reached)
"""
_DAEMON = """
import os, sys
r, w = os.pipe()
os.set_inheritable(w, True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        tell = "import os, sys, time; os.write(int(sys.argv[1]), b'x'); time.sleep(60)"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", tell, str(w), {marker!r}])
    os._exit(0)
assert os.read(r, 1) == b"x"
"""
