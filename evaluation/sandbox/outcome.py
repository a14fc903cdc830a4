"""The words of the sandbox: what a program may use, and what became of it.

All are frozen values without behaviour, so that supervisor, judge, fork server and callers share
one vocabulary. Only the standard library is imported: the untrusted side loads this file too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["strict", "user", "container"]
Grade = Literal["judged", "in-process", "none"]
Status = Literal[
    "ok",
    "wrong",
    "error",
    "exited",
    "timeout",
    "memory",
    "killed",
    "output_limit",
    "compile_error",
]


class SandboxError(RuntimeError):
    """The sandbox itself cannot do its duty (never: the program failed)."""


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    cpu_seconds: CPU time of the whole process tree, the limit that scores depend on (a process is
        stopped a second or a third later; what took longer than the limit never passes).
    input_cpu_seconds: CPU time of one call, where inputs are called one by one.
    wall_seconds: backstop against sleeping programs; None means max(3, 5 * cpu_seconds).
    memory_bytes: memory of the whole process tree, scratch folder included, where the level has a
        cgroup or a watcher; for Python and compiled programs the address space of each process too.
    output_bytes: how much of stdout is kept; the rest is drained up to 8 MiB, then the program is
        killed. value_bytes: an encoded value longer than this travels as its digest only, and so
        does a text longer than text_bytes: it is equal to another or not, nobody looks into it.
    file_bytes: largest single file. scratch_bytes: the whole scratch folder.
    processes: processes and threads that may live at once.
    """

    cpu_seconds: float = 3.0
    input_cpu_seconds: float = 3.0
    wall_seconds: float | None = None
    memory_bytes: int = 1024**3
    output_bytes: int = 64 * 1024
    value_bytes: int = 64 * 1024**2
    text_bytes: int = 64 * 1024**2
    file_bytes: int = 16 * 1024**2
    scratch_bytes: int = 64 * 1024**2
    processes: int = 64

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise ValueError(f"Limits.{name} must be above 0, found {value!r}")

    @property
    def stall_seconds(self) -> float:
        """How long, by the clock on the wall, one call may take: a backstop as well."""
        return max(3.0, 5.0 * self.input_cpu_seconds)

    @property
    def wall_limit_seconds(self) -> float:
        """The wall-clock backstop in force, seconds."""
        if self.wall_seconds is not None:
            return self.wall_seconds
        return max(3.0, 5.0 * self.cpu_seconds)


def whole_text(text: str) -> str:
    """A text that files can hold: half of a surrogate pair, as programs tell, is replaced."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True)
class Output:
    """What one call gave: status "ok" with `data`, the value in the form of wire.py, or not."""

    status: Literal["ok", "error", "timeout", "missing"]
    data: bytes = b""
    error: str = ""

    @property
    def value(self) -> Any:
        """The value as plain objects; raises wire.WireError when it is malformed."""
        from evaluation.sandbox import wire

        return wire.decode(self.data)


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    passed: whether the tests held; for jobs without tests, whether the program came to its end.
    status: "ok" only when passed; "wrong": a value or an assertion did not hold; "exited": an end
        before the last line (sys.exit, os._exit).
    grade: "judged" when values were compared outside the program's process, "in-process" when the
        tests shared its process, "none" without tests.
    stdout: the first output_bytes, stderr: the last 8 KiB, both decoded with replacement.
    result: the JSON value of the caller's result expression, None without one.
    error: exception type and message as told by the program (advisory), else "".
    cpu_seconds: of the whole process tree. tests_passed, tests_total: calls judged, 0 without.
    """

    passed: bool
    status: Status
    stdout: str
    stderr: str
    cpu_seconds: float
    wall_seconds: float
    result: Any
    error: str
    level: Level
    grade: Grade = "none"
    exit_code: int | None = None
    outputs: tuple[Output, ...] = ()
    tests_passed: int = 0
    tests_total: int = 0
