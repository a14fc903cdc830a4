"""Shared by benchmarks whose programs read standard input and print: many inputs, one process.

The program becomes a function from its input to what it printed, as words by line, so that the
judge compares outputs as data and stops at the first wrong one. Every run gets a fresh module, and
files of its own on descriptors 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.sandbox import Limits, Pairs

_DRIVER = """
import atexit as _atexit
import os as _os
import sys as _sys

_CODE = compile({source!r}, "<solution>", "exec")


def _file(number, name, mode):
    descriptor = _os.open(name, _os.O_RDWR | _os.O_CREAT | _os.O_TRUNC)
    _os.dup2(descriptor, number)
    if descriptor != number:
        _os.close(descriptor)
    return open(number, mode, encoding="utf-8", newline=None, closefd=False)


def run_with(text):
    written = _file(0, "input", "r+")
    written.write(text)
    written.flush()
    _os.lseek(0, 0, 0)
    _sys.stdin = open(0, encoding="utf-8", closefd=False)
    kept, _sys.stdout = _sys.stdout, _file(1, "output", "r+")
    try:
        exec(_CODE, {{"__name__": "__main__"}})
    except SystemExit as ending:
        if ending.code not in (None, 0):
            raise RuntimeError(f"exit status {{ending.code}}") from None
    finally:
        _atexit._run_exitfuncs()
        printing, _sys.stdout = _sys.stdout, kept
    if not printing.closed:
        printing.flush()
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
    """A check of a whole program against (input, expected output) cases."""
    return Pairs(
        source=_DRIVER.format(source=source),
        entry_point="run_with",
        inputs=[(given,) for given, _ in cases],
        expected=[printed_words(wanted) for _, wanted in cases],
        limits=limits,
    )
