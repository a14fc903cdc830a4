"""What a sandbox can be asked to do: one frozen value per kind of job.

`Pairs` and `RemoteTest` compare outside the program's process and give "judged" verdicts; prefer
them. `Program` and `LanguageTest` share a process with their tests: "in-process". `Calls` and
`Command` only run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from evaluation.judging.compare import Compare
from evaluation.sandbox.outcome import Limits


@dataclass(frozen=True)
class Pairs:
    """Call `entry_point(*arguments)` for each of `inputs`; the judge compares with `expected`.

    expected: plain values, or their bytes in the form of wire.py with encoded=True. fail_fast: stop
    at the first wrong value; without it `tests_passed` counts all, and each answer is sent at once.
    checkpoint: how many leading inputs must be counted even if a later one ends the program.
    """

    source: str
    entry_point: str
    inputs: Sequence[Sequence[Any]]
    expected: Sequence[Any]
    compare: Compare = Compare()  # noqa: RUF009 - frozen
    fail_fast: bool = True
    encoded: bool = False
    checkpoint: int = 0
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    profile: str = "python"

    def __post_init__(self) -> None:
        if len(self.inputs) != len(self.expected):
            raise ValueError(f"{len(self.inputs)} inputs, but {len(self.expected)} expected values")


@dataclass(frozen=True)
class RemoteTest:
    """Run a benchmark's own Python test in the judge, with stand-ins for the model's functions.

    names: what the test calls; each stand-in sends plain arguments to the runner and gets plain
    data back. prelude: trusted code before the test (helpers of the prompt). Exceptions of the
    model arrive as the built-in exception that they are or derive from; what would end a loop of
    the test arrives as RuntimeError.
    """

    source: str
    test: str
    names: Sequence[str]
    prelude: str = ""
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    profile: str = "python"


@dataclass(frozen=True)
class Calls:
    """Call `entry_point(*arguments)` for each of `inputs`; Outcome.outputs holds what came."""

    source: str
    entry_point: str
    inputs: Sequence[Sequence[Any]]
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    profile: str = "python"


@dataclass(frozen=True)
class Program:
    """Execute a Python program, then `test` in the same module: an in-process verdict.

    The asserts of `test` are counted as they hold; those that stand at its top level, or directly
    in a function called from there, must all have been reached. result: an expression evaluated
    after the last line; its value, if JSON can hold it, becomes Outcome.result. profile: "python"
    (the standard library), "doctests" (the same, with doctest at hand), or "packages" (this
    environment's packages too, numpy at hand).
    """

    source: str
    test: str = ""
    result: str | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen
    profile: str = "python"


@dataclass(frozen=True)
class Command:
    """Compile (inside, cached) and run a program; Outcome has stdout and exit_code.

    language: a name of languages.LANGUAGES. passed means that it ended with exit status 0.
    """

    language: str
    source: str
    stdin: str = ""
    arguments: Sequence[str] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    limits: Limits = Limits()  # noqa: RUF009 - frozen


@dataclass(frozen=True)
class LanguageTest:
    """Compile and run a program together with its tests: an in-process verdict.

    source: everything before the tests. test: the benchmark's text, put after it. The end of the
    tests is made to prove with a nonce that it was reached; exit status alone never passes.
    """

    language: str
    source: str
    test: str
    limits: Limits = Limits()  # noqa: RUF009 - frozen


Job = Pairs | RemoteTest | Calls | Program | Command | LanguageTest
