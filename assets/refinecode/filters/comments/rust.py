"""Comments of Rust, documentation included.

Block comments nest; an apostrophe starts a character or a lifetime, and behind a colon or an arrow
always a lifetime, as the lexer of the paper's filters has it (appendix A), for which everything in
an attribute but strings is no comment. A comment of one line owns its line end.
"""

from __future__ import annotations

import re

from assets.refinecode.filters.comments.simple import nested_end
from assets.refinecode.filters.comments.spans import Finder, Span

_STRING = r'"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"?+'
_CHARACTER = (
    r"(?:'(?:\\['\"\\nrt]|\\x[0-7][0-9a-fA-F]|\\0|\\u\{[0-9a-fA-F]{1,6}\}|.)'"
    r"|(?<=b)'\\x[0-9a-fA-F]{2}')"
)
_NAMES = (
    "Copy", "Send", "Sized", "Sync", "Unpin", "Drop", "FnOnce", "FnMut", "Fn", "drop", "Box",
    "ToOwned", "Clone", "PartialEq", "PartialOrd", "Eq", "Ord", "AsRef", "AsMut", "Into",
    "From", "Default", "Iterator", "Extend", "IntoIterator", "DoubleEndedIterator",
    "ExactSizeIterator", "Option", "Some", "None", "Result", "Ok", "Err", "String", "ToString",
    "Vec", "u8", "u16", "u32", "u64", "u128", "i8", "i16", "i32", "i64", "i128", "usize",
    "isize", "f32", "f64", "char", "str", "bool",
)  # fmt: skip
#: Where a type is expected: white space, references, lifetimes, known names.
_TYPE = rf"(?:[\s&]|'[a-zA-Z_]?+\w*+|(?:{'|'.join(_NAMES)})\b)*+"
_PLAIN = re.compile(
    rf"""(?:[^"'/:>#]++|(?<![r#]){_STRING}|{_CHARACTER}|'|/(?![/*])|:(?!:\b){_TYPE}|::\b"""
    rf"""|(?<!-)>|->{_TYPE}|(?<=-)>{_TYPE}|\#(?!!?\[))*+"""
)
_ANY_STRING = re.compile(_STRING)
_SHEBANG = re.compile(r"#![^\[\r\n][^\n]*+")
_ATTRIBUTE = re.compile(rf'[^"\[\]]++|{_STRING}')
_NESTING = re.compile(r"/\*|\*/")
_RAW = re.compile(r"(?<!\w)b?r(#*)\Z")
_MAX_HASHES = 255
#: Raw strings without an end that are looked for before a file counts as having none.
_MAX_OPEN_RAW_STRINGS = 64


def rust_comments(text: str) -> list[Span]:
    """Where the comments of a Rust text are, ends excluded."""
    spans: list[Span] = []
    find, size = Finder(text), len(text)
    shebang = _SHEBANG.match(text)
    position = shebang.end() if shebang else 0
    open_raw_strings = 0
    while True:
        found = _PLAIN.match(text, position)
        start = found.end() if found else position
        if start >= size:
            return spans
        character = text[start]
        if character == "/":
            if text[start + 1] == "/":
                end = find("\n", start) + 1 or size
            else:
                end = nested_end(text, start, _NESTING)
            spans.append((start, end))
            position = end
        elif character == "#":
            position = _attribute(text, start)
        elif character == '"':
            head = _RAW.search(text[max(position, start - _MAX_HASHES - 3) : start])
            closing = '"' + head[1] if head else ""
            end = -1
            if closing and open_raw_strings < _MAX_OPEN_RAW_STRINGS:
                end = text.find(closing, start + 1)
                open_raw_strings += end < 0
            plain = _ANY_STRING.match(text, start)
            position = end + len(closing) if end >= 0 else plain.end() if plain else start + 1
        else:
            position = start + 1


def _attribute(text: str, start: int) -> int:
    """The end of the attribute that starts here."""
    position = text.index("[", start)
    depth = 0
    while position < len(text):
        character = text[position]
        if character == "[":
            depth += 1
        elif character == "]":
            depth -= 1
            if not depth:
                return position + 1
        else:
            found = _ATTRIBUTE.match(text, position)
            position = found.end() if found else position + 1
            continue
        position += 1
    return position
