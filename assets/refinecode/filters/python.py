"""Python signals: what the syntax tree and a few words say about a file (paper 2.1.1, A).

The idea: the interpreter's own parser makes the tree, one walk over its statements counts what all
signals need (no statement hides inside an expression, so expressions are never entered), and
comments are found by a scanner that knows strings, not by a full tokenizer.
"""

from __future__ import annotations

import ast
import gc
import re
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Signal, Source

#: A text with more characters counts as not parsed; the size rule drops such files anyway.
MAX_PARSED_CHARS = 3_000_000
#: So does one with more words, signs and line ends, for each started million characters: a text
#: that parses costs up to 2.5 microseconds for each of them, one with an error at its end (which
#: the parser then reads again, to explain it) up to 4.5. Large files of code have 0.2 to 0.3 a
#: character.
MAX_PARSED_TOKENS = 150_000
#: Between words, as bytes; and what is neither a word nor a sign.
_NOT_WORD = bytes(32 if code < 128 and not chr(code).isalnum() else code for code in range(256))
_NO_TOKEN = bytes(
    code for code in range(256) if code > 127 or chr(code).isalnum() or code in b" \t_"
)
#: Silencing warnings and pausing the garbage collector (which would look at the growing tree over
#: and over, for half of the time) change the process: one parse at a time does it, and undoes it.
_PARSING = threading.Lock()


def parse(source: Source) -> ast.Module | None:
    """The tree of the running interpreter's parser; None for a text it does not accept (syntax of
    another version, null bytes, too deep) or that goes beyond the limits above. Never raises."""
    text = source.raw
    if len(text) > MAX_PARSED_CHARS or _tokens(source.data) > MAX_PARSED_TOKENS * max(
        1.0, len(text) / 1e6
    ):
        return None
    with quietly():
        collects = gc.isenabled()
        gc.disable()
        try:
            return ast.parse(text)
        except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError, SystemError):
            return None
        finally:
            if collects:
                gc.enable()


def _tokens(data: bytes) -> int:
    """Words, signs and line ends of a UTF-8 text, those in strings and comments included."""
    if len(data) <= MAX_PARSED_TOKENS:
        return 0
    return len(data.translate(_NOT_WORD).split()) + len(data.translate(None, _NO_TOKEN))


@contextmanager
def quietly() -> Iterator[None]:
    """No warnings about what a parser reads; one thread at a time, as they are set by process."""
    with _PARSING, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def cate_ast(source: Source) -> float:
    """1.0 if the text parses (the empty text does), else 0.0."""
    return 0.0 if source.tree is None else 1.0


def frac_lines_func_ratio(source: Source) -> float | None:
    """Function definitions (not async) per code line, >= 0; None without tree or code lines."""
    counts = _counts(source)
    if counts is None or not source.num_code_lines:
        return None
    return round(counts.functions / source.num_code_lines, 8)


def cate_var_zero(source: Source) -> bool | None:
    """Whether no variable has a name: no plain assignment target, ``for`` target or positional
    argument; None without tree."""
    counts = _counts(source)
    return None if counts is None else not counts.names


def frac_lines_pass(source: Source) -> float:
    """Share of code lines that contain ``pass`` in any case, in [0, 1]; 0.0 without code lines."""
    return _share_of_lines(source, "pass")


def frac_lines_import(source: Source) -> float:
    """Share of code lines that contain ``import``, in [0, 1]; 0.0 without code lines."""
    return _share_of_lines(source, "import")


def frac_lines_simplefunc(source: Source) -> float | None:
    """Functions whose body is one ``return``, per code line (not rounded), >= 0; None without
    tree or code lines."""
    counts = _counts(source)
    if counts is None or not source.num_code_lines:
        return None
    return counts.simple_functions / source.num_code_lines


def score_lines_no_logic(source: Source) -> float | None:
    """Functions, lines with ``import``, classes, lines that start with ``return`` and class-level
    names per code line, >= 0; None without tree or code lines."""
    counts = _counts(source)
    if counts is None or not source.num_code_lines:
        return None
    returns = sum(line.lstrip().startswith("return") for line in source.code_lines)
    plain = counts.functions + counts.classes + counts.class_names + returns
    return round((plain + _lines_with(source, "import")) / source.num_code_lines, 8)


