"""JavaScript signals: declarations and plain statements per line of code (paper 2.1.1, A).

The idea: tree-sitter parses a file in one linear pass, one query over its tree captures only the
nodes that are counted, and a text with any error counts as not parsed. The ``opencoder`` rules
accept what a parser of the 2017 language accepts (``javascript_syntax``), ours all of today's:
shebang lines, JSX, optional chaining, class fields.
"""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Signal, Source

#: A text with more characters counts as not parsed; the size rule drops such files anyway.
MAX_PARSED_CHARS = 3_000_000
#: Parsing is given up after this many parser steps per byte: minified code takes 2.3, other code
#: less, and a step about 0.3 microseconds.
MAX_STEPS_PER_BYTE = 3
#: Behind an error the parser tries repairs, of which one step may take a hundred times as long and
#: which no count of it shows: this CPU time ends them. What is given up has an error, or is far
#: denser than code (that takes a third of the time), so that the verdict is what it would be.
MAX_SECONDS, MAX_SECONDS_PER_MB = 0.15, 0.3
#: Brackets may nest this deep in a text that is parsed, and nodes in a tree that are counted: the
#: parser's own recursion (and its 16-bit depths) end not far above.
MAX_NESTING = 2_000
#: Not more than so many bytes may stand in more than so many brackets (code, minified or not, stays
#: below 40): a query slows down with the depth.
MAX_DEEP_BYTES, DEEP = 20_000, 100
MAX_COUNTED_DEPTH = 10_000
#: Words that the query looks for, a thousand bytes, and so many more: minified code has some 30.
MAX_WORDS_PER_KB, MORE_WORDS = 60, 1_000
#: Patterns of a query that may be begun and not ended: code nested some 100 deep.
MAX_OPEN_MATCHES = 512

_COUNTED_WORDS = (b"return", b"var", b"let", b"const", b"function", b"class", b"import", b"for")
_ARROW_INSIDE = re.compile(rb"([^\s*/][ \t]*+)-->")
_BRACKETS = np.zeros(256, dtype=np.int8)
_BRACKETS[list(b"([{")] = 1
_BRACKETS[list(b")]}")] = -1
_CHUNK_BYTES = 1 << 16
_STEPS_PER_CALL = 100
_CALLS_PER_CLOCK = 16


class TooDeepError(ValueError):
    """Code nested deeper than a query follows."""


@dataclass(frozen=True)
class Script:
    """What is counted in a file that parses; names in the order of the text."""

    statements: int
    imports: int
    simple_variables: int
    simple_returns: int
    variables: tuple[str, ...]
    functions: tuple[str, ...]
    classes: tuple[str, ...]


def parse(source: Source) -> Script | None:
    """What is counted in the text; None if it has a syntax error (under the ``opencoder`` rules:
    one for a parser of the 2017 language), or goes beyond the limits above. Never raises."""
    if len(source.raw) > MAX_PARSED_CHARS:
        return None
    # "-->" inside a line is no comment but "--" and ">", as in ``while (n --> 0)``
    data = _ARROW_INSIDE.sub(rb"\1-- >", source.data) if "-->" in source.raw else source.data
    tree = _tree(data)
    if tree is None or tree.root_node.has_error:
        return None
    try:
        return _script_of(tree.root_node, data, source.rules)
    except TooDeepError:
        return None


def cate_ast(source: Source) -> float:
    """1.0 if the text parses, else 0.0."""
    return 0.0 if source.tree is None else 1.0


def cate_var_zero(source: Source) -> float | None:
    """1.0 if no variable is declared, else 0.0; None if the text does not parse."""
    script = _script(source)
    return None if script is None else float(not script.variables)


def frac_lines_func_ratio(source: Source) -> float | None:
    """Functions with a name per code line, >= 0; None without tree or code lines."""
    script = _script(source)
    return None if script is None else _per_line(source, len(script.functions))


def num_statement_line(source: Source) -> float | None:
    """Statements at the top level per code line, >= 0; None without tree or code lines."""
    script = _script(source)
    return None if script is None else _per_line(source, script.statements)


def score_lines_no_logic(source: Source) -> float | None:
    """Functions, imports, classes, variables of a plain value and returns of one per code line,
    >= 0; None without tree or code lines."""
    script = _script(source)
    if script is None:
        return None
    declared = len(script.functions) + len(script.classes) + script.imports
    return _per_line(source, declared + script.simple_variables + script.simple_returns)


def frac_words_legal_var_name(source: Source) -> float | None:
    """Share of variables named like ``camelCase``, in [0, 1]; None without tree or variables."""
    script = _script(source)
    return None if script is None else _share_of_names(r"[a-z$][A-Za-z0-9]*", script.variables)


def frac_words_legal_func_name(source: Source) -> float | None:
    """Share of functions named by letters and digits, in [0, 1]; None without tree or functions."""
    script = _script(source)
    return None if script is None else _share_of_names(r"[A-Za-z$][A-Za-z0-9]*", script.functions)


