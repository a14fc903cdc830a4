"""Run untrusted Python programs in a separate, resource-limited process without network or files.

A warm fork server prepares namespaces and a minimal read-only file view once; each program gets its
own pid tree, memory-backed scratch folder, empty environment and limits, and is killed as a whole.
A program counts as passed only if it ran to its end and a per-run nonce came back over a dedicated
channel; exit status and printed text never count. This is an in-process grade: a program that hunts
for the channel in its own process can still forge it, which is why results carry their level.

>>> from evaluation.sandbox import Limits, run_program
>>> run_program("assert 1 + 1 == 2", limits=Limits(cpu_seconds=1.0)).passed  # doctest: +SKIP
True
"""

from evaluation.sandbox.outcome import Level, Limits, Outcome, SandboxError, Status
from evaluation.sandbox.probe import Probe, ensure_level, self_test
from evaluation.sandbox.supervisor import run_checked, run_program, run_programs

__all__ = [
    "Level",
    "Limits",
    "Outcome",
    "Probe",
    "SandboxError",
    "Status",
    "ensure_level",
    "run_checked",
    "run_program",
    "run_programs",
    "self_test",
]
