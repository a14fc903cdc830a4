"""Comments and free-standing strings (docstrings) of Python.

One possessive pattern runs over everything but comments, triple-quoted strings and f-strings. A
triple-quoted string is documentation where only white space stands before it on its line (inside
brackets too), as the lexer of the paper's filters has it (appendix A); it ends at the first three
quotation marks even if a backslash stands before them. f-strings may hold strings within strings
and are walked with a stack.
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.spans import Finder, Span, starts_line

_LINE = {
    '"': r'"[^"\\\n]*+(?:\\[\s\S][^"\\\n]*+)*+["\n]?+',
    "'": r"'[^'\\\n]*+(?:\\[\s\S][^'\\\n]*+)*+['\n]?+",
}
_NOT_FORMATTED = r"(?<![fF])(?<![fF][rR])"
_PLAIN = re.compile(
    rf"""(?:[^"'#]++|{_NOT_FORMATTED}(?:"(?!""){_LINE['"'][1:]}|'(?!''){_LINE["'"][1:]}))*+"""
)
_STRING = {quote: re.compile(pattern) for quote, pattern in _LINE.items()}
_BLOCK = {
    quote: re.compile(
        rf"{quote * 3}[^{quote}\\]*+"
        rf"(?:(?:\\[\s\S]|{quote}(?!{quote * 2}))[^{quote}\\]*+)*+(?:{quote * 3})?+"
    )
    for quote in "\"'"
}
#: f-strings of which each field is a plain expression, at most one pair of brackets deep.
_FIELD = (
    r"""\{[^{}"'\n\\#:!()\[\]]*+(?:\([^{}"'\n\\#()\[\]]*+\)[^{}"'\n\\#:!()\[\]]*+"""
    r"""|\[[^{}"'\n\\#()\[\]]*+\][^{}"'\n\\#:!()\[\]]*+)*+(?:[:!][^{}"'\n\\]*+)?+\}"""
)
_SIMPLE_FORMATTED = {
    quote: re.compile(
        rf"{quote}(?!{quote * 2})(?:[^{quote}\\\n{{}}]++|\{{\{{|\}}\}}|{_FIELD})*+{quote}"
    )
    for quote in "\"'"
}

_AFFIXES = frozenset(("", "r", "u", "b", "f", "rb", "br", "rf", "fr"))
_DOC_AFFIX = re.compile(r"[rRuUbB]{0,2}\Z")
#: ``class`` that no name follows: up to a name or the end of the line nothing is a string.
_NAMELESS_CLASS = re.compile(r"class(?<!\wclass)(?:\s|\\\s)++(?![^\W\d])(?:[^\w\n]|\d)*+")
_PLAIN_BUT_CLASS = re.compile(
    _PLAIN.pattern.replace(r"""[^"'#]++""", r"""[^"'#c]++|c(?!lass[\s\\])|(?<=\w)c""")
)


def python_comments(text: str) -> list[Span]:
    """Where the comments and the documentation of a Python text are, ends excluded."""
    spans: list[Span] = []
    find, size, position = Finder(text), len(text), 0
    plain = (_PLAIN_BUT_CLASS if _NAMELESS_CLASS.search(text) else _PLAIN).match
    while True:
        found = plain(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        quote = text[start]
        if quote == "#":
            position = find("\n", start)
            position = size if position < 0 else position
            spans.append((start, position))
            continue
        if quote == "c":
            nameless = _NAMELESS_CLASS.match(text, start)
            position = nameless.end() if nameless else start + 1
            continue
        triple = quote * 3
        begin = _affix(text, start, position)
        affix = text[begin:start].lower()
        if (
            text.startswith(triple, start)
            and _DOC_AFFIX.match(affix)
            and starts_line(text, position, begin)
            and (end := find(triple, start + 3)) >= 0
        ):
            spans.append((start, end + 3))
            position = end + 3
            continue
        position = _skip_string(text, start, affix, find)


def _affix(text: str, quote: int, seen: int) -> int:
    """Where the word that touches the quotation mark starts (looking back three characters)."""
    begin = quote
    while (
        begin > seen and quote - begin < 3 and (text[begin - 1].isalnum() or text[begin - 1] == "_")
    ):
        begin -= 1
    return begin


def _skip_string(text: str, start: int, affix: str, find: Finder) -> int:
    """The end of the string that opens at ``start``; behind the line end where that breaks it."""
    quote = text[start]
    triple = text.startswith(quote * 3, start)
    if affix in _AFFIXES and "f" in affix:
        simple = None if triple else _SIMPLE_FORMATTED[quote].match(text, start)
        if simple is not None:
            return simple.end()
        return _Formatted(text, find).skip(start, affix)
    if triple:
        if affix in _AFFIXES and "r" in affix:
            end = find(quote * 3, start + 3)
            return len(text) if end < 0 else end + 3
        found = _BLOCK[quote].match(text, start)
    else:
        found = _STRING[quote].match(text, start)
    return found.end() if found else start + 1


def _text_pattern(quote: str, triple: bool, raw: bool) -> re.Pattern[str]:
    """What an f-string holds between its fields."""
    parts = [rf"[^\\{quote}{{}}{'' if triple else chr(92) + 'n'}]++", r"\{\{", r"\}"]
    if not raw:
        parts.append(r"\\N\{[^\n}]*+\}")
    if triple:
        parts.append(r"\\" if raw else r"\\[^{}]?+")
        parts.append(rf"{quote}(?!{quote * 2})")
    else:
        parts.append(rf"\\[\\{quote}\n]?+")
    return re.compile(f"(?:{'|'.join(parts)})*+")


_IN_FORMATTED = {
    (quote, triple, raw): _text_pattern(quote, triple, raw)
    for quote in "\"'"
    for triple in (False, True)
    for raw in (False, True)
}
_IN_FIELD = re.compile(r"""[^\[({}:"']++""")
_IN_BRACKETS = re.compile(r"""[^\[({})\]"']++""")


class _Formatted:
    """Walks over one f-string with all that is nested in it."""

    def __init__(self, text: str, find: Finder) -> None:
        self.text = text
        self.find = find

    def skip(self, start: int, affix: str) -> int:
        """The end of the f-string whose quotation mark is at ``start``."""
        text, size = self.text, len(self.text)
        # Open things, innermost last: a string (quote, triple, raw), "{" a field, "(" a bracket.
        stack: list[tuple[str, bool, bool] | str] = []
        position = self._open(stack, start, affix)
        while stack and position < size:
            top = stack[-1]
            if isinstance(top, tuple):
                found = _IN_FORMATTED[top].match(text, position)
                position = found.end() if found else position
                if position >= size:
                    break
                character = text[position]
                if character == "{":
                    stack.append("{")
                    position += 1
                elif character == "\n":  # the line ends in a string: all is lost
                    return position + 1
                else:
                    stack.pop()
                    position += 3 if top[1] else 1
                continue
            found = (_IN_FIELD if top == "{" else _IN_BRACKETS).match(text, position)
            position = found.end() if found else position
            if position >= size:
                break
            character = text[position]
            if character in "\"'":
                begin = _affix(text, position, start)
                affix = text[begin:position].lower()
                if affix in _AFFIXES and "f" in affix:
                    position = self._open(stack, position, affix)
                    continue
                position = _skip_string(text, position, affix, self.find)
                if text[position - 1] == "\n":
                    return position
                continue
            if character in "[({":
                stack.append("(")
            else:
                stack.pop()
            position += 1
        return position

    def _open(self, stack: list[tuple[str, bool, bool] | str], start: int, affix: str) -> int:
        quote = self.text[start]
        triple = self.text.startswith(quote * 3, start)
        stack.append((quote, triple, "r" in affix))
        return start + (3 if triple else 1)
