"""Comments of HTML, those of the scripts in it included.

One possessive pattern runs over text, ordinary tags and short references; declarations, comments,
scripts and styles are looked at by hand. A script is handed to the scanner of JavaScript; a style
has no comments that count (the lexer of the paper's filters, appendix A, gives those of CSS a type
of their own).
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.javascript import javascript_comments
from assets.refinecode.filters.comments.spans import Finder, Span, most_steps

# After "=" a ">" is an error and stays in the value; the line end after one leaves the tag.
_ODD = r"(?:>[^\S\n]*+)"
_VALUE = r"""(?:"[^"]*+"|'[^']*+'|[^\s>]++)"""
_ATTRIBUTE = rf"[\w:-]++\s*+=\s*+{_ODD}*+{_VALUE}"
_IN_TAG = rf"(?:\s++|{_ATTRIBUTE}|(?![\w:-]++\s*+=\s*+>)[\w:-]++|(?!/?\s*+>|[\w:-])[\s\S])*+"
_TAG_END = rf"(?:/?\s*+>|[\w:-]++\s*+=\s*+{_ODD}++\n|\Z)"
_PLAIN = re.compile(
    rf"(?:[^<&]++|<(?!\s*+s(?:cript|tyle))\s*+[\w:.-]++{_IN_TAG}{_TAG_END}"
    r"|<\s*+/\s*+[\w:.-]++\s*+>|<(?![\s\w:.!?/-])|&[^\s;&<]{0,32}+;)*+",
    re.IGNORECASE,
)
_SPECIAL = re.compile(
    rf"<\s*+(script|style)\s*+{_IN_TAG}(?:(/?\s*+>)|[\w:-]++\s*+=\s*+{_ODD}++\n|\Z)", re.IGNORECASE
)
_ENTITY = re.compile(r"&[^\s;]*+(;)?")
_CLOSING = {
    name: re.compile(rf"<\s*+/\s*+{name}\s*+>", re.IGNORECASE) for name in ("script", "style")
}


def html_comments(text: str) -> list[Span]:
    """Where the comments of an HTML text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    without_semicolon = 0
    unclosed: set[str] = set()
    for _ in range(most_steps(text)):
        found = _PLAIN.match(text, position)
        start = found.end() if found else position
        if start >= size:
            break
        if text[start] == "&":
            position = start + 1
            if start >= without_semicolon:
                entity = _ENTITY.match(text, start)
                if entity is not None and entity[1]:
                    position = entity.end()
                elif entity is not None:
                    without_semicolon = entity.end()
            if position < without_semicolon:
                position = _end_of_text(text, position, without_semicolon)
        elif text.startswith("<!", start):
            position = _declaration(text, find, start, spans)
        elif text.startswith("<?", start):
            end = find("?>", start + 2)
            position = end + 2 if end >= 0 else start + 1
        else:
            special = _SPECIAL.match(text, start)
            if special is None:
                position = start + 1
            elif not special[2]:
                position = special.end()
            else:
                position = _content(text, special, spans, unclosed)
    return spans


def _end_of_text(text: str, position: int, end: int) -> int:
    following = text.find("<", position, end)
    return end if following < 0 else following


def _declaration(text: str, find: Finder, start: int, spans: list[Span]) -> int:
    if text[start + 2 : start + 3] == "[" and text[start : start + 9].upper() == "<![CDATA[":
        end = find("]]>", start + 9)
        if end >= 0:
            return end + 3
    if text.startswith("<!--", start):
        end = find("-->", start + 4)
        if end >= 0:
            spans.append((start, end + 3))
            return end + 3
    end = find(">", start + 2)
    return end + 1 if end >= 0 else start + 1


def _content(text: str, tag: re.Match[str], spans: list[Span], unclosed: set[str]) -> int:
    """The end of the content of a script or style: its closing tag, or else its first line."""
    name = tag[1].lower()
    begin = tag.end()
    closing = None if name in unclosed else _CLOSING[name].search(text, begin)
    if closing is not None:
        end, position = closing.start(), closing.end()
    else:
        unclosed.add(name)
        end = text.find("\n", begin + 1) + 1 or len(text)
        position = end
    if name == "script" and "/" in text[begin:end]:
        spans.extend((begin + s, begin + e) for s, e in javascript_comments(text[begin:end]))
    return position