def frac_lines_print(source: Source) -> float | None:
    """Share of code lines that contain ``print``, in [0, 1]; None without code lines."""
    return _share_of_lines(source, "print") if source.num_code_lines else None


SIGNALS: Mapping[str, Signal] = {
    "qsc_codepython_cate_ast": cate_ast,
    "qsc_codepython_frac_lines_func_ratio": frac_lines_func_ratio,
    "qsc_codepython_cate_var_zero": cate_var_zero,
    "qsc_codepython_frac_lines_pass": frac_lines_pass,
    "qsc_codepython_frac_lines_import": frac_lines_import,
    "qsc_codepython_frac_lines_simplefunc": frac_lines_simplefunc,
    "qsc_codepython_score_lines_no_logic": score_lines_no_logic,
    "qsc_codepython_frac_lines_print": frac_lines_print,
}


def comment_text(source: Source) -> str:
    """Docstrings and comments of a Python text, for the share of comments.

    Cleaned docstrings of classes, functions (not async) and the module, in this order and then by
    name, a line each; then all comments, glued, without any ``#``. Docstrings need a tree;
    comments need brackets, strings and indentation that close, else there are none.

    >>> comment_text(Source("x = 1  # one", program="python", doc_type="code"))
    ' one'
    """
    counts = _counts(source)
    docs = [] if counts is None else [text for *_, text in sorted(counts.docstrings)]
    comments = _comments(source.raw, parsed=counts is not None) if "#" in source.raw else ""
    return ("\n".join(docs) + "\n" + comments.replace("#", "")).strip()


def _lines_with(source: Source, word: str) -> int:
    def count() -> int:
        if word not in source.code.lower():
            return 0
        return sum(word in line.lower() for line in source.code_lines)

    return source.memo(f"python lines with {word}", count)


def _share_of_lines(source: Source, word: str) -> float:
    if not source.num_code_lines:
        return 0.0
    return round(_lines_with(source, word) / source.num_code_lines, 8)


@dataclass(frozen=True)
class _Counts:
    """What one walk over the tree finds; docstrings are (kind, name, cleaned text)."""

    functions: int
    simple_functions: int
    classes: int
    class_names: int
    names: bool
    docstrings: tuple[tuple[str, str, str], ...]


def _counts(source: Source) -> _Counts | None:
    tree = source.tree
    if not isinstance(tree, ast.Module):
        return None
    return source.memo("python counts", lambda: _count(tree))


