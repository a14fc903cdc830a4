"""Comments as Pygments tells them, for the languages that have no scanner here.

Pygments is slow (below 1 MB/s) and some of its lexers take time that grows with the square of the
text, so it only sees texts of at most ``MAX_CHARS``, and is stopped when it has taken
``MAX_SECONDS`` all the same; what it did not see is split line by line (``lines.py``).
"""

from __future__ import annotations

import functools
import re
import time
from typing import Any

from assets.refinecode.filters.comments.spans import Span

#: Longer texts are not given to Pygments.
MAX_CHARS = 64_000
#: CPU time after which a text is given up. Far above what ordinary texts of that size take (0.1 s,
#: the slowest lexers 0.5 s), so that only hostile texts meet it and verdicts do not depend on the
#: machine.
MAX_SECONDS = 2.0
_STEP = 8
#: Some patterns of Pygments look through all white space again from each of its characters, which
#: no clock between tokens can stop: texts with so much of it in one place are not given to it.
_MUCH_SPACE = re.compile(r"\s{2000}")


@functools.cache
def lexer(program: str) -> Any | None:
    """The Pygments lexer of that name, None if there is none."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        return get_lexer_by_name(program)
    except ClassNotFound:
        return None


@functools.cache
def _comment_types() -> frozenset[Any]:
    from pygments.token import Comment, String

    return frozenset(
        (Comment.Multiline, Comment.Single, Comment.Hashbang, Comment.Special, String.Doc)
    )


def lexer_comments(program: str, text: str) -> list[Span] | None:
    """Where the comments are; None where Pygments has no answer in time or changes the text.

    ``text`` is normalised already, as the lexer would do.
    """
    found = lexer(program)
    if found is None or len(text) > MAX_CHARS or _MUCH_SPACE.search(text):
        return None
    types = _comment_types()
    spans: list[Span] = []
    position = 0
    deadline = time.process_time() + MAX_SECONDS
    for count, (_, kind, value) in enumerate(found.get_tokens_unprocessed(text)):
        start, position = position, position + len(value)
        if kind in types and value:
            if spans and spans[-1][1] == start:
                spans[-1] = (spans[-1][0], position)
            else:
                spans.append((start, position))
        if count % _STEP == 0 and time.process_time() > deadline:
            return None
    return spans if position == len(text) else None
