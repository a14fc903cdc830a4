"""Names, numbers, strings and regular expressions of the 2017 language.

The idea: what is wrong with them is rare, so the text is searched for a hint first (``enum``, an
underscore behind a digit, ``\\8``), and only the nodes where one stands are looked at.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from assets.refinecode.filters.javascript import captures
from assets.refinecode.filters.python import quietly

if TYPE_CHECKING:
    from assets.refinecode.filters.javascript_syntax import Code

#: Regular expressions are tried on Python's compiler, as the published rules' parser (a port to
#: Python) does, up to this many characters of patterns in a file; the rest is taken as valid.
MAX_PATTERN_CHARS = 20_000


def has_plain_literals(code: Code) -> bool:
    """Whether names, numbers, strings, ``__proto__`` keys and patterns are all of that language."""
    return _names_and_numbers(code) and _strings(code) and _patterns(code)


_LATER_NUMBERS = (re.compile(rb"[0-9](?:n\b|_[0-9a-fA-F])"), re.compile(rb"0[xX][0-9a-fA-F_]++n"))
_OCTAL_NUMBER = re.compile(rb"0[0-7]+\b")
_OCTAL_ESCAPE = re.compile(rb"\\(?:[1-9]|0[0-9])")
_ASYNC_NAME = re.compile(rb"async\s*+\}")
_PARAMETERS = re.compile(rb"\(\s*+([\w$]++(?:\s*+,\s*+[\w$]++)++)\s*+\)\s*+(?:=>|\{)")
_RESERVED = (
    b"implements",
    b"interface",
    b"package",
    b"private",
    b"protected",
    b"public",
    b"static",
)
_ASSIGNED = tuple(
    re.compile(name + rb"\s*+(?:=[^=]|\+\+|--|[-+*/%&|^]=)") for name in (b"eval", b"arguments")
)
_NAME_TYPES = frozenset(
    {"identifier", "shorthand_property_identifier", "shorthand_property_identifier_pattern"}
)


def _is_name(code: Code, node: Any, word: bytes) -> bool:
    return node.type in _NAME_TYPES and code.text(node) == word


def _names_and_numbers(code: Code) -> bool:
    """No reserved word as a name, no number of a later language, none of sloppy code in strict."""
    if any(_is_name(code, node, b"enum") for node in code.hits(b"enum")):
        return False
    if any(node.type == "shorthand_property_identifier" for node in code.hits(_ASYNC_NAME)):
        return False
    if any(node.type == "number" for hint in _LATER_NUMBERS for node in code.hits(hint)):
        return False
    for match in _PARAMETERS.finditer(code.data):
        names = [name.strip() for name in match[1].split(b",")]
        if len(set(names)) < len(names):
            parent = code.at(match.start()).parent
            if parent is None or parent.type != "formal_parameters":
                continue
            if parent.parent.type == "arrow_function" or code.is_strict(parent):
                return False
    if not code.is_module and not code.strict.starts:
        return True
    for node in code.hits(_OCTAL_NUMBER):
        is_octal = node.type == "number" and re.fullmatch(rb"0[0-7]+", code.text(node))
        if is_octal and code.is_strict(node):
            return False
    for word in _RESERVED:
        if any(_is_name(code, node, word) and code.is_strict(node) for node in code.hits(word)):
            return False
    return not any(
        node.type == "identifier" and code.is_strict(node) and _is_bound(node)
        for hint in _ASSIGNED
        for node in code.hits(hint)
    )


def _is_bound(name: Any) -> bool:
    """Whether a name is declared or assigned to."""
    parent = name.parent
    if parent.type in ("variable_declarator", "function_declaration", "function_expression"):
        return bool(parent.child_by_field_name("name") == name)
    if parent.type in ("assignment_expression", "augmented_assignment_expression"):
        return bool(parent.child_by_field_name("left") == name)
    if parent.type == "catch_clause":
        return bool(parent.child_by_field_name("parameter") == name)
    return parent.type in ("update_expression", "formal_parameters")


def _strings(code: Code) -> bool:
    """No digit escape that is not octal, no octal one in strict code, no line separator."""
    data, root = code.data, code.root
    if _OCTAL_ESCAPE.search(data):
        for escape in captures("(string (escape_sequence) @escape)", root).get("escape", ()):
            text = code.text(escape)
            if text in (rb"\8", rb"\9"):
                return False
            if text[1:2].isdigit() and code.is_strict(escape):
                following = data[escape.end_byte : escape.end_byte + 1]
                if text != rb"\0" or following.isdigit():
                    return False
    separators = (b"\xe2\x80\xa8", b"\xe2\x80\xa9")  # U+2028, U+2029
    if any(separator in data for separator in separators):
        for literal in captures("[(string) (regex)] @literal", root).get("literal", ()):
            if any(separator in code.text(literal) for separator in separators):
                return False
    if data.count(b"__proto__") > 1:
        seen = set()
        for key in captures("(object (pair key: [(property_identifier) (string)] @key))", root).get(
            "key", ()
        ):
            if code.text(key).strip(b"'\"") == b"__proto__":
                owner = key.parent.parent.id
                if owner in seen:
                    return False
                seen.add(owner)
    return True


def _patterns(code: Code) -> bool:
    left = MAX_PATTERN_CHARS
    for pattern in {code.text(node) for node in code.nodes("pattern")}:
        left -= len(pattern)
        if left < 0:
            return True
        if not _compiles(pattern.decode("utf-8", "replace")):
            return False
    return True


def _unescaped(escape: re.Match[str]) -> str:
    code = int(escape[1] or escape[2], 16)
    return chr(code) if code <= 0xFFFF else "\uffff"


@lru_cache(maxsize=4096)
def _compiles(pattern: str) -> bool:
    for code in re.findall(r"\\u\{([0-9a-fA-F]+)\}", pattern):
        if int(code, 16) > 0x10FFFF:
            return False
    plain = re.sub(r"\\u\{([0-9a-fA-F]+)\}|\\u([a-fA-F0-9]{4})", _unescaped, pattern)
    plain = re.sub("[\ud800-\udbff][\udc00-\udfff]", "\uffff", plain)
    try:
        with quietly():
            re.compile(plain)
    except (re.error, RecursionError, OverflowError, ValueError, MemoryError):
        return False
    return True
