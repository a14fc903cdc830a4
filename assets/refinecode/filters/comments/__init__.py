"""A text split into code and comments, as the lexers of the paper's filters split it, but fast.

Signals count in the code alone or in the comments alone (paper, appendix A). The reference runs
Pygments over every file, which is most of its time; here scanners of our own, one a language, look
only at what can start a comment or hide one. They give what Pygments 2.18 gives, quirks included;
languages without a scanner go to Pygments itself (bounded in size and time), and languages that it
does not know are split line by line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from assets.refinecode.filters.comments import lines
from assets.refinecode.filters.comments.c_family import c_comments, cpp_comments
from assets.refinecode.filters.comments.curly import csharp_comments, go_comments, java_comments
from assets.refinecode.filters.comments.html import html_comments
from assets.refinecode.filters.comments.javascript import javascript_comments, typescript_comments
from assets.refinecode.filters.comments.lexers import lexer, lexer_comments
from assets.refinecode.filters.comments.python import python_comments
from assets.refinecode.filters.comments.rust import rust_comments
from assets.refinecode.filters.comments.shell import shell_comments
from assets.refinecode.filters.comments.simple import (
    json_comments,
    no_comments,
    sql_comments,
    xml_comments,
)
from assets.refinecode.filters.comments.spans import Scanner, Span
from assets.refinecode.filters.comments.yaml import yaml_comments

__all__ = ["SCANNERS", "Split", "normalised", "split"]

#: Our own scanners, by program language; the others go to Pygments.
SCANNERS: Mapping[str, Scanner] = MappingProxyType(
    {
        "c": c_comments,
        "cmake": no_comments,
        "cpp": cpp_comments,
        "csharp": csharp_comments,
        "css": no_comments,
        "go": go_comments,
        "html": html_comments,
        "java": java_comments,
        "javascript": javascript_comments,
        "json": json_comments,
        "python": python_comments,
        "rust": rust_comments,
        "shell": shell_comments,
        "sql": sql_comments,
        "text": no_comments,
        "typescript": typescript_comments,
        "xml": xml_comments,
        "yaml": yaml_comments,
    }
)


@dataclass(frozen=True)
class Split:
    """The two parts of a text.

    Under the rules ``opencoder`` every character of the normalised text is in one of them, in
    order, nothing put in between. Under ``cookbook`` all line ends stay in the code, so that lines
    of code never merge, and each comment ends with a line end of its own.
    """

    code: str
    comments: str


def split(raw: str, program: str, rules: str = "cookbook") -> Split:
    """Code and comments of a text in a program language (lower-case linguist name).

    ``rules`` is ``opencoder`` (what the paper's release does, including consecutive comments that
    merge into one line and code that moves up behind a comment) or ``cookbook``. Never raises;
    time is linear in the size of the text.

    >>> split("x = 1  # one\\n# two\\n", "python")
    Split(code='x = 1  \\n\\n', comments='# one\\n# two\\n')
    """
    faithful = rules == "opencoder"
    if program == "perl":
        text = raw
        spans = lines.perl_lines(raw) if faithful else lines.perl_comments(raw)
    else:
        text = normalised(raw)
        scanner = SCANNERS.get(program)
        found = scanner(text) if scanner else lexer_comments(program, text)
        if found is None and (not faithful or lexer(program) is None):
            text = raw
        if found is not None:
            spans = found
        elif faithful:
            spans = lines.toggling(text)
        else:
            spans = lines.MARKS.get(program, lines.UNKNOWN).comments(text)
    return _glued(text, spans) if faithful else _by_line(text, spans)


def normalised(raw: str) -> str:
    """The text as lexers see it: no byte order mark, ``\\n`` line ends, no blank lines around it,
    a line end at the end."""
    text = raw.removeprefix("\ufeff")
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = text.strip("\n")
    return text + "\n"


def _glued(text: str, spans: list[Span]) -> Split:
    if not spans:
        return Split(text, "")
    code: list[str] = []
    position = 0
    for start, end in spans:
        code.append(text[position:start])
        position = end
    code.append(text[position:])
    return Split("".join(code), "".join([text[start:end] for start, end in spans]))


def _by_line(text: str, spans: list[Span]) -> Split:
    if not spans:
        return Split(text, "")
    code: list[str] = []
    comments: list[str] = []
    position = 0
    for start, end in spans:
        comment = text[start:end]
        kept = comment.rstrip("\n")
        code.append(text[position:start])
        comments.append(kept)
        position = start + len(kept)
    code.append(text[position:])
    return Split("".join(code), "\n".join(comments) + "\n")
