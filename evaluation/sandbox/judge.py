"""The judge: a trusted process that holds expected values and never runs model code.

It talks to the runner over a socket of its own, reads values as data, and compares them here, where
no object of the model exists. A benchmark's own test code runs here as well, with a stand-in for
each function of the model: calling one sends the arguments over and gives back plain data. The
judge has no network and no files beyond the interpreter; its supervisor ends it if it is too slow.

Jobs on descriptor 0: length, JSON header with the runner's socket attached, payload. The verdict is
a length and JSON.
"""

from __future__ import annotations

import builtins
import json
import marshal
import os
import random
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any

from evaluation.judging.compare import Compare, holds
from evaluation.sandbox import runner, server, wire
from evaluation.sandbox.outcome import Limits

_CPU_SECONDS = 10**8  # it lives long; what takes too long is ended by the supervisor
_MEMORY_BYTES = 4 * 1024**3
_SHORTEST_ROOM = 64 * 1024
_ROOM_FACTOR = 16  # an equal value may take this much more: a number where True is expected, say
_ERROR_CHARACTERS = 300
# the model's must not end the loops of a test
_LOOPS_END = (StopIteration, StopAsyncIteration, GeneratorExit)


class RunnerGone(BaseException):
    """The runner ended or broke the rules; not an Exception, so that tests do not catch it."""


class Runner:
    """The judge's end of the socket to one runner."""

    def __init__(self, channel: socket.socket, value_bytes: int) -> None:
        self._channel, self._room = channel, value_bytes
        self._buffer = bytearray()
        self.broken = ""

    def ready(self) -> None:
        """Wait until the source has been executed."""
        status, data = self._frame()
        if status == runner.BROKEN:
            raise self._gone(_told(data))
        if status != runner.READY:
            raise self._gone("no answer to the source")

    def answer(self, room: int) -> tuple[bool, bytes]:
        """The next answer: True with the value's bytes, or False with why there is none."""
        status, data = self._frame(room)
        if status == runner.VALUE:
            return True, data
        if status == runner.RAISED:
            return False, data
        raise self._gone("an answer of an unknown kind")

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call a function of the model by name, as data both ways."""
        if self.broken:
            raise RunnerGone(self.broken)
        try:
            request = marshal.dumps((name, args, kwargs), 2)
        except ValueError:
            raise TypeError(f"{name}: the test passes arguments that are no plain data") from None
        try:
            self._channel.sendall(struct.pack(">I", len(request)) + request)
        except OSError:
            raise self._gone("the program ended") from None
        good, data = self.answer(self._room)
        if not good:
            raise _as_exception(data)
        try:
            return wire.decode(data)
        except wire.WireError as error:
            raise self._gone(f"malformed value: {error}") from None

    def _frame(self, room: int | None = None) -> tuple[bytes, bytes]:
        head = self._take(5)
        (length,) = struct.unpack(">I", head[1:])
        if length > min(max(room or 0, _SHORTEST_ROOM), self._room + _SHORTEST_ROOM):
            raise self._gone("an answer longer than allowed")
        return head[:1], self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._buffer) < count:
            try:
                part = self._channel.recv(1 << 16)
            except TimeoutError:
                raise self._gone("no answer in time") from None
            except OSError:
                part = b""
            if not part:
                raise self._gone("the program ended")
            self._buffer += part
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    def _gone(self, why: str) -> RunnerGone:
        self.broken = why
        return RunnerGone(why)


def judge_pairs(header: dict[str, Any], parts: list[bytes], peer: Runner) -> dict[str, Any]:
    """Compare each answer with the expected one; the verdict."""
    expected: list[bytes] = marshal.loads(parts[0])
    inputs = marshal.loads(parts[1]) if parts[1] else None
    compare = Compare(**header["compare"])
    passed, error = 0, ""
    try:
        peer.ready()
        for place, wanted in enumerate(expected):
            good, data = peer.answer(_ROOM_FACTOR * len(wanted))
            if good and data == wanted and compare.same_is_right:
                passed += 1
                continue
            if good:
                held, why = _compare(compare, data, wanted, inputs[place] if inputs else ())
            else:
                held, why = False, _told(data)
            passed += held
            if not held:
                error = error or f"input {place}: {why}"
                if header["fail_fast"]:
                    break
    except RunnerGone as gone:
        error = error or f"input {passed}: {gone}"
    return {"passed": passed == len(expected), "held": passed, "error": error, "gone": peer.broken}


def judge_test(header: dict[str, Any], parts: list[bytes], peer: Runner) -> dict[str, Any]:
    """Run a test with stand-ins; the verdict."""
    space: dict[str, Any] = {"__name__": "test"}
    calls = [0]

    def stand_in(name: str) -> Callable[..., Any]:
        def function(*args: Any, **kwargs: Any) -> Any:
            calls[0] += 1
            return peer.call(name, args, kwargs)

        function.__name__ = name
        return function

    random.seed(0)
    error = ""
    try:
        peer.ready()
        exec(compile(parts[1], "<prelude>", "exec", dont_inherit=True), space)
        space.update({name: stand_in(name) for name in header["names"]})
        exec(compile(parts[0], "<test>", "exec", dont_inherit=True), space)
    except RunnerGone as gone:
        error = str(gone)
    except BaseException as raised:  # noqa: BLE001 - whatever ends a test early is a failure
        error = f"{type(raised).__name__}: {raised}"[:_ERROR_CHARACTERS]
    good = not error and not peer.broken
    return {"passed": good, "held": int(good), "error": error, "gone": peer.broken}


def _compare(compare: Compare, data: bytes, wanted: bytes, arguments: Any) -> tuple[bool, str]:
    try:
        value = wire.decode(data)
    except wire.WireError as error:
        return False, f"malformed value: {error}"
    expected = wire.decode(wanted)
    if holds(compare, value, expected, arguments):
        return True, ""
    return False, f"expected {_short(expected)}, found {_short(value)}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # numbers of too many digits
        return f"a long {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "..."


def _told(data: bytes) -> str:
    """An exception's name and text as the runner tells them: advisory."""
    try:
        name, text, *_ = wire.decode(data)
        return f"{name}: {text}"[:_ERROR_CHARACTERS]
    except (wire.WireError, TypeError, ValueError):
        return "malformed error"