def frac_words_legal_class_name(source: Source) -> float | None:
    """Share of classes named like ``PascalCase``, in [0, 1]; None without tree or classes."""
    script = _script(source)
    return None if script is None else _share_of_names(r"[A-Z][A-Za-z0-9]*", script.classes)


def frac_lines_print(source: Source) -> float | None:
    """Share of code lines that contain ``console.log``, in [0, 1]; None without code lines."""
    if "console.log" not in source.code:
        return _per_line(source, 0)
    return _per_line(source, sum("console.log" in line for line in source.code_lines))


SIGNALS: Mapping[str, Signal] = {
    "qsc_codejavascript_cate_ast": cate_ast,
    "qsc_codejavascript_cate_var_zero": cate_var_zero,
    "qsc_codejavascript_frac_lines_func_ratio": frac_lines_func_ratio,
    "qsc_codejavascript_num_statement_line": num_statement_line,
    "qsc_codejavascript_score_lines_no_logic": score_lines_no_logic,
    "qsc_codejavascript_frac_words_legal_var_name": frac_words_legal_var_name,
    "qsc_codejavascript_frac_words_legal_func_name": frac_words_legal_func_name,
    "qsc_codejavascript_frac_words_legal_class_name": frac_words_legal_class_name,
    "qsc_codejavascript_frac_lines_print": frac_lines_print,
}

_PLAIN = frozenset(
    {
        *("number", "string", "true", "false", "null", "regex"),
        *("identifier", "undefined", "unary_expression"),
    }
)
_FUNCTIONS = frozenset({"function_expression", "generator_function"})
_BETWEEN = frozenset({"comment", "html_comment", "hash_bang_line"})
_PLAIN_NODES = " ".join(f"({kind})" for kind in sorted(_PLAIN))

#: A value in parentheses is looked into by hand: the reference's tree has no parentheses. So are
#: names: a predicate has the text of every candidate copied, a chunk of the file at a time.
_COUNTED = f"""
(variable_declarator name: (identifier) @variable)
(variable_declarator name: (identifier) @plain !value)
(variable_declarator name: (identifier) @plain value: [{_PLAIN_NODES}])
(variable_declarator name: (identifier) @function_variable
    value: [(function_expression) (generator_function)])
(variable_declarator name: (identifier) value: (parenthesized_expression)) @wrapped
(for_in_statement kind: _ left: (identifier) @loop_variable !value)
(for_in_statement kind: _ left: (identifier) @loop_variable value: (_) @loop_value)
(function_declaration name: (identifier) @function_name)
(generator_function_declaration name: (identifier) @function_name)
(class_declaration name: (identifier) @class_name)
(return_statement) @return
(return_statement . [{_PLAIN_NODES}]) @plain_return
(return_statement . [(parenthesized_expression) (comment)]) @wrapped_return
(import_statement) @import
[(assignment_expression left: (member_expression object: (member_expression
    object: (identifier) property: (property_identifier)) property: (property_identifier)))
  (augmented_assignment_expression left: (member_expression object: (member_expression
    object: (identifier) property: (property_identifier)) property: (property_identifier)))
] @member_assignment
"""


@functools.cache
def language() -> Any:
    """The grammar of JavaScript with JSX."""
    import tree_sitter
    import tree_sitter_javascript

    return tree_sitter.Language(tree_sitter_javascript.language())


@functools.cache
def query(patterns: str) -> Any:
    """A compiled query of the grammar."""
    import tree_sitter

    return tree_sitter.Query(language(), patterns)


def captures(patterns: str, root: Any) -> dict[str, list[Any]]:
    """The nodes under a root that a query captures, by name, in the order of the text.

    Raises ``TooDeepError`` where more than ``MAX_OPEN_MATCHES`` patterns are begun and not ended.
    """
    import tree_sitter

    cursor = tree_sitter.QueryCursor(query(patterns), match_limit=MAX_OPEN_MATCHES)
    cursor.set_max_start_depth(MAX_COUNTED_DEPTH)
    found: dict[str, list[Any]] = cursor.captures(root)
    if cursor.did_exceed_match_limit:
        raise TooDeepError(f"more than {MAX_OPEN_MATCHES} patterns are open at once")
    return found


def bare(node: Any) -> Any:
    """A node without the parentheses (and comments) around it."""
    while node is not None and node.type == "parenthesized_expression":
        inner = [child for child in node.named_children if child.type != "comment"]
        node = inner[0] if inner else None
    return node


def _is_too_deep(data: bytes) -> bool:
    """Whether brackets nest too deep, those in strings and comments included."""
    if data.count(b"(") + data.count(b"[") + data.count(b"{") <= DEEP:
        return False
    depths = np.cumsum(_BRACKETS[np.frombuffer(data, dtype=np.uint8)], dtype=np.int32)
    return bool(depths.max() > MAX_NESTING or np.count_nonzero(depths > DEEP) > MAX_DEEP_BYTES)


