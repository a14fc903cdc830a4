"""Comments of SQL, JSON and XML, and of languages whose comments do not count.

In these nothing nests but SQL's comments. The lexer of the paper's filters (appendix A) gives the
comments of CSS and CMake a type that is not among those that count, so all their text is code.
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.spans import Finder, Span

_SQL = {
    (single, double): re.compile(
        "(?:"
        + "|".join(
            filter(
                None,
                (
                    rf"[^/\-{chr(39) * single}{chr(34) * double}]++",
                    r"'[^']*+(?:''[^']*+)*+'" * single,
                    r'"[^"]*+(?:""[^"]*+)*+"' * double,
                    r"/(?!\*)",
                    r"-(?!-)",
                ),
            )
        )
        + ")*+"
    )
    for single in (0, 1)
    for double in (0, 1)
}
_NESTING = re.compile(r"/\*|\*/")

_JSON = re.compile(
    r'(?:[^"/]++|"[^"\\]*+(?:\\(?:u(?:[0-9a-fA-F]{4}|[0-9a-fA-F]{0,3}[^0-9a-fA-F])|[^u])[^"\\]*+)*+'
    r'"|/(?![/*]))*+'
)

_XML_VALUE = r"""(?:[\s>]*+(?:"[^"]*+"|'[^']*+'|[^\s>]++))"""
_XML = re.compile(
    r"(?:[^<&]++|<\s*+/\s*+[\w:.-]++\s*+>"
    rf"|<\s*+[\w:.-]++(?:\s++|[\w.:-]++\s*+={_XML_VALUE}|[\w.:-]++(?!\s*+=)|(?!/?\s*+>|[\w.:-])[\s\S])*+"
    r"(?:/?\s*+>|\Z|(?=[\w.:-]++\s*+=)[\s\S]*+))*+"
)
_ENTITY = re.compile(r"&[^\s;]*+(;)?")


def no_comments(text: str) -> list[Span]:
    """None: all the text is code."""
    del text
    return []


def sql_comments(text: str) -> list[Span]:
    """Where the comments of an SQL text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    single = double = 1
    while True:
        found = _SQL[single, double].match(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        character = text[start]
        if character == "-":
            position = find("\n", start) + 1 or size
            spans.append((start, position))
        elif character == "/":
            position = nested_end(text, start, _NESTING)
            spans.append((start, position))
        else:  # no such string ends any more
            position = start + 1
            if character == "'":
                single = 0
            else:
                double = 0


def nested_end(text: str, start: int, marks: re.Pattern[str]) -> int:
    """The end of the comment that opens at ``start``, comments inside it counted."""
    depth = 0
    for mark in marks.finditer(text, start):
        depth += 1 if mark[0] == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(text)


def json_comments(text: str) -> list[Span]:
    """Where the comments of a JSON text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    if "/" not in text:
        return spans
    while True:
        found = _JSON.match(text, position)
        start = found.end() if found else position
        if start >= size or text[start] == '"':
            return spans  # a string without end takes all the rest
        if text[start + 1] == "/":
            position = find("\n", start)
            position = size if position < 0 else position
        else:
            position = find("*/", start + 2) + 2
            if position < 2:
                return spans
        spans.append((start, position))


def xml_comments(text: str) -> list[Span]:
    """Where the comments of an XML text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    if "<!--" not in text:
        return spans
    without_semicolon = 0
    while True:
        found = _XML.match(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        position = start + 1
        if text[start] == "&":
            if start >= without_semicolon:
                entity = _ENTITY.match(text, start)
                if entity is not None and entity[1]:
                    position = entity.end()
                elif entity is not None:
                    without_semicolon = entity.end()
            continue
        for opening, closing in (("<![CDATA[", "]]>"), ("<!--", "-->"), ("<?", "?>"), ("<!", ">")):
            if text.startswith(opening, start):
                end = find(closing, start + len(opening))
                if end >= 0:
                    position = end + len(closing)
                    if opening == "<!--":
                        spans.append((start, position))
                    break
