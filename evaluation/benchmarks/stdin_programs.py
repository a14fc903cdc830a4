"""Shared by benchmarks whose programs read standard input and print: many inputs, one check.

The program becomes a function from its input to what it printed, as words by line, so that the
judge compares outputs as data and stops at the first wrong one. Every run is a process of its own,
forked once the program is compiled, with files on descriptors 0 and 1; it ends as Python ends:
threads are waited for, what was registered for the exit is called.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.benchmarks.python_functions import profile_of
from evaluation.sandbox import Compare, Limits, Pairs

_DRIVER = """
import os as _os
import signal as _signal
import sys as _sys

_CODE = compile({source!r}, "<solution>", "exec")
_HOME = _os.getcwd()
_used = 0.0


def _file(number, name):
    descriptor = _os.open(name, _os.O_RDWR | _os.O_CREAT | _os.O_TRUNC)
    _os.dup2(descriptor, number)
    if descriptor != number:
        _os.close(descriptor)


def _play(text):
    import atexit, random, threading, types

    random.seed(0)
    _signal.setitimer(_signal.ITIMER_PROF, {call_seconds} * 1.33)
    _file(0, "input")
    with open(0, "w", encoding="utf-8", closefd=False) as file:
        file.write(text)
    _os.lseek(0, 0, 0)
    _file(1, "output")
    _os.closerange(3, 64)
    _sys.stdin = _sys.__stdin__ = open(0, encoding="utf-8", closefd=False)
    _sys.stdout = _sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)
    main = _sys.modules["__main__"] = types.ModuleType("__main__")
    main.__file__ = "<solution>"
    status = None
    try:
        exec(_CODE, main.__dict__)
    except SystemExit as ending:
        status = ending.code
    except BaseException as error:
        status = f"{{type(error).__name__}}: {{error}}"
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (_sys.stdout, _sys.__stdout__):
        try:
            stream.flush()
        except ValueError:  # closed, or detached
            pass
    if status is None or isinstance(status, int):
        return status or 0
    with open(_HOME + "/problem", "w", encoding="utf-8", errors="replace") as file:
        file.write(str(status)[:300])
    return 1


def run_with(text):
    global _used
    child = _os.fork()
    if child == 0:
        try:
            _os._exit(_play(text))
        finally:
            _os._exit(1)
    _, status, usage = _os.wait4(child, 0)
    seconds = usage.ru_utime + usage.ru_stime
    _used += seconds
    code = _os.waitstatus_to_exitcode(status)
    if seconds > {call_seconds} or _used > {seconds}:
        code = -_signal.SIGXCPU
    if code < 0:
        _signal.raise_signal(-code)
    if code:
        told = open("problem").read() if _os.path.exists("problem") else ""
        raise RuntimeError(told or f"exit status {{code}}")
    with open("output", encoding="utf-8", errors="replace") as file:
        return [line.split() for line in file.read().splitlines() if line.strip()]
"""


def printed_words(text: str) -> list[list[str]]:
    """Words of each line that is not blank: what has to agree.

    >>> printed_words("1 2\\n\\n3 \\n")
    [['1', '2'], ['3']]
    """
    return [line.split() for line in text.splitlines() if line.strip()]


def stdin_pairs(source: str, cases: Sequence[tuple[str, str]], limits: Limits) -> Pairs:
    """A check of a whole program against (input, expected output) cases; a line may also have other
    words that are numbers and equal."""
    return Pairs(
        source=_DRIVER.format(
            source=source, call_seconds=limits.input_cpu_seconds, seconds=limits.cpu_seconds
        ),
        entry_point="run_with",
        inputs=[(given,) for given, _ in cases],
        expected=[printed_words(wanted) for _, wanted in cases],
        compare=Compare(oracle="printed"),
        limits=limits,
        profile=profile_of(source),
    )
