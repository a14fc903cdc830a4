"""Shared by benchmarks whose programs read standard input and print: many inputs, one process.

The program becomes a function from its input to what it printed, as words by line, so that the
judge compares outputs as data and stops at the first wrong one. Every run gets a fresh module.
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.sandbox import Limits, Pairs

_DRIVER = """
import io as _io
import sys as _sys

_CODE = compile({source!r}, "<solution>", "exec")


def run_with(text):
    _sys.stdin = _io.TextIOWrapper(_io.BytesIO(text.encode()), encoding="utf-8")
    kept, _sys.stdout = _sys.stdout, _io.TextIOWrapper(_io.BytesIO(), encoding="utf-8")
    try:
        exec(_CODE, {{"__name__": "__main__"}})
    except SystemExit as ending:
        if ending.code not in (None, 0):
            raise RuntimeError(f"exit status {{ending.code}}") from None
    finally:
        written, _sys.stdout = _sys.stdout, kept
    written.flush()
    printed = written.buffer.getvalue().decode("utf-8", "replace")
    return [line.split() for line in printed.splitlines() if line.strip()]
"""


def printed_words(text: str) -> list[list[str]]:
    """Words of each line that is not blank: what has to agree.

    >>> printed_words("1 2\\n\\n3 \\n")
    [['1', '2'], ['3']]
    """
    return [line.split() for line in text.splitlines() if line.strip()]


def stdin_pairs(source: str, cases: Sequence[tuple[str, str]], limits: Limits) -> Pairs:
    """A check of a whole program against (input, expected output) cases."""
    try:
        compile(source, "<solution>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        driver = source  # its own error is the verdict
    else:
        driver = _DRIVER.format(source=source)
    return Pairs(
        source=driver,
        entry_point="run_with",
        inputs=[(given,) for given, _ in cases],
        expected=[printed_words(wanted) for _, wanted in cases],
        limits=limits,
    )
