"""The words of the sandbox: what a program may use, and what became of it.

Both are frozen values without behaviour, so that the supervisor, the fork server and the callers
share one vocabulary. Only the standard library is imported: the fork server loads this file too.
Limits follow the 3 s of the paper's evaluation code, but score CPU time instead of wall time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Level = Literal["strict", "user"]
Status = Literal["ok", "error", "exited", "timeout", "memory", "killed", "output_limit"]

STDERR_TAIL_BYTES = 8 * 1024
DRAIN_BYTES = 8 * 1024 * 1024
RESULT_BYTES = 1024 * 1024


class SandboxError(RuntimeError):
    """The sandbox itself cannot do its duty (never: the program failed)."""


@dataclass(frozen=True)
class Limits:
    """What one program may use.

    cpu_seconds: CPU time of a process, the limit that scores depend on (the kernel counts whole
        seconds: fractions are rounded up). wall_seconds: backstop against sleeping programs;
        None means max(3, 5 * cpu_seconds). memory_bytes: address space of each process.
    output_bytes: how much of stdout is kept; the rest is drained up to 8 MiB, then the program is
        killed. file_bytes: largest single file. scratch_bytes: the whole scratch folder.
    processes: processes and threads that may live at once.
    """

    cpu_seconds: float = 3.0
    wall_seconds: float | None = None
    memory_bytes: int = 1024**3
    output_bytes: int = 64 * 1024
    file_bytes: int = 16 * 1024**2
    scratch_bytes: int = 64 * 1024**2
    processes: int = 16

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise ValueError(f"Limits.{name} must be above 0, found {value!r}")

    @property
    def wall_limit_seconds(self) -> float:
        """The wall-clock backstop in force, seconds."""
        if self.wall_seconds is not None:
            return self.wall_seconds
        return max(3.0, 5.0 * self.cpu_seconds)


@dataclass(frozen=True)
class Outcome:
    """What became of one program.

    passed: the source ran to its end without an exception and the right nonce arrived.
    status: "ok" only when passed; "exited" is an end before the last line (sys.exit, os._exit).
    stdout: the first output_bytes, stderr: the last 8 KiB, both decoded with replacement.
    result: the JSON value of the caller's result expression, None without one.
    error: exception type and message as told by the program (advisory), else "".
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
