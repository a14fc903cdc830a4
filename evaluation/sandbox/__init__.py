"""Run untrusted programs in isolated, resource-limited processes, and judge them from outside.

Three roles in three kinds of process. The supervisor (this one) hands out jobs. The judge holds the
expected values and the benchmark's tests and runs no model code. The runner executes model code and
gives back plain data; it knows no expected value, so nothing in its reach can be forged but its own
answers. Runners come from warm fork servers, have namespaces, a read-only file view, a small
scratch folder, an empty environment, hard limits, a system-call filter and Landlock, and are killed
as a whole tree. See jobs.py for what can be asked, docs/sandbox.md for levels and measurements.

>>> from evaluation.sandbox import Pairs, Sandbox
>>> job = Pairs("def add(a, b):\\n    return a + b", "add", inputs=[(1, 2)], expected=[3])
>>> with Sandbox("strict") as sandbox:  # doctest: +SKIP
...     sandbox.run(job).passed
True
"""

from evaluation.judging.compare import Compare
from evaluation.sandbox.jobs import (
    Calls,
    Command,
    Job,
    LanguageTest,
    Pairs,
    Program,
    RemoteTest,
)
from evaluation.sandbox.outcome import (
    Grade,
    Level,
    Limits,
    Outcome,
    Output,
    SandboxError,
    Status,
)
from evaluation.sandbox.pool import Sandbox, run_program, run_programs
from evaluation.sandbox.probe import Probe, ensure_level, self_test

__all__ = [
    "Calls",
    "Command",
    "Compare",
    "Grade",
    "Job",
    "LanguageTest",
    "Level",
    "Limits",
    "Outcome",
    "Output",
    "Pairs",
    "Probe",
    "Program",
    "RemoteTest",
    "Sandbox",
    "SandboxError",
    "Status",
    "ensure_level",
    "run_program",
    "run_programs",
    "self_test",
]
