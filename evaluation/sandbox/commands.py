"""Programs of other languages: compile inside the sandbox, keep what came out, run.

Compiled files travel as bytes over a socket, never by name through the file system, and are kept by
a hash of the source and the toolchain. Tests that must share the program's process are rewritten
(instrument.py) to say a nonce after their last line, which an early exit cannot.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from evaluation.sandbox import wire
from evaluation.sandbox.instrument import instrument
from evaluation.sandbox.jobs import Command, LanguageTest
from evaluation.sandbox.languages import Language, Toolchain, toolchain
from evaluation.sandbox.outcome import Limits, Outcome, SandboxError
from evaluation.sandbox.supervisor import Worker

# compilers are trusted not to be hostile, but their input is not: limits of their own
COMPILE_LIMITS = Limits(
    cpu_seconds=60,
    memory_bytes=2 * 1024**3,
    file_bytes=128 * 1024**2,
    scratch_bytes=256 * 1024**2,
    processes=64,
)
_RUNTIME_PROCESSES = 64  # threads that virtual machines start before the program does
_CACHE_BYTES = 256 * 1024**2
_PROGRAM_BYTES = 32 * 1024**2  # it lies in the program's scratch folder
_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "NODE_DISABLE_COLORS": "1",
    "PYTHONHASHSEED": "0",
}

_Files = dict[str, tuple[bytes, bool]]  # contents, executable


@dataclass(frozen=True)
class _Compiled:
    files: _Files
    failed: Outcome | None


def run_command(worker: Worker, job: Command) -> Outcome:
    """See jobs.Command. Raises SandboxError where the language has no toolchain."""
    tools = _toolchain(job.language)
    given = {
        name: (text.encode("utf-8", "surrogatepass"), False) for name, text in job.files.items()
    }
    for name in given:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"file {name!r}: expected a path inside the working folder")
    source = job.source.encode("utf-8", "surrogatepass")
    compiled = _compile(worker, tools, source, given)
    if compiled.failed is not None:
        return compiled.failed
    answer = _run(
        worker, tools, compiled.files | given, job.stdin.encode(), list(job.arguments), job.limits
    )
    status, passed = _ending(answer, job.limits)
    return worker.outcome(answer, job.limits, passed, status)


def run_language_test(worker: Worker, job: LanguageTest) -> Outcome:
    """See jobs.LanguageTest. Raises SandboxError where the language has no toolchain."""
    tools = _toolchain(job.language)
    program = instrument(job.language, job.source, job.test)
    compiled = _compile(worker, tools, program.encode("utf-8", "surrogatepass"), {})
    if compiled.failed is not None:
        return replace(compiled.failed, grade="in-process")
    nonce = secrets.token_hex(32)
    answer = _run(worker, tools, compiled.files, nonce.encode() + b"\n", [], job.limits)
    status, ended = _ending(answer, job.limits)
    reached = f"{nonce} held" in answer["stderr"].split("\n")  # handlers of its end may tell more
    passed = ended and reached
    if ended and not reached:
        status = "exited"
    elif status == "error":
        status = "wrong"  # a failed assertion is told by the exit status in these languages
    answer["stderr"] = answer["stderr"].replace(nonce, "-")
    error = "" if passed else answer["stderr"].strip()[-300:]
    return worker.outcome(
        answer, job.limits, passed, "ok" if passed else status, error=error, grade="in-process"
    )


def _toolchain(name: str) -> Toolchain:
    found = toolchain(name)
    if found.missing:
        raise SandboxError(f"language {name!r} cannot be run here: {found.missing}")
    return found


def _compile(worker: Worker, tools: Toolchain, source: bytes, given: _Files) -> _Compiled:
    language = tools.language
    files = given | {language.file: (source, False)}
    if not language.compile:
        return _Compiled(files, None)
    facts = [language.name, tools.version, *language.compile, *sorted(files)]
    digest = hashlib.sha256("\0".join(facts).encode())
    for name in sorted(files):
        digest.update(hashlib.sha256(files[name][0]).digest())
    key = f"{worker.level} {digest.hexdigest()}"
    if (known := _CACHE.get(key)) is not None:
        return known
    data, answer = _run_compiler(worker, tools, files | _library_cache(worker, tools), "made")
    status, good = _ending(answer, COMPILE_LIMITS)
    if not good:
        told = (answer["stderr"] + answer["stdout"])[-2000:]
        failed = worker.outcome(
            answer,
            COMPILE_LIMITS,
            False,
            "compile_error" if status in ("error", "exited") else status,
            error=told,
        )
        compiled = _Compiled({}, failed)
    else:
        compiled = _Compiled(_made(data), None)
        if _Cache.size(compiled) > _PROGRAM_BYTES:
            told = f"the compiled program has more than {_PROGRAM_BYTES} bytes"
            failed = worker.outcome(answer, COMPILE_LIMITS, False, "compile_error", error=told)
            compiled = _Compiled({}, failed)
    _CACHE.put(key, compiled)
    return compiled


def _run_compiler(
    worker: Worker, tools: Toolchain, files: _Files, collect: str
) -> tuple[bytes, dict[str, Any]]:
    """(the files that the compiler made, as frames of the runner; how it ended)"""
    command = tools.command(tools.language.compile)
    header, parts = _request(tools.language, command, files, b"", collect)
    return worker.converse("native", header, parts, COMPILE_LIMITS, COMPILE_LIMITS.scratch_bytes)


def _library_cache(worker: Worker, tools: Toolchain) -> _Files:
    """What a compiler keeps of the libraries that programs use, from a program of ours alone; empty
    where it keeps nothing, or the libraries are not there."""
    language = tools.language
    if not language.warm_up:
        return {}
    key = f"{worker.level} {language.name} {tools.version}"
    with _WARMING:
        if key not in _WARM:
            files = {language.file: (language.warm_up.encode(), False)}
            data, answer = _run_compiler(worker, tools, files, "caches")
            _WARM[key] = _made(data) if _ending(answer, COMPILE_LIMITS)[1] else {}
        return _WARM[key]


def _made(data: bytes) -> _Files:
    """Files that the compiler made, from the frames of the runner."""
    made: _Files = {}
    at = 0
    while at + 4 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        name, executable, content = wire.decode(data[at + 4 : at + 4 + length])
        at += 4 + length
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or type(content) is not bytes:
            raise SandboxError(f"the compiler left an odd file: {name!r}")
        made[name] = (content, executable is True)
    return made


def _run(
    worker: Worker,
    tools: Toolchain,
    files: _Files,
    stdin: bytes,
    arguments: list[str],
    limits: Limits,
) -> dict[str, Any]:
    language = tools.language
    if not language.address_space:
        limits = replace(limits, processes=max(limits.processes, _RUNTIME_PROCESSES))
    command = [*tools.command(language.run), *arguments]
    header, parts = _request(language, command, files, stdin)
    return worker.command(header, parts, limits)


def _request(
    language: Language, command: list[str], files: _Files, stdin: bytes, collect: str = ""
) -> tuple[dict[str, Any], list[bytes]]:
    parts = [stdin]
    listed = {}
    for name, (content, executable) in files.items():
        listed[name] = [len(parts) - 1, executable]
        parts.append(content)
    header = {
        "mode": "command",
        "argv": command,
        "environment": _ENVIRONMENT | dict(language.environment),
        "files": listed,
        "collect": collect,
        "address_space": language.address_space and not collect,
    }
    return header, parts


def _ending(answer: dict[str, Any], limits: Limits) -> tuple[Any, bool]:
    """Status and whether the program ended well."""
    if answer["stopped"]:
        return answer["stopped"], False
    if answer["out_of_memory"]:
        return "memory", False
    code = answer["code"]
    if code == 0:
        return "ok", True
    if code in (-24, -27, 152, 155) or (
        code in (-9, 137) and answer["cpu_seconds"] >= limits.cpu_seconds
    ):
        return "timeout", False
    return ("error" if code is not None and code > 0 else "killed"), False


class _Cache:
    """The files of compilers, least recently used out first."""

    def __init__(self, room: int) -> None:
        self._room, self._held = room, 0
        self._found: OrderedDict[str, _Compiled] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> _Compiled | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def put(self, key: str, compiled: _Compiled) -> None:
        with self._lock:
            if key in self._found:  # another worker compiled it at the same time
                return
            self._found[key] = compiled
            self._held += self.size(compiled)
            while self._held > self._room:
                _, oldest = self._found.popitem(last=False)
                self._held -= self.size(oldest)

    @staticmethod
    def size(compiled: _Compiled) -> int:
        return 1024 + sum(len(content) for content, _ in compiled.files.values())


_CACHE = _Cache(_CACHE_BYTES)
_WARM: dict[str, _Files] = {}
_WARMING = threading.Lock()