def _has_too_many_words(data: bytes) -> bool:
    """Whether more would be counted than any code has: each takes microseconds."""
    most = MORE_WORDS + MAX_WORDS_PER_KB * len(data) // 1000
    return sum(map(data.count, _COUNTED_WORDS)) > most


def _tree(data: bytes) -> Any | None:
    """The tree, None where parsing was given up."""
    import tree_sitter

    if _is_too_deep(data) or _has_too_many_words(data):
        return None
    deadline = time.thread_time() + MAX_SECONDS + MAX_SECONDS_PER_MB * len(data) / 1e6
    calls = 100 + MAX_STEPS_PER_BYTE * len(data) // _STEPS_PER_CALL

    def stop(_offset: int, has_error: bool) -> bool:
        nonlocal calls
        calls -= 1
        if has_error or calls < 0:
            return True
        return calls % _CALLS_PER_CLOCK == 0 and time.thread_time() > deadline

    def read(offset: int, _point: object) -> bytes:
        return data[offset : offset + _CHUNK_BYTES]

    try:
        return tree_sitter.Parser(language()).parse(read, progress_callback=stop)
    except ValueError:  # says that it was stopped
        return None


def _script_of(root: Any, data: bytes, rules: str) -> Script | None:
    if rules != "opencoder":
        return _count(root, data, captures(_COUNTED, root))
    from assets.refinecode.filters.javascript_syntax import LATER_OR_WRONG, is_es2017

    found = captures(_COUNTED + LATER_OR_WRONG, root)
    return _count(root, data, found) if is_es2017(root, data, found) else None


def _count(root: Any, data: bytes, found: Mapping[str, list[Any]]) -> Script:
    def nodes(*names: str) -> list[Any]:
        return [node for name in names for node in found.get(name, ())]

    variables = nodes("variable", "loop_variable")
    functions = {node.start_byte: node for node in nodes("function_variable")}
    plain = len(nodes("plain")) + len(nodes("loop_variable")) - len(nodes("loop_value"))
    plain += sum(map(_is_plain, nodes("loop_value")))
    for declarator in nodes("wrapped"):
        name = declarator.child_by_field_name("name")
        value = bare(declarator.child_by_field_name("value"))
        if value is not None and value.type in _FUNCTIONS:
            functions[name.start_byte] = name
        else:
            plain += _is_plain(value)
    variables = [node for node in variables if node.start_byte not in functions]
    declared = [*functions.values(), *nodes("function_name")]
    for assignment in nodes("member_assignment"):
        if not _is_export(assignment, data):
            continue
        name = assignment.child_by_field_name("left").child_by_field_name("property")
        value = bare(assignment.child_by_field_name("right"))
        if value is not None and (value.type in _FUNCTIONS or value.type == "arrow_function"):
            declared.append(name)
        else:
            variables.append(name)
            plain += _is_plain(value)
    returns = len(nodes("plain_return"))
    returns += sum(_returns_nothing(data[slice(*node.byte_range)]) for node in nodes("return"))
    for statement in nodes("wrapped_return"):
        values = [child for child in statement.named_children if child.type != "comment"]
        returns += not values or _is_plain(values[0])
    return Script(
        statements=sum(child.type not in _BETWEEN for child in root.named_children),
        imports=len(nodes("import")),
        simple_variables=plain,
        simple_returns=returns,
        variables=_names(variables, data),
        functions=_names(declared, data),
        classes=_names(nodes("class_name"), data),
    )


def _is_export(assignment: Any, data: bytes) -> bool:
    """Whether a member of ``module.exports`` is assigned to."""
    if not data.startswith(b"module", assignment.start_byte):
        return False
    target = assignment.child_by_field_name("left").child_by_field_name("object")
    parts = (target.child_by_field_name(field) for field in ("object", "property"))
    return [data[slice(*part.byte_range)] for part in parts] == [b"module", b"exports"]


def _returns_nothing(statement: bytes) -> bool:
    return len(statement) < 80 and statement.rstrip(b"; \t\r\n") == b"return"


def _is_plain(node: Any) -> bool:
    inner = bare(node)
    return inner is not None and inner.type in _PLAIN


def _names(nodes: Iterable[Any], data: bytes) -> tuple[str, ...]:
    ranges = sorted(node.byte_range for node in nodes)
    return tuple(data[start:end].decode("utf-8", "replace") for start, end in ranges)


def _script(source: Source) -> Script | None:
    return source.tree if isinstance(source.tree, Script) else None


def _per_line(source: Source, count: int) -> float | None:
    return round(count / source.num_code_lines, 8) if source.num_code_lines else None


def _share_of_names(pattern: str, names: tuple[str, ...]) -> float | None:
    if not names:
        return None
    return round(sum(re.fullmatch(pattern, name) is not None for name in names) / len(names), 8)
