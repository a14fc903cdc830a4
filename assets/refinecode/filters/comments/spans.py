"""What the scanners share: spans of text, and a search that never runs twice in vain.

A scanner is a function from a text to the places of its comments, in order, without overlaps. Text
that opens something and never closes it would cost a search to the end at each opening, time that
grows with the square of the size; ``Finder`` remembers how far it looked.
"""

from __future__ import annotations

from collections.abc import Callable

#: Start and end (excluded) of a comment, in code points.
Span = tuple[int, int]
Scanner = Callable[[str], list[Span]]


def most_steps(text: str) -> int:
    """Places that a scanner looks at by hand before it lets the rest go: one for each 16 characters
    and 10,000 more, which no code comes near (one for each 25 is much, of more than 20 kB)."""
    return 10_000 + len(text) // 16


class Finder:
    """``text.find`` for searches that go forward: what was looked through is not read again."""

    def __init__(self, text: str) -> None:
        self._text = text
        #: For each text looked for: where the last search began, and what it found.
        self._last: dict[str, Span] = {}

    def __call__(self, what: str, start: int) -> int:
        """Where ``what`` next is at or after ``start``; -1 if nowhere."""
        last = self._last.get(what)
        if last is not None and start >= last[0] and (last[1] < 0 or start <= last[1]):
            return last[1]
        found = self._text.find(what, start)
        self._last[what] = (start, found)
        return found


def starts_line(text: str, seen: int, start: int) -> bool:
    """Whether only white space stands before ``start`` on its line.

    What is before ``seen`` was read already and is not read again, so that a text of one line costs
    no more than any other: a line that starts before ``seen - 1`` does not count.
    """
    line = text.rfind("\n", max(seen - 1, 0), start) + 1
    if line == 0 and seen:
        return False
    before = text[line:start]
    return not before or before.isspace()
