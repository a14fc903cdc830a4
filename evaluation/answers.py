"""Turn what a model wrote into Python: the first fenced block, trimmed to what parses.

Both steps are plain text functions with the raw text kept beside them. Unlike a trimmer that
searches for the longest parsable range and re-emits it, this one keeps comments, classes, async
functions and everything else the author wrote up to the first line that cannot belong to it.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterator

# a fence may stand behind a list's marker, or behind words if nothing but its language follows
_OPENING = re.compile(
    r"(?P<indent>[ \t]*(?:(?:[-*+]|\d+[.)])[ \t]+)?)(?P<words>[^`]*?)"
    r"`{3,}[ \t]*(?P<language>[\w+#-]*)(?P<rest>[^`]*)$"
)
_CLOSING = re.compile(r"([ \t]*)`{3,}([\w+#-]?)")
_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_DEFINITION = re.compile(r"^(?:async[ \t]+)?(?:def|class)[ \t]+\w", re.M)
_STATEMENT = re.compile(
    r"^(?:@\w|(?:async[ \t]+)?def[ \t]+\w+[ \t]*\(|class[ \t]+\w+[ \t]*[(:]"
    r"|import[ \t]+[\w., ]+$|from[ \t]+[\w.]+[ \t]+import\b)",
    re.M,
)
_THOUGHT = re.compile(r"\A\s*(?:<think>)?(?:(?!</?think>).)*</think>\s*", re.S)
_PYTHON = frozenset({"python", "py", "python3"})


def extract_code(text: str, languages: Collection[str] = _PYTHON, *, name: str = "") -> str:
    r"""The first block in one of the languages; else the first block; else the whole text.

    What a model thought before its answer (`<think>...</think>`) is no part of it.
    name: prefer the first block that defines this function or class, in whatever order.
    >>> extract_code("Sure:\n```python\nx = 1\n```\nDone.")
    'x = 1\n'
    """
    text = _THOUGHT.sub("", text)
    blocks = list(_blocks(text))
    fitting = [body for language, body in blocks if language in languages]
    others = [body for language, body in blocks if language not in languages]
    ordered = [*fitting, *others] or [text]
    if name:
        return next((body for body in ordered if defines(body, name)), ordered[0])
    return ordered[0]


def _blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block, without the indentation that its fence has.

    A fence that is deeper than its opening by a level of code is part of the code.
    """
    lines = text.split("\n")
    place = 0
    while place < len(lines):
        opening = _OPENING.match(lines[place])
        place += 1
        if opening is None or (opening["words"] and opening["rest"].strip()):
            continue
        indent = len(opening["indent"])
        body, closed = [], False
        while place < len(lines) and not closed:
            fence = _CLOSING.match(lines[place])
            closed = fence is not None and len(fence[1]) < indent + 4
            if not closed:
                line = lines[place]
                body.append(line[min(indent, len(line) - len(line.lstrip(" \t"))) :])
            if not closed or not (fence and fence[2]):  # else the next block begins there
                place += 1
        yield opening["language"].lower(), "\n".join([*body, ""] if closed else body)


def defines(code: str, name: str) -> bool:
    """Whether the code has a top-level function or class of this name, judged by its text."""
    return (
        re.search(rf"^(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(name)}\b", code, re.M)
        is not None
    )


def trim_to_parsable(code: str, *, minimum_lines: int = 0) -> str:
    r"""Drop lines from the end until the code parses; unchanged if no prefix does.

    minimum_lines: how many leading lines must stay (the prompt's).
    >>> trim_to_parsable("x = 1\nI hope this helps!")
    'x = 1\n'
    """
    lines = _LINES.findall(code)
    count = len(lines)
    while count >= max(minimum_lines, 1):
        prefix = "".join(lines[:count])
        wrong = _wrong_line(prefix)
        if not wrong:
            return prefix
        count = min(count, wrong) - 1  # whatever stands after that line, it is wrong
    return code


def without_preface(code: str) -> str:
    r"""Drop the prose before the first statement of code that does not parse from its beginning.

    >>> without_preface("Here it is:\n\nimport os\ndef f(): ...")
    'import os\ndef f(): ...'
    """
    first = _STATEMENT.search(code)
    trimmed = trim_to_parsable(code)
    if first is None or (parses(trimmed) and _DEFINITION.search(trimmed)):
        return code
    return code[first.start() :]


def parses(code: str) -> bool:
    """Whether the text is valid Python."""
    return not _wrong_line(code)


def _wrong_line(code: str) -> int:
    """Number of the line where Python stops reading, 0 when it reads all."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(code)
        except SyntaxError as error:
            return error.lineno or code.count("\n") + 1
        except (ValueError, RecursionError, MemoryError):
            return code.count("\n") + 1
    return 0
