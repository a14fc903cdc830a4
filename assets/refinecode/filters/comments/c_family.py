"""Comments of C and C++.

One possessive pattern runs over everything that cannot start a comment or a directive (strings and
characters included); what it stops at is looked at by hand. Each byte is read a bounded number of
times, so the time is linear whatever the input. The split is the one of the lexers that the paper's
filters use (appendix A): directives are code although comments inside them are comments, the dead
text under ``#if 0`` is code, and a ``//`` comment owns its line end. One quirk is left out: those
lexers take a ``//`` comment with a ``)`` in it for code where it is the last in the brackets of a
function's head.
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.spans import Finder, Span, starts_line

_STRING = r'"[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+["\n]?+'
_CHARACTER = r"'(?:(?:\\.|\\[0-7]{1,3}|\\x[a-fA-F0-9]{1,2}|[^\\'\n])')?+"
_SLASH = r"/(?!\*|/|\\\n\*)"
#: Directives of one line without a slash in them, which is most.
_DIRECTIVE = (
    r"(?<=\n)#(?!if\s+0)(?:[ \t]*+include[ \t]*+(?:\"[^\"\n]++\"|<[^>\n]++>)"
    r"|(?!\s*+include)[^/\n]*+)(?<!\\)\n"
)
_PLAIN_C = re.compile(rf"""(?:[^"'/#]++|{_STRING}|{_CHARACTER}|{_SLASH}|{_DIRECTIVE})*+""")
#: The same, which also stops at what may be a raw string.
_PLAIN_CPP = re.compile(rf"""(?:[^"'/#]++|(?<!R){_STRING}|{_CHARACTER}|{_SLASH}|{_DIRECTIVE})*+""")
_ANY_STRING = re.compile(_STRING)
_RAW_STRING = re.compile(r'(?<![\w$])((?:[LuU]|u8)?R)"([^\\()\s]{0,16})\(')
_END = re.compile(r"\*(?:\\\n)?/")

_DEAD = re.compile(r"#if\s+0")
#: The directives that matter in dead text; one that ends in a backslash opens or closes nothing.
_NESTING = re.compile(
    r"^[^\S\n]*+#(?:(if)[^\n]*+(?<!\\)\n|el(?:se|if)[^\n]*+\n|endif[^\n]*+(?<!\\)\n)", re.MULTILINE
)
_IN_DIRECTIVE = re.compile(r"(?:[^/\n]++|/(?![/*])|(?<=\\)\n)*+")
_BLOCK_ON_A_LINE = r"/\*[^*\n]*+(?:\*(?!/)[^*\n]*+)*+\*/"
_INCLUDE = re.compile(
    rf"\s*+({_BLOCK_ON_A_LINE}\s*+)?+include\s*+({_BLOCK_ON_A_LINE}\s*+)?+([\"<])"
)
_INCLUDE_NEAR = re.compile(r"\s*+(?:include|/\*)")
#: Raw strings without an end that are looked for before a file counts as having none.
_MAX_OPEN_RAW_STRINGS = 64


def c_comments(text: str) -> list[Span]:
    """Where the comments of a C text are, ends excluded."""
    return _Scanner(text, raw_strings=False).run()


def cpp_comments(text: str) -> list[Span]:
    """Where the comments of a C++ text are, ends excluded."""
    return _Scanner(text, raw_strings='R"' in text).run()


class _Scanner:
    def __init__(self, text: str, *, raw_strings: bool) -> None:
        self.text = text
        self.find = Finder(text)
        self.spans: list[Span] = []
        self.plain = (_PLAIN_CPP if raw_strings else _PLAIN_C).match
        self.open_raw_strings = 0

    def run(self) -> list[Span]:
        text, size, plain = self.text, len(self.text), self.plain
        spans = self.spans
        position = 0
        # Where a directive may start although a comment stands before it on its line.
        after_leading_comment = -1
        while True:
            found = plain(text, position)
            start = found.end() if found else position
            if start >= size:
                return spans
            character = text[start]
            if character == "/":
                if text[start + 1] == "/":
                    end = self._line_comment_end(start)
                    spans.append((start, end))
                    position = end
                else:
                    end = self._block_end(start)
                    spans.append((start, end))
                    if starts_line(text, position, start) and "\n" not in text[start:end]:
                        after_leading_comment = end
                    position = end
            elif character == "#":
                between = text[after_leading_comment:start] if after_leading_comment >= 0 else "x"
                if starts_line(text, position, start) or not between or between.isspace():
                    position = self._directive(start)
                else:
                    position = start + 1
                after_leading_comment = -1
            else:
                position = self._raw_string(start)

    def _line_comment_end(self, start: int) -> int:
        """After the first line end that no backslash continues."""
        text, last = self.text, len(self.text) - 1
        end = text.find("\n", start)
        if end < 0:
            return len(text)
        while end < last and text[end - 1] == "\\":
            following = text.find("\n", end + 1)
            if following < 0:
                break
            end = following
        return end + 1

    def _block_end(self, start: int) -> int:
        inside = self.text.find("*", start) + 1
        end = _END.search(self.text, inside)
        return end.end() if end else len(self.text)

    def _raw_string(self, quote: int) -> int:
        """The end of the string at this quotation mark, which follows an ``R``."""
        text = self.text
        head = None
        if self.open_raw_strings < _MAX_OPEN_RAW_STRINGS:
            for prefix in (1, 2, 3):
                begin = quote - prefix
                head = _RAW_STRING.match(text, begin) if begin >= 0 else None
                if head is not None:
                    break
        if head is not None:
            closing = f'){head[2]}"'
            end = text.find(closing, head.end())
            if end >= 0:
                return end + len(closing)
            self.open_raw_strings += 1
        found = _ANY_STRING.match(text, quote)
        return found.end() if found else quote + 1

    def _directive(self, start: int) -> int:
        dead = _DEAD.match(self.text, start)
        return self._dead_text(dead.end()) if dead else self._macro(start + 1)

    def _dead_text(self, position: int) -> int:
        """The end of text under ``#if 0``: after its ``#else``, ``#elif`` or ``#endif``."""
        text = self.text
        position = text.find("\n", position) + 1
        depth = 1
        while position and depth:
            found = _NESTING.search(text, position)
            if found is None:
                return len(text)
            depth += 1 if found[1] else -1
            position = found.end()
        return position or len(text)

    def _macro(self, position: int) -> int:
        """The end of a directive whose ``#`` is before ``position``; its comments are noted."""
        text, size = self.text, len(self.text)
        while position < size:
            if _INCLUDE_NEAR.match(text, position):
                include = _INCLUDE.match(text, position)
                end = self._included(include) if include else -1
                if include is not None and end >= 0:
                    position = end
                    continue
            found = _IN_DIRECTIVE.match(text, position)
            position = found.end() if found else position
            if position >= size:
                return size
            if text[position] == "\n":
                return position + 1
            if text[position + 1] == "/":
                end = text.find("\n", position) + 1 or size
                self.spans.append((position, end))
                return end
            end = self.find("*/", position + 2)
            if end < 0:
                position += 1
            else:
                self.spans.append((position, end + 2))
                position = end + 2
        return size

    def _included(self, include: re.Match[str]) -> int:
        """The end of the line of an include; what follows the name is a comment. -1: no name."""
        closing = '"' if include[3] == '"' else ">"
        end = self.find(closing, include.end() + 1)
        if end < 0 or self.text[include.end()] == closing:
            return -1
        for group in (1, 2):
            if include[group]:
                begin = include.start(group)
                self.spans.append((begin, begin + len(include[group].rstrip())))
        line_end = self.text.find("\n", end)
        line_end = len(self.text) if line_end < 0 else line_end
        if line_end > end + 1:
            self.spans.append((end + 1, line_end))
        return line_end
