"""Comments of shell scripts.

Quoting nests: commands in strings, strings in commands. A stack of what is open is kept, and one
possessive pattern for each kind of it runs over what cannot matter. A ``#`` starts a comment only
where a word could start; here-documents end at the first place where their delimiter stands, as in
the lexer of the paper's filters (appendix A). A comment owns its line end.
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.spans import Finder, Span

#: Characters that no word holds.
_BREAKS = r"""=\s\[\]{}()$"'`\\<&|;"""
_KEYWORD = (
    r"(?:if|fi|else|while|in|do|done|for|then|return|function|case|select|break|continue|until|"
    r"esac|elif)\b"
)
_SIMPLE = (
    r'"[^"\\$]*+(?:\\[\s\S][^"\\$]*+)*+"',  # a string in which nothing is expanded
    r"'[^']*+'",
    r"\\[\s\S]",
    r"\$(?:[a-zA-Z_]\w*+|\d++|[#$?!*@-])",
    r"\$'[^'\\]*+(?:\\[\s\S][^'\\]*+)*+'",
    r"\$(?![({])",
)


def _runs(*parts: str) -> re.Pattern[str]:
    return re.compile(f"(?:{'|'.join((*parts, *_SIMPLE))})*+")


_COMMAND = (rf"[^{_BREAKS}#]++(?!#)", r"[=\s\[\]{}(&|;]++", r"<<<|<(?!<)")
_OPEN = {
    "command": _runs(*_COMMAND, r"\)"),
    "(": _runs(*_COMMAND),
    "`": _runs(*_COMMAND, r"\)"),
    "{": _runs(r"""[^}"'`$\\]++"""),
    "((": _runs(
        r"[-+*/%^|&<>\s;\[\]{}(=]++", r"\)(?!\))", r"\d++#[\da-zA-Z]++", r"\d++#(?! )",
        r"0[xX][\da-fA-F]++", r"\d++", r"[a-zA-Z_]\w*+", rf"[^{_BREAKS}\w#+*/%^>-][^{_BREAKS}]*+",
    ),
    '"': re.compile(r'(?:[^"\\$]++|\\[\s\S]|\$[#$?!*@-]|\$(?![({]))*+'),
}  # fmt: skip
#: What a word with a "#" in it may begin with and yet let a comment follow.
_LEAD = re.compile(rf"(?:{_KEYWORD}|\d++\b)*+")
_WORD = re.compile(rf"[^{_BREAKS}]*+")
_HERE = re.compile(r"<<-?\s*+'?\\?(\w++)")
#: Letters of a here-document's delimiter that are looked for, and characters that may be read in
#: vain before here-documents are no longer looked for: bounds that only made-up files reach.
_MAX_DELIMITER = 128
_MAX_VAIN = 20_000_000


def shell_comments(text: str) -> list[Span]:
    """Where the comments of a shell script are, ends excluded."""
    spans: list[Span] = []
    find, size, position, vain = Finder(text), len(text), 0, 0
    stack = ["command"]
    while True:
        top = stack[-1]
        found = _OPEN[top].match(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        character = text[start]
        position = start + 1
        if character == "$":
            if text.startswith("$((", start):
                stack.append("((")
                position = start + 3
            elif text[position] == "(":
                stack.append("(")
                position = start + 2
            else:
                stack.append("{")
                position = start + (3 if text.startswith("#", start + 2) else 2)
        elif character == '"':
            if top == '"':
                stack.pop()
            else:
                stack.append('"')
        elif character == "#":
            position = find("\n", start) + 1 or size
            spans.append((start, position))
        elif character == "`":
            if top == "`":
                stack.pop()
            else:
                stack.append("`")
        elif character == ")" or (character == "}" and top == "{"):
            stack.pop()
            position = start + (2 if top == "((" else 1)
        elif character == "<":
            position = start + 2
            if vain < _MAX_VAIN:
                end, read = _here_document(text, start)
                vain += read
                position = end if end > 0 else position
        elif character not in "'\\":  # a word with a "#" in it
            lead = _LEAD.match(text, start)
            begin = lead.end() if lead else start
            word = None if text.startswith("#", begin) else _WORD.match(text, begin)
            position = word.end() if word else begin


def _here_document(text: str, start: int) -> tuple[int, int]:
    """The end of the here-document that starts here (0: none) and the characters read in vain."""
    head = _HERE.match(text, start)
    if head is None:
        return 0, 0
    begin = head.start(1)
    read = 0
    for size in range(min(len(head[1]), _MAX_DELIMITER), 0, -1):
        end = text.find(text[begin : begin + size], begin + size + 1)
        if end >= 0:
            return end + size, read
        read += len(text) - begin
    return 0, read
