"""Java signals: counts of what looks like a method, declaration or import (paper appendix A).

The idea: regular expressions over the code, no parser. Everything but ``print`` stands at the start
of a line; a type is one plain word, so methods that return arrays or generic types are not seen.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from assets.refinecode.filters.scan import (
    LINE_END,
    count,
    per_code_line,
    plain_code,
    share_of_lines,
    statements,
    up_to_last,
)

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Signal, Source

_ACCESS = re.compile(rb"public|protected|private")
_ACCESS_WORD = re.compile(rb"\b(?:public|protected|private)\s")
# Groups: the declaration, its name. Modifiers that lead to none are matched alone, without groups,
# so that those that go over many lines are read once and not from each line.
_OF_FUNCTION = rb"(?:(?:public|protected|private|static)\s++)"
_OF_VARIABLE = rb"(?:(?:public|protected|private|static|final)\s++)"
#: A modifier may also be the type, where the name follows it.
_FUNCTION = re.compile(
    rb"\n(" + _OF_FUNCTION + rb"*(?!public|private|protected|else|if)"
    rb"(?:<\w++>\s*+)?+\w++\s++(\w++)\s*+\([^)]*+\))|\n" + _OF_FUNCTION + rb"++"
)
_TYPED_NAME = (
    rb"\n("
    + _OF_VARIABLE
    + rb"*+(?:int|float|boolean|char|double|[A-Z]\w*+(?:<\w++>)?+)\s++(\w++)\s*+"
)
_VARIABLE = re.compile(_TYPED_NAME + rb"(?:=[^;]*+)?+;)|\n" + _OF_VARIABLE + rb"++")
_SIMPLE_VARIABLE = re.compile(_TYPED_NAME + rb";)|\n" + _OF_VARIABLE + rb"++")
_IMPORT = re.compile(rb"\nimport\s++[\w.*]++\s*+;" + LINE_END)
_SIMPLE_RETURN = re.compile(rb'\nreturn(?:;(?=\n|\Z)|\s++(?:\w++|"[^"]*+")\s*+;)')
#: Group: the name. For the code with its indentation, where positions are those of the text.
_CLASS = re.compile(
    rb"\n[^\S\n]*+(?:(?:public|private|protected)\s++)?+(?:(?:final|abstract)\s++)?+class\s++(\w++)"
)
_CLASS_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_MEMBER_NAME = re.compile(rb"[a-z$][A-Za-z0-9]*")
_SECOND_OF_VARIABLE = re.compile(rb".[a-z$]")
_SECOND_OF_FUNCTION = re.compile(rb".[A-Za-z$]")


def cate_var_zero(source: Source) -> float:
    """1.0 if no line declares a variable, else 0.0."""
    return float(not _names(source).variables)


def frac_lines_func_ratio(source: Source) -> float | None:
    """Methods (without constructors) per code line, >= 0; None without code lines."""
    return per_code_line(source, len(_names(source).functions))


def score_lines_no_logic(source: Source) -> float | None:
    """Methods, imports, classes, variables without a value and returns of one word per code line,
    >= 0; None without code lines."""
    text = statements(source)
    names = _names(source)
    return per_code_line(
        source,
        len(names.functions)
        + len(names.classes)
        + count(_IMPORT, text)
        + len(_declarations(_SIMPLE_VARIABLE, text))
        + count(_SIMPLE_RETURN, text),
    )


def frac_words_no_modifier(source: Source) -> float | None:
    """Share of methods and classes without an access word, in [0, 1]; None without any. Under
    ``opencoder`` it is the share of methods that have one, as the released filter counts those and
    sees none on a class."""
    names = _names(source)
    everything = len(names.functions) + len(names.classes)
    if not everything:
        return None
    if source.rules == "opencoder":
        counted = sum(_ACCESS.search(text) is not None for text, _ in names.functions)
    else:
        declared = names.functions + names.classes
        counted = sum(_ACCESS_WORD.search(text) is None for text, _ in declared)
    return round(counted / everything, 8)


def frac_words_legal_var_name(source: Source) -> float | None:
    """Share of variables whose name is a small letter, then letters and digits, in [0, 1]; None
    without any."""
    return _share_of_names(source, _names(source).variables, _SECOND_OF_VARIABLE)


def frac_words_legal_func_name(source: Source) -> float | None:
    """Share of methods whose name is a small letter, then letters and digits, in [0, 1]; None
    without any."""
    return _share_of_names(source, _names(source).functions, _SECOND_OF_FUNCTION)


def frac_words_legal_class_name(source: Source) -> float | None:
    """Share of classes whose name is a capital letter, then letters and digits, in [0, 1]; None
    without any. Under ``opencoder`` type parameters are a part of the name, which they spoil."""
    names = _names(source)
    if not names.classes:
        return None
    legal = names.legal_classes
    if source.rules != "opencoder":
        legal += names.legal_generic_classes
    return round(legal / len(names.classes), 8)


def frac_lines_print(source: Source) -> float | None:
    """Share of code lines that contain ``System.out.print``, in [0, 1]; None without code lines."""
    return share_of_lines(source, b"System.out.print")


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "qsc_codejava_cate_var_zero": cate_var_zero,
        "qsc_codejava_frac_lines_func_ratio": frac_lines_func_ratio,
        "qsc_codejava_score_lines_no_logic": score_lines_no_logic,
        "qsc_codejava_frac_words_no_modifier": frac_words_no_modifier,
        "qsc_codejava_frac_words_legal_var_name": frac_words_legal_var_name,
        "qsc_codejava_frac_words_legal_func_name": frac_words_legal_func_name,
        "qsc_codejava_frac_words_legal_class_name": frac_words_legal_class_name,
        "qsc_codejava_frac_lines_print": frac_lines_print,
    }
)

Declaration = tuple[bytes, bytes]


@dataclass(frozen=True)
class _Names:
    """What a file declares, each as (matched text without indentation, name); classes by whether
    their name is legal, those with type parameters apart."""

    functions: tuple[Declaration, ...]
    variables: tuple[Declaration, ...]
    classes: tuple[Declaration, ...]
    legal_classes: int
    legal_generic_classes: int


def _names(source: Source) -> _Names:
    return source.memo("java.names", lambda: _find(source))


def _find(source: Source) -> _Names:
    classes = []
    legal = legal_generic = 0
    text = plain_code(source)
    last_close = text.rfind(b">")
    match = _CLASS.search(text)
    while match:
        classes.append((match[0].lstrip(), match[1]))
        start, end = match.span(1)
        generic = text[end : end + 1] == b"<" and last_close > end
        if _CLASS_NAME.fullmatch(source.code[start - 1 : end - 1]):
            legal_generic += generic
            legal += not generic
        match = _CLASS.search(text, text.index(b">", end) if generic else end)
    text = statements(source)
    return _Names(
        _declarations(_FUNCTION, up_to_last(text, b")")),
        _declarations(_VARIABLE, up_to_last(text, b";")),
        tuple(classes),
        legal,
        legal_generic,
    )


def _declarations(pattern: re.Pattern[bytes], text: bytes) -> tuple[Declaration, ...]:
    return tuple(found for found in pattern.findall(text) if found[0])


def _share_of_names(
    source: Source, declarations: tuple[Declaration, ...], second: re.Pattern[bytes]
) -> float | None:
    """Share of legal names; under ``opencoder`` it is the second character of the matched text that
    must be fit for a name, as the released filter takes that for the name."""
    if not declarations:
        return None
    if source.rules == "opencoder":
        legal = sum(second.match(text) is not None for text, _ in declarations)
    else:
        legal = sum(_MEMBER_NAME.fullmatch(name) is not None for _, name in declarations)
    return round(legal / len(declarations), 8)