def _as_exception(data: bytes) -> BaseException:
    """What a test catches: the built-in exception that the model's was, else RuntimeError."""
    told = _told(data)
    try:
        name, text, base, given = wire.decode(data)
        kind = getattr(builtins, base)
        if kind not in _LOOPS_END and issubclass(kind, BaseException):
            made = kind(*given)
            return made if name == base or str(made) == text else kind(text)
    except (wire.WireError, TypeError, ValueError, AttributeError):
        pass  # malformed, or of a kind that is made of something else
    return RuntimeError(told)


def _serve(control: socket.socket) -> None:
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 4, 1)
        if not data:
            return
        (length,) = struct.unpack(">I", data + server.read_exactly(control, 4 - len(data)))
        header = json.loads(server.read_exactly(control, length))
        parts = [server.read_exactly(control, size) for size in header["parts"]]
        with socket.socket(fileno=descriptors[0]) as channel:
            channel.settimeout(header["stall_seconds"])
            peer = Runner(channel, header["value_bytes"])
            work = judge_pairs if header["kind"] == "pairs" else judge_test
            verdict = work(header, parts, peer)
        server.send_message(control, verdict)


def main() -> None:
    """Entry point of the judge process: its configuration as JSON."""
    config = json.loads(sys.argv[1])
    control = socket.socket(fileno=0)
    try:
        os.set_inheritable(0, False)
        proc_fd = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
        os.dup2(proc_fd, runner.PROC_FD)
        spare_uid = server.enter_level(config)
        limits = Limits(
            cpu_seconds=_CPU_SECONDS, memory_bytes=_MEMORY_BYTES, file_bytes=1, processes=4
        )
        runner.drop_rights(
            vars(limits),
            isolated=config["level"] != "container",
            spare_uid=spare_uid,
            readable=config["readable"],
        )
    except OSError as error:
        server.send_message(control, {"failed": str(error)})
        return
    server.send_message(control, {"ready": config["level"]})
    _serve(control)


if __name__ == "__main__":
    main()