def _count(tree: ast.Module) -> _Counts:
    functions = simple = classes = class_names = 0
    names = False
    docstrings: list[tuple[str, str, str]] = []

    def document(kind: str, name: str, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> None:
        text = ast.get_docstring(node)
        if text:
            docstrings.append((kind, name, text))

    document("Module", "", tree)
    bodies: list[tuple[list[ast.stmt], bool]] = [(tree.body, False)]
    while bodies:
        body, in_class = bodies.pop()
        for node in body:
            if isinstance(node, ast.Expr | ast.Return):
                continue
            if isinstance(node, ast.Assign):
                names = names or _plain_names(node) > 0
            elif isinstance(node, ast.FunctionDef):
                functions += 1
                names = names or bool(node.args.args)
                simple += len(node.body) == 1 and isinstance(node.body[0], ast.Return)
                document("Function", node.name, node)
                bodies.append((node.body, in_class))
            elif isinstance(node, ast.ClassDef):
                classes += 1
                if not in_class:
                    class_names += sum(map(_plain_names, node.body))
                document("Class", node.name, node)
                bodies.append((node.body, True))
            else:
                if isinstance(node, ast.For):
                    names = names or isinstance(node.target, ast.Name)
                bodies += [(inner, in_class) for inner in _inner_bodies(node)]
    return _Counts(functions, simple, classes, class_names, names, tuple(docstrings))


def _plain_names(node: ast.stmt) -> int:
    """Names that an assignment statement binds directly, not inside a tuple or an attribute."""
    if isinstance(node, ast.Assign):
        return sum(isinstance(target, ast.Name) for target in node.targets)
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def _inner_bodies(node: ast.stmt) -> list[list[ast.stmt]]:
    """The statement lists inside a compound statement; none for a simple one."""
    found = [getattr(node, field, None) for field in ("body", "orelse", "finalbody")]
    for field in ("handlers", "cases"):
        found += [part.body for part in getattr(node, field, ())]
    return [body for body in found if body]


#: In a text that parses: a comment, or a string as a whole (a backslash guards the next character,
#: in raw strings too).
_COMMENT_OR_STRING = re.compile(
    r"""(\#[^\r\n]*)
    |'''[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''
    |\"\"\"[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+\"\"\"
    |'[^'\\\n]*+(?:\\.[^'\\\n]*+)*+'
    |"[^"\\\n]*+(?:\\.[^"\\\n]*+)*+"
    """,
    re.VERBOSE | re.DOTALL,
)
#: The rest of a string on its line, up to its closing quotes.
_REST = {
    "'": re.compile(r"[^'\\]*+(?:\\.[^'\\]*+)*+'"),
    '"': re.compile(r'[^"\\]*+(?:\\.[^"\\]*+)*+"'),
    "'''": re.compile(r"[^'\\]*+(?:(?:\\.|'(?!''))[^'\\]*+)*+'''"),
    '"""': re.compile(r'[^"\\]*+(?:(?:\\.|"(?!""))[^"\\]*+)*+"""'),
}
#: The same where the line ends first, in a backslash that joins the next line.
_GUARDED = {
    sign: re.compile(rf"[^{sign}\\]*+(?:\\(?!\r?\n).[^{sign}\\]*+)*+\\\r?\n") for sign in "'\""
}
_NOTABLE = re.compile(r"""[#'"()\[\]{}\\]""")
_INDENT = re.compile(r"[ \t\f]*")
_COMMENT = re.compile(r"#[^\r\n]*")
_CONTINUED = ("\\\n", "\\\r\n")


def _comments(text: str, *, parsed: bool) -> str:
    if parsed and "\r" not in text:
        return "".join([found[1] for found in _COMMENT_OR_STRING.finditer(text) if found[1]])
    return _comments_of_broken_text(text)


def _comments_of_broken_text(text: str) -> str:
    """The comments of a text that need not be Python, glued; "" where the tokenizer of Python 3.11
    would give up: an indentation that fits no outer one, an open bracket or string at the end.

    Line by line, as that tokenizer reads: a quote that does not close on its line is a stray sign,
    unless the line ends in a backslash.
    """
    comments: list[str] = []
    depth = 0
    continued = False
    quotes = ""  # of the string that is open where the line begins
    guarded = False  # it goes on only after a backslash (kept from a string given up, as there)
    indents = [0]
    for line in StringIO(text):
        position = 0
        if quotes:
            closing = _REST[quotes].match(line)
            if closing is None:
                if guarded and not line.endswith(_CONTINUED):
                    quotes = ""
                continue
            quotes, guarded = "", False
            position = closing.end()
        elif depth == 0 and not continued:
            position = _INDENT.match(line).end()  # type: ignore[union-attr]  # matches nothing too
            if position == len(line):
                break
            if line[position] in "#\r\n":
                if line[position] == "#":
                    comments.append(line[position:].rstrip("\r\n"))
                continue
            if not _indents_to(indents, line[:position]):
                return ""
        continued = False
        stray = ""  # quotes known not to close on this line: nothing is scanned twice
        while notable := _NOTABLE.search(line, position):
            start, sign = notable.start(), notable[0]
            position = start + 1
            if sign == "#":
                comment = _COMMENT.match(line, start)
                assert comment is not None
                comments.append(comment[0])
                position = comment.end()
            elif sign in "([{":
                depth += 1
            elif sign in ")]}":
                depth -= 1
            elif sign == "\\":
                continued = line[start:] in _CONTINUED
            elif line.startswith(sign * 3, start):
                closing = _REST[sign * 3].match(line, start + 3)
                if closing is None:
                    quotes = sign * 3
                    break
                position = closing.end()
            elif sign not in stray:
                closing = _REST[sign].match(line, position)
                if closing is not None:
                    position = closing.end()
                elif _GUARDED[sign].match(line, position):
                    quotes, guarded = sign, True
                    break
                else:
                    stray += sign
    return "" if quotes or continued or depth else "".join(comments)


def _indents_to(indents: list[int], blanks: str) -> bool:
    """Open or close indentation levels for a line that starts with these blanks; False if its
    column is no open level."""
    column = 0
    for sign in blanks:
        column = 0 if sign == "\f" else column + 1 if sign == " " else (column // 8 + 1) * 8
    if column > indents[-1]:
        indents.append(column)
    while column < indents[-1]:
        indents.pop()
    return column == indents[-1]
