"""Comments of Java, Go and C#: ``//`` and ``/* */`` between strings and characters.

As in the other scanners one possessive pattern runs over all that cannot start a comment. The three
differ in which strings may span lines, what ends one that is never closed, and who owns the line
end of a ``//`` comment (C# does), exactly as the lexers of the paper's filters (appendix A).
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.spans import Finder, Span, starts_line

_SLASH = r"/(?![/*])"

_JAVA_CHARACTER = r"'(?:(?:\\[\s\S]|[^\\]|\\u[0-9a-fA-F]{4})')?+"
_JAVA_PLAIN = re.compile(
    rf"""(?:[^"'/]++|"(?!""\n)[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"?+|{_JAVA_CHARACTER}|{_SLASH})*+"""
)
_JAVA_BLOCK = re.compile(r'"""\n[^"\\]*+(?:(?:\\[\s\S]|"(?!""))[^"\\]*+)*+(?:""")?+')

#: Words that wait for a name: what stands between (strings, comments) is not read. Only looked at
#: where something else than a name follows one; the word comes first, which makes a fast search.
_JAVA_WAITS = tuple(
    re.compile(pattern)
    for pattern in (
        r"class(?<![\w$.@]class)\b(?!\s*+[A-Za-z_$])",
        r"interface(?<![\w$.@]interface)\b(?!\s*+[A-Za-z_$])",
        r"record(?<![\w$.@]record)\b(?!\s*+[A-Za-z_$])",
        r"package(?<![\w$.@]package)\s++(?![\w.])",
        r"import(?<![\w$.@]import)\s++(?![\w.])",
        r"var(?<![\w$.@]var)\s++(?![A-Za-z_$])",
    )
)
_JAVA_CAREFUL = re.compile(
    _JAVA_PLAIN.pattern.replace(
        r"""[^"'/]++""",
        r"""[^"'/cirpv]++|(?<=[\w$.@])[cirpv]"""
        r"""|[cirpv](?!(?<=c)lass\b|(?<=i)nterface\b|(?<=r)ecord\b|(?<=p)ackage\s|(?<=i)mport\s"""
        r"""|(?<=v)ar\s)""",
    )
)
_JAVA_WAITING = re.compile(
    r"(?:class|interface|record)\b(?:[^\w$]|\d)*+|(?:package|import)\s++[^\w.\n]*+"
    r"|var\s++(?:[^\w$\n]|\d)*+"
)
_JAVA_MODIFIERS = re.compile(r"\s*+(?:(?:public|private|protected|static|strictfp)\s++)*+\Z")

_GO_CHARACTER = (
    r"'(?:(?:\\['\"\\abfnrtv]|\\x[0-9a-fA-F]{2}|\\[0-7]{1,3}|\\u[0-9a-fA-F]{4}"
    r"|\\U[0-9a-fA-F]{8}|[^\\])')?+"
)
_GO_PLAIN = re.compile(
    rf"""(?:[^"'`/]++|"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"|`[^`]*+`|{_GO_CHARACTER}"""
    r"""|/(?!/|\*|\\\n\*))*+"""
)
_GO_PLAIN_OPEN = re.compile(rf"""(?:[^'`/]++|`[^`]*+`|{_GO_CHARACTER}|/(?!/|\*|\\\n\*))*+""")

_CSHARP_CHARACTER = r"'(?:(?:\\[\s\S]|[^\\])')?+"
_CSHARP_PLAIN = re.compile(
    rf"""(?:[^"'/#\[]++|(?<!@)"[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+["\n]?+|{_CSHARP_CHARACTER}"""
    rf"""|(?<=\S)\[|{_SLASH})*+"""
)
_CSHARP_STRING = re.compile(r'"[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+["\n]?+')
_CSHARP_VERBATIM = re.compile(r'"[^"]*+(?:""[^"]*+)*"')
_CSHARP_DIRECTIVE = re.compile(
    r"#[ \t]*+(?:if|endif|else|elif|define|undef|line|error|warning|region|endregion|pragma)\b"
    r"[^\n]*+\n"
)


_CSHARP_WAITS = tuple(
    re.compile(rf"{word}(?<![\w@]{word})\s++(?![A-Za-z_@.(])") for word in ("using", "namespace")
)
_CSHARP_CAREFUL = re.compile(
    _CSHARP_PLAIN.pattern.replace(
        r"""[^"'/#\[]++""",
        r"""[^"'/#\[un]++|(?<=[\w@])[un]|[un](?!(?<=u)sing\s|(?<=n)amespace\s)""",
    )
)
_CSHARP_WAITING = re.compile(r"(?:namespace|using)\s++(?:[^\w@.\n(]|\d)*+")


def java_comments(text: str) -> list[Span]:
    """Where the comments of a Java text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    careful = any(pattern.search(text) for pattern in _JAVA_WAITS)
    plain = (_JAVA_CAREFUL if careful else _JAVA_PLAIN).match
    while True:
        found = plain(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        if text[start] in "cirpv":
            waiting = _JAVA_WAITING.match(text, start)
            if text[start] == "r":
                line = text.rfind("\n", max(position - 1, 0), start) + 1
                begins = (line or not position) and _JAVA_MODIFIERS.match(text[line:start])
                waiting = waiting if begins else None
            position = waiting.end() if waiting else start + 1
        elif text[start] == '"':
            block = _JAVA_BLOCK.match(text, start)
            position = block.end() if block else start + 1
        elif text[start + 1] == "/":
            position = find("\n", start)
            position = size if position < 0 else position
            spans.append((start, position))
        else:
            position = _block(find, start, spans)


def go_comments(text: str) -> list[Span]:
    """Where the comments of a Go text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    plain = _GO_PLAIN.match
    while True:
        found = plain(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        character = text[start]
        if character != "/":  # a string without end: its quotation mark is one odd sign
            position = start + 1
            if character == '"':  # and so are all that follow, which are escaped in it
                plain = _GO_PLAIN_OPEN.match
        elif text[start + 1] == "/":
            position = find("\n", start)
            position = size if position < 0 else position
            spans.append((start, position))
        else:
            inside = start + (2 if text[start + 1] == "*" else 4)
            end, folded = find("*/", inside) + 2, find("*\\\n/", inside) + 4
            if end < 2 or 4 <= folded < end:
                end = folded if folded >= 4 else start + 1
            if end > start + 1:
                spans.append((start, end))
            position = end


def csharp_comments(text: str) -> list[Span]:
    """Where the comments of a C# text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    careful = any(pattern.search(text) for pattern in _CSHARP_WAITS)
    plain = (_CSHARP_CAREFUL if careful else _CSHARP_PLAIN).match
    while True:
        found = plain(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        character = text[start]
        if character == "/":
            if text[start + 1] == "/":
                end = find("\n", start) + 1 or size
                spans.append((start, end))
                position = end
            else:
                position = _block(find, start, spans)
        elif character == "#":
            directive = _CSHARP_DIRECTIVE.match(text, start)
            position = directive.end() if directive else start + 1
        elif character == "[":
            end = find("]", start) if starts_line(text, position, start) else -1
            position = max(end, start) + 1
        elif character in "un":
            waiting = _CSHARP_WAITING.match(text, start)
            position = waiting.end() if waiting else start + 1
        else:
            found = _CSHARP_VERBATIM.match(text, start) or _CSHARP_STRING.match(text, start)
            position = found.end() if found else start + 1


def _block(find: Finder, start: int, spans: list[Span]) -> int:
    """Notes the block comment at ``start``; returns where to go on (behind the slash if open)."""
    end = find("*/", start + 2)
    if end < 0:
        return start + 1
    spans.append((start, end + 2))
    return end + 2
