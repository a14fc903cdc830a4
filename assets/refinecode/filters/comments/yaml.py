"""Comments of YAML.

Whether a ``#`` starts a comment depends on indentation: the lines of a block scalar, and those that
continue a plain one, are text. The scanner walks line by line with a stack of indentations, as the
lexer of the paper's filters does (appendix A), quirks included: a comment that is indented more
than the key above it continues the key's value.
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.spans import Span

_BLANK = re.compile(r"(?:[ ]++(?=#|$)|\n++)*+", re.MULTILINE)
_DIRECTIVE = re.compile(
    r"%(?:YAML(?=[ ]|$)([ ]+[0-9]+\.[0-9]+)?+|TAG(?=[ ]|$)"
    r"([ ]+(?:!|![\w-]*!)[ ]+(?:!|!?[\w;/?:@&=+$,.!~*'()\[\]%-]+))?+)",
    re.MULTILINE,
)
_DOCUMENT = re.compile(r"(?:---|\.\.\.)(?=[ ]|$)", re.MULTILINE)
_SPACES = re.compile(r"[ ]*+")
_REST = re.compile(r"[^\n]*+\n?+")
#: What may follow a directive or the mark of a block scalar: anything, then perhaps a comment.
_IGNORED = re.compile(r"(?:[^\n#]*+)(#[^\n]*+)?+[^\n]*+\n?+")
_INDICATOR = re.compile(r"[?:-](?=[ ]|$)", re.MULTILINE)
_KEY_RUN = re.compile(r"""[^#,?\[\]{}"'\n]++""")
_KEY = re.compile(r"""[^#,?\[\]{}"'\n]+:(?=[ ]|$)""", re.MULTILINE)
_COLON = re.compile(r":(?=[ ]|$)", re.MULTILINE)
_DESCRIPTOR = re.compile(
    r"!<[\w#;/?:@&=+$,.!~*'()\[\]%-]+>|!(?:[\w-]++!)?+[\w#;/?:@&=+$,.!~*'()\[\]%-]*+|[&*][\w-]++"
)
_HEADER = re.compile(r"(?:([1-9])?[+-]?|[+-]?([1-9])?)(?=[ ]|$)", re.MULTILINE)
_QUOTED = {
    "'": re.compile(r"'[^']*+(?:''[^']*+)*+'?+"),
    '"': re.compile(r'"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"?+'),
}
_PLAIN_START = re.compile(r"""[^\s?:,\[\]{}#&*!|>'"%@`-]|[?:-]\S""")
#: A plain scalar, up to the end of the line, the colon of a key or a comment.
_PLAIN = re.compile(
    r"(?:[^\s:]++|:(?!\s)|:(?=[^\S\n ])|[^\S\n ]|[ ]++(?!#|:[ ]|:$))*+", re.MULTILINE
)
_FLOW_KEY_RUN = re.compile(r"""[^,:?\[\]{}"'\n]++""")
_FLOW_START = re.compile(r"""[^\s?:,\[\]{}#&*!|>'"%@`]""")
_FLOW_PLAIN = re.compile(r"(?:[^\s,:?\[\]{}]++|\n++|[^\S\n ]|[ ]++(?![,:?\[\]{}#]))*+")
_FLOW_BLANK = re.compile(r"[\s?:,|>%@`]++")


def yaml_comments(text: str) -> list[Span]:
    """Where the comments of a YAML text are, ends excluded."""
    return _Scanner(text).run() if "#" in text else []


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[Span] = []
        self.keyless = 0  # before this no key can end: the run of characters was looked through
        self._reset()

    def _reset(self) -> None:
        self.indents: list[int] = []
        self.indent = -1
        self.next_indent = 0

    def run(self) -> list[Span]:
        text, size = self.text, len(self.text)
        position = 0
        while position < size:
            position = _end(_BLANK, text, position)
            if position >= size:
                break
            character = text[position]
            first = position == 0 or text[position - 1] == "\n"
            if character == "#":
                position = self._comment(position)
            elif first and character == "%" and (found := _DIRECTIVE.match(text, position)):
                self._reset()
                known = found[1] or found[2]
                rest = (_IGNORED if known else _REST).match(text, found.end())
                if rest is not None and known and rest[1]:
                    self.spans.append(rest.span(1))
                position = rest.end() if rest else size
            elif first and character in "-." and (found := _DOCUMENT.match(text, position)):
                self._reset()
                position = self._block_line(found.end())
            elif character != " " and character.isspace():
                position += 1
            else:
                position = self._indented(position)
        return self.spans

    def _comment(self, start: int) -> int:
        end = self.text.find("\n", start)
        end = len(self.text) if end < 0 else end
        self.spans.append((start, end))
        return end

    def _indented(self, position: int) -> int:
        text = self.text
        start = _end(_SPACES, text, position)
        if text[start : start + 1].isspace():  # a tab, say
            return position + 1
        self.next_indent = start - position
        while self.next_indent < self.indent:
            self.indent = self.indents.pop()
        position = start
        while found := _INDICATOR.match(text, position):
            self._deeper()
            self.next_indent += 1
            position = found.end()
            following = _end(_SPACES, text, position)
            if text[following : following + 1] in ("\n", ""):
                return following
            self.next_indent += following - position
            position = following
        return self._block_line(position)

    def _deeper(self) -> None:
        if self.indent < self.next_indent:
            self.indents.append(self.indent)
            self.indent = self.next_indent

    def _block_line(self, position: int) -> int:
        """From here to the end of the line or to a comment; scalars may be many lines long."""
        text, size = self.text, len(self.text)
        while position < size:
            position = _end(_SPACES, text, position)
            character = text[position : position + 1]
            if character in ("\n", "#", ""):
                return position
            end = self._key(position)
            if end:
                self._deeper()
                position = end
            elif character in "!&*" and (found := _DESCRIPTOR.match(text, position)):
                position = found.end()
            elif character in "|>":
                return self._block_scalar(position + 1)
            elif character in "[{":
                position = self._flow(position)
            elif character in "'\"":
                position = _end(_QUOTED[character], text, position)
            elif character == ":" and _COLON.match(text, position):
                self._deeper()
                position += 1
            elif _PLAIN_START.match(text, position):
                position = self._plain(position)
                if position < 0:
                    return -position
            else:
                position += 1
        return position

    def _key(self, position: int) -> int:
        """The end of the key that starts here, behind its colon; 0 if there is none."""
        if position < self.keyless:
            return 0
        text = self.text
        end = _end(_KEY_RUN, text, position)
        colon = text.rfind(": ", position + 1, end)
        if text[end - 1 : end] == ":" and end - 1 > position and text[end : end + 1] in ("\n", ""):
            colon = end - 1
        if colon < 0:
            self.keyless = end
            return 0
        return colon + 1

    def _plain(self, position: int) -> int:
        """The end of a plain scalar; negative where it ends with its last line."""
        text, size = self.text, len(self.text)
        while True:
            position = _end(_SPACES, text, _end(_PLAIN, text, position))
            if text[position : position + 1] != "\n":
                return position
            while True:
                while position < size and text[position] == "\n":
                    position += 1
                if position >= size or text.startswith(("---", "..."), position):
                    return -position
                start = _end(_SPACES, text, position)
                if text[start : start + 1] not in ("\n", ""):
                    break
                position = start
            if start - position <= self.indent:
                return -position
            position = start

    def _block_scalar(self, position: int) -> int:
        """The end of a literal or folded scalar whose mark is before ``position``."""
        text, size = self.text, len(self.text)
        header = _HEADER.search(text, position)
        if header is None:
            return size
        least = max(self.indent, 0)
        wanted = least + int(header[1] or header[2]) if header[1] or header[2] else None
        rest = _IGNORED.match(text, header.end())
        if rest is not None and rest[1]:
            self.spans.append(rest.span(1))
        position = rest.end() if rest else size
        while position < size:
            start = _end(_SPACES, text, position)
            if text[start : start + 1] in ("\n", ""):
                position = start + 1
                continue
            if wanted is None:
                if start - position <= least:
                    return position
                wanted = start - position
            elif start - position < wanted:
                return position
            position = _end(_REST, text, start)
        return position

    def _flow(self, position: int) -> int:
        """The end of a collection in brackets."""
        text, size = self.text, len(self.text)
        stack: list[str] = []
        keyless = 0
        while position < size:
            character = text[position]
            if stack and stack[-1] == "}" and position >= keyless:
                run = _end(_FLOW_KEY_RUN, text, position)
                if run > position and _COLON.match(text, run):
                    position = run + 1
                    continue
                keyless = run
            if character in "[{":
                stack.append("]" if character == "[" else "}")
                position += 1
            elif character == stack[-1]:
                stack.pop()
                position += 1
                if not stack:
                    return position
            elif character == "#":
                position = self._comment(position)
            elif character in "'\"":
                position = _end(_QUOTED[character], text, position)
            elif character in "!&*" and (found := _DESCRIPTOR.match(text, position)):
                position = found.end()
            elif _FLOW_START.match(text, position):
                position = _end(_FLOW_PLAIN, text, position)
            else:
                position += 1
        return position


def _end(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position
