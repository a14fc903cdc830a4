"""The trusted end: keeps warm fork servers, hands them programs, and decides what passed.

Idle servers are kept per process and reused; a server that fails is dropped and reported. Verdicts
rest on the nonce alone: it is drawn here for each program and compared here.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import secrets
import struct
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.sandbox import view
from evaluation.sandbox.outcome import Level, Limits, Outcome, SandboxError, Status

_log = logging.getLogger(__name__)
_PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_ENDING_SIGNALS = {-24: "timeout", -9: "killed"}  # SIGXCPU, SIGKILL


def run_program(
    source: str,
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    result: str | None = None,
    level: Level | None = None,
) -> Outcome:
    """Run one untrusted program to its end.

    source: Python text, executed as module "program" with only the standard library.
    result: an expression evaluated in the program's namespace after its last line; its value, if
        JSON can hold it, becomes Outcome.result.
    level: None takes what ensure_level() grants (strict, unless the environment allows less).
    Raises SandboxError when the sandbox cannot be set up; a failing program never raises.
    """
    if level is None:
        from evaluation.sandbox.probe import ensure_level

        level = ensure_level()
    server = _borrow(level)
    try:
        outcome = server.run(source, limits, result)
    except BaseException:
        server.close()
        raise
    _give_back(server)
    return outcome


def run_checked(source: str, *, limits: Limits = Limits()) -> Outcome:  # noqa: B008 - frozen
    """Run a program that carries its own asserts; Outcome.passed is the verdict."""
    return run_program(source, limits=limits)


def run_programs(
    sources: Iterable[str],
    *,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    workers: int = 2,
    result: str | None = None,
    level: Level | None = None,
) -> Iterator[Outcome]:
    """Run many programs, `workers` at a time; outcomes come in input order, lazily."""
    if workers < 1:
        raise ValueError(f"workers must be at least 1, found {workers}")
    waiting: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="sandbox") as pool:
        try:
            for source in sources:
                waiting.append(
                    pool.submit(run_program, source, limits=limits, result=result, level=level)
                )
                if len(waiting) >= 4 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class Server:
    """One fork server process and the conversation with it (one program at a time)."""

    def __init__(self, level: Level) -> None:
        self.level = level
        self.owner = os.getpid()
        boot = (
            f"import sys; sys.path.insert(0, {str(_PACKAGE_ROOT)!r}); "
            "from evaluation.sandbox import server; del sys.path[0]; server.main()"
        )
        # -s -P -S and an environment of our own isolate as -I does, but keep the fixed hash seed
        command = [view.interpreter(), "-s", "-P", "-S", "-B", "-X", "utf8", "-c", boot, level]
        self._process = subprocess.Popen(
            [*command, *_hidden_folders()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONHASHSEED": "0"},
            cwd="/",
            bufsize=0,
            start_new_session=True,  # Ctrl-C is ours to handle; closing stdin ends the server
        )
        try:
            answer = self._receive()
        except SandboxError:
            self.close()
            raise
        if "failed" in answer:
            self.close()
            raise SandboxError(f"sandbox level {level!r} cannot be set up: {answer['failed']}")

    def run(self, source: str, limits: Limits, result: str | None) -> Outcome:
        """Send one program and wait for its outcome."""
        nonce = secrets.token_hex(32)
        allowed = asdict(limits) | {"wall_seconds": limits.wall_limit_seconds}
        request = {"source": source, "limits": allowed, "nonce": nonce, "result": result}
        self._send(request)
        answer = self._receive()
        failed = answer.get("failed") or answer["ending"].get("failed")
        if failed:
            raise SandboxError(f"the sandbox could not start a program: {failed}")
        return _judge(answer, nonce, limits, self.level)

    def close(self) -> None:
        """End the server; whatever it still runs dies with it."""
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                stream.close()
        if self.owner == os.getpid():
            self._process.wait()

    def alive(self) -> bool:
        """Whether the server process is still there and ours."""
        return self.owner == os.getpid() and self._process.poll() is None

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode("utf-8", "surrogatepass")
        view_left = memoryview(struct.pack(">I", len(data)) + data)
        assert self._process.stdin is not None
        while view_left:
            view_left = view_left[self._process.stdin.write(view_left) or 0 :]

    def _receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._read_exactly(4))
        message: dict[str, Any] = json.loads(self._read_exactly(length))
        return message

    def _read_exactly(self, count: int) -> bytes:
        assert self._process.stdout is not None
        data = b""
        while len(data) < count:
            part = self._process.stdout.read(count - len(data))
            if not part:
                raise SandboxError(f"the sandbox server ended early: {self._last_words()}")
            data += part
        return data

    def _last_words(self) -> str:
        assert self._process.stderr is not None
        text = self._process.stderr.read().decode("utf-8", "replace").strip()
        return text[-2000:] or f"exit status {self._process.wait()}"


def _judge(answer: dict[str, Any], nonce: str, limits: Limits, level: Level) -> Outcome:
    verdict: str = answer["verdict"]
    ending = answer["ending"]
    cpu_seconds = float(ending.get("cpu_seconds", 0.0))
    code = ending.get("code")
    report: dict[str, Any] = {}
    if verdict.startswith(nonce):
        report = _parse(verdict[len(nonce) :])
    elif verdict.startswith('{"setup_failed"'):
        raise SandboxError(f"the sandbox could not start a program: {verdict[:500]}")
    passed = report.get("ended") is True and not answer["stopped"]
    error = str(report.get("error", ""))
    status: Status
    if passed:
        status = "ok"
    elif answer["stopped"]:
        status = answer["stopped"]
    elif report:
        status = "memory" if error.startswith("MemoryError") else "error"
    elif code in _ENDING_SIGNALS and (code == -24 or cpu_seconds >= limits.cpu_seconds):
        status = "timeout"
    elif code is not None and code >= 0:
        status = "exited"
    else:
        status = "killed"
    return Outcome(
        passed=passed,
        status=status,
        stdout=answer["stdout"],
        stderr=answer["stderr"],
        cpu_seconds=cpu_seconds,
        wall_seconds=float(answer["wall_seconds"]),
        result=report.get("result") if passed else None,
        error=error,
        level=level,
    )


def _parse(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"ended": False, "error": "malformed or over-long report"}
    return value if isinstance(value, dict) else {"ended": False, "error": "malformed report"}


def _hidden_folders() -> list[str]:
    places = {Path.cwd(), Path.home(), Path(tempfile.gettempdir()), _PACKAGE_ROOT}
    if home := os.environ.get("COOKBOOK_HOME"):
        places.add(Path(home).resolve())
    return sorted(str(place) for place in places)


_idle: list[Server] = []
_lock = threading.Lock()


def _borrow(level: Level) -> Server:
    with _lock:
        _idle[:] = [server for server in _idle if server.owner == os.getpid()]
        for position, server in enumerate(_idle):
            if server.level == level:
                del _idle[position]
                if server.alive():
                    return server
                server.close()
                break
    return Server(level)


def _give_back(server: Server) -> None:
    with _lock:
        _idle.append(server)


@atexit.register
def _close_idle() -> None:
    with _lock:
        for server in _idle:
            if server.owner == os.getpid():
                server.close()
        _idle.clear()


if sys.platform != "linux":
    _log.warning("the sandbox needs Linux; run_program will refuse to work on %s", sys.platform)
