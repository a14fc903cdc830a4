"""Code and comments told apart line by line, for languages that no lexer knows, and for Perl.

Under the rules of the paper's release (appendix A) a line that starts with ``#``, ``//`` or ``--``
turns everything up to the next ``*/`` or ``\"\"\"`` into a comment, and Perl's comments behind code
are code; that is kept there, since verdicts depend on it. Our own rules read a line comment as one
line, a block as what stands between its marks, and know the marks of some languages without lexer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from assets.refinecode.filters.comments.spans import Span

_TOGGLES = ('"""', "/*")
_TOGGLE_ENDS = ('"""', "*/")


def _lines(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end (line break included) and stripped text of each line."""
    start = 0
    for line in text.split("\n"):
        end = min(start + len(line) + 1, len(text))
        if end > start:
            yield start, end, line.strip()
        start = end


def toggling(text: str) -> list[Span]:
    """Comment lines as the paper's release has them in languages without lexer."""
    spans: list[Span] = []
    inside = False
    for start, end, line in _lines(text):
        if line.startswith(_TOGGLES) or line.endswith(_TOGGLE_ENDS):
            inside = not inside
        elif inside or line.startswith(("#", "//", "--")):
            inside = True
        else:
            continue
        spans.append((start, end))
    return spans


def perl_lines(text: str) -> list[Span]:
    """Comment lines of Perl as the paper's release has them: documentation and ``#`` lines."""
    spans: list[Span] = []
    documentation = False
    for start, end, line in _lines(text):
        if line.startswith("=cut"):
            documentation = False
        elif line.startswith("="):
            documentation = True
        elif not documentation and not line.startswith("#"):
            continue
        spans.append((start, end))
    return spans


#: What a ``#`` of Perl that starts no comment stands in: strings, regular expressions, ``$#``.
_PERL_PLAIN = re.compile(
    r"""(?:[^"'#\n$\\/&]++|"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"|'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'"""
    r"""|\\.|\$\#|\$[^\n]|(?<==~)\s*+/(?:[^/\\\n]|\\.)*+/|(?<=[^\s;{}(])\#|["'\\/&$])*+"""
)


def perl_comments(text: str) -> list[Span]:
    """Comments of Perl: documentation, ``#`` lines and comments behind code; line ends excluded."""
    spans: list[Span] = []
    documentation = False
    for start, end, line in _lines(text):
        stop = end - 1 if text[end - 1] == "\n" else end
        if text.startswith("=cut", start):
            documentation = False
        elif text[start] == "=" and text[start + 1 : start + 2].isalpha():
            documentation = True
        elif not documentation and not line.startswith("#"):
            found = _PERL_PLAIN.match(text, start, stop)
            begin = found.end() if found and "#" in line else stop
            if begin < stop:
                spans.append((begin, stop))
            continue
        spans.append((start, stop))
    return spans


@dataclass(frozen=True)
class Marks:
    """How a language marks comments. A mark counts at the start of a line (after white space),
    where no string can be meant."""

    lines: tuple[str, ...] = ()
    blocks: Mapping[str, str] = field(default_factory=dict)

    def comments(self, text: str) -> list[Span]:
        """Where the comments are, line ends excluded; a block without end is its first line."""
        spans: list[Span] = []
        after = 0
        for start, end, line in _lines(text):
            if start < after or not line:
                continue
            stop = end - 1 if text[end - 1] == "\n" else end
            opening = next((mark for mark in self.blocks if line.startswith(mark)), None)
            if opening is not None:
                begin = text.index(opening, start)
                closing = self.blocks[opening]
                found = self._find(text, closing, begin + len(opening))
                after = found + len(closing) if found >= 0 else stop
                spans.append((begin, after))
            elif line.lower().startswith(self.lines):
                spans.append((start, stop))
        return spans

    @staticmethod
    def _find(text: str, closing: str, start: int) -> int:
        return text.find(closing, start)


_C = Marks(("//",), {"/*": "*/"})
_LISP = Marks((";",), {"#|": "|#"})
_TAGS = {"<!--": "-->", "<%--": "--%>"}
#: What most languages use, for those of which nothing is known.
UNKNOWN = Marks(("#", "//", "--"), {"/*": "*/", '"""': '"""'})
MARKS: Mapping[str, Marks] = MappingProxyType(
    {
        "assembly": Marks((";", "#", "//", "@"), {"/*": "*/"}),
        "batchfile": Marks(("rem ", "@rem ", "::")),
        "common lisp": _LISP,
        "emacs lisp": Marks((";",)),
        "gradle": _C,
        "haxe": _C,
        "java server pages": Marks((), _TAGS),
        "m4": Marks(("dnl", "#")),
        "objective-c": _C,
        "protocol buffer": _C,
        "solidity": _C,
        "stylus": _C,
        "unix assembly": Marks(("#", ";", "//"), {"/*": "*/"}),
        "vim script": Marks(('"',)),
        "visual basic .net": Marks(("'",)),
        "vue": Marks(("//",), _TAGS | {"/*": "*/"}),
    }
)
