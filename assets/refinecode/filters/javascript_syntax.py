"""Which JavaScript a parser of the 2017 language accepts (the parser behind the published rules).

The idea: tree-sitter accepts more than such a parser does, so what came later (JSX, optional
chaining, class fields, ...) is one query for node types, and what is no syntax but an early error
(a return outside a function, a label that is not there, ``with`` in strict code) is checked on the
few nodes concerned. Names, numbers, strings and patterns: ``javascript_literals``.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from assets.refinecode.filters.javascript import bare
from assets.refinecode.filters.javascript_literals import has_plain_literals

#: Words that may be wrong in code (they mostly stand in comments) are looked up this often at most.
MAX_HINTS = 1_000


def is_es2017(root: Any, data: bytes, found: dict[str, list[Any]]) -> bool:
    """Whether the error-free tree ``root`` of the UTF-8 text ``data`` is a script or a module of
    the 2017 language: a module if there is an import or export statement, which makes it strict.
    ``found``: what ``LATER_OR_WRONG`` and the return statements capture."""
    if found.get("later") or found.get("wrong"):
        return False
    is_module = "module" in found
    code = Code(root, data, found, is_module)
    return _in_functions(code) and _jumps(code) and _small_errors(code) and has_plain_literals(code)


_FUNCTION = """function_declaration function_expression generator_function_declaration
generator_function arrow_function method_definition"""
_STATEMENT_BODIES = """
(if_statement consequence: (lexical_declaration)) @wrong
(else_clause (lexical_declaration)) @wrong
(for_statement body: (lexical_declaration)) @wrong
(for_in_statement body: (lexical_declaration)) @wrong
(while_statement body: (lexical_declaration)) @wrong
(do_statement body: (lexical_declaration)) @wrong
(labeled_statement body: [(lexical_declaration) (class_declaration)
    (generator_function_declaration)]) @wrong
"""
_NO_OPERAND = "assignment_expression augmented_assignment_expression arrow_function"
_NO_TARGET = f"""{_NO_OPERAND} await_expression call_expression number string unary_expression
update_expression binary_expression this true false null new_expression object array
function_expression regex"""
_PARAMETER = "(identifier) (object_pattern) (array_pattern) (assignment_pattern) (rest_pattern)"


def _any(kinds: str) -> str:
    return " ".join(f"({kind})" for kind in kinds.split())


LATER_OR_WRONG = f"""
[(hash_bang_line) (jsx_element) (jsx_self_closing_element) (optional_chain) (field_definition)
 (class_static_block) (private_property_identifier) (namespace_export) (using_declaration)
 (decorator) (import_attribute)] @later
"??" @later
(augmented_assignment_expression operator: ["&&=" "||=" "??="]) @later
(catch_clause !parameter) @later
(for_in_statement "await") @later
(generator_function_declaration "async") @later
(generator_function "async") @later
(method_definition "async" "*") @later
(export_specifier [name: (string) alias: (string)]) @later
(import_specifier name: (string)) @later
(lexical_declaration kind: "const" (variable_declarator !value) @wrong)
(variable_declarator name: [(object_pattern) (array_pattern)] !value) @wrong
(try_statement !handler !finalizer) @wrong
(switch_body (switch_default) (switch_default)) @wrong
(method_definition "get" parameters: (formal_parameters [{_PARAMETER}])) @wrong
(method_definition "set" parameters: (formal_parameters [{_PARAMETER}] [{_PARAMETER}])) @wrong
(method_definition "set" parameters: (formal_parameters (rest_pattern))) @wrong
(method_definition "set" parameters: (formal_parameters . "(" . ")")) @wrong
(for_in_statement operator: "of" right: (sequence_expression)) @wrong
(for_in_statement value: (_) operator: "of") @wrong
(update_expression argument: [{_any(_NO_TARGET)}]) @wrong
(unary_expression argument: [{_any(_NO_OPERAND)}] @wrong)
(await_expression [{_any(_NO_OPERAND)}] @wrong)
(formal_parameters [(member_expression) (subscript_expression)] @wrong)
(call_expression function: (update_expression) @wrong)
(arguments . "(" . "," @wrong)
(arguments "," . "," @wrong)
{_STATEMENT_BODIES}
[(assignment_expression left: (parenthesized_expression) @target)
 (augmented_assignment_expression left: (parenthesized_expression) @target)
 (update_expression argument: (parenthesized_expression) @target)]
[{_any(_FUNCTION)}] @function
[(function_declaration "async") (function_expression "async") (arrow_function "async")
 (method_definition "async")] @async
(method_definition "*") @generator
[(class) (class_declaration)] @class
[(for_statement) (for_in_statement) (while_statement) (do_statement)] @loop
(switch_statement) @switch
(labeled_statement) @labeled
[(break_statement) (continue_statement)] @jump
(await_expression) @await
(yield_expression) @yield
(super) @in_function
(meta_property) @meta
[(import_statement) (export_statement)] @module
(export_statement value: (_) @exported)
(call_expression function: (import) arguments: (_) @imported)
(with_statement) @sloppy
(if_statement consequence: (function_declaration)) @sloppy
(else_clause (function_declaration)) @sloppy
(labeled_statement body: (function_declaration)) @sloppy
(for_in_statement kind: _ value: (_)) @sloppy
(unary_expression operator: "delete" argument: (_) @deleted)
(html_comment) @html_comment
(template_string (escape_sequence) @template_escape)
(regex pattern: (regex_pattern) @pattern)
(throw_statement) @throw
"""


class _Ranges:
    """Byte ranges of nodes, the outermost ones only."""

    def __init__(self, nodes: Iterable[Any]) -> None:
        self.starts: list[int] = []
        self.ends: list[int] = []
        for start, end in sorted(node.byte_range for node in nodes):
            if not self.ends or start >= self.ends[-1]:
                self.starts.append(start)
                self.ends.append(end)

    def __contains__(self, node: Any) -> bool:
        index = bisect_right(self.starts, node.start_byte) - 1
        return index >= 0 and node.start_byte < self.ends[index]


class Code:
    """A tree with what was captured in it."""

    def __init__(
        self, root: Any, data: bytes, found: dict[str, list[Any]], is_module: bool
    ) -> None:
        self.root = root
        self.data = data
        self.found = found
        self.is_module = is_module
        self._strict: _Ranges | None = None

    def nodes(self, name: str) -> list[Any]:
        return self.found.get(name, [])

    def text(self, node: Any) -> bytes:
        return self.data[node.start_byte : node.end_byte]

    def is_strict(self, node: Any) -> bool:
        return self.is_module or node in self.strict

    def at(self, position: int) -> Any:
        """The smallest node at a byte of the text."""
        return self.root.descendant_for_byte_range(position, position + 1)

    def hits(self, hint: bytes | re.Pattern[bytes]) -> Iterator[Any]:
        """The smallest nodes where a hint stands, the first ``MAX_HINTS`` of them."""
        if isinstance(hint, bytes):
            if hint not in self.data:
                return
            hint = re.compile(hint)
        for match in islice(hint.finditer(self.data), MAX_HINTS):
            yield self.at(match.start())

    @property
    def strict(self) -> _Ranges:
        """Classes, and functions (or the script) whose first statements say ``use strict``."""
        if self._strict is None:
            scopes = self.nodes("class")
            if b"use strict" in self.data:
                scopes = scopes + self._directed()
            self._strict = _Ranges(scopes)
        return self._strict

    def _directed(self) -> list[Any]:
        scopes = []
        for fragment in self.hits(b"use strict"):
            literal = fragment.parent
            statement = literal.parent if literal is not None else None
            if statement is None or statement.type != "expression_statement":
                continue
            if not _is_string(literal) or self.text(literal)[1:-1] != b"use strict":
                continue
            block = statement.parent
            scope = block if block.type == "program" else block.parent
            if _is_first(statement) and scope.type == "program":
                return [scope]
            if _is_first(statement) and scope.type in _FUNCTION.split():
                scopes.append(scope)
        return scopes


def _is_first(statement: Any) -> bool:
    """Whether only strings (a few: directives) and comments stand before a statement."""
    before = statement.prev_named_sibling
    for _ in range(20):
        if before is None:
            return True
        is_directive = before.type == "expression_statement" and _is_string(before.named_child(0))
        if not is_directive and before.type not in ("comment", "hash_bang_line", "html_comment"):
            return False
        before = before.prev_named_sibling
    return False


def _is_string(node: Any) -> bool:
    return bool(node.type == "string")


def _in_functions(code: Code) -> bool:
    """``return``, ``super`` and ``new.target`` stand in a function, imports and exports do not."""
    functions = _Ranges(code.nodes("function"))
    inside = code.nodes("return") + code.nodes("in_function") + code.nodes("meta")
    return (
        all(node in functions for node in inside)
        and not any(code.text(node).startswith(b"import") for node in code.nodes("meta"))
        and not any(node in functions for node in code.nodes("module"))
    )


@dataclass
class _Frame:
    """Where a jump stands: what encloses it up to the next function."""

    end: int
    loop: bool = False
    switch: bool = False
    labels: dict[bytes, int] = field(default_factory=dict)
    label: bytes | None = None
    awaits: bool = False
    yields: bool = False


def _jumps(code: Code) -> bool:
    """break, continue, await and yield have what they belong to; labels do not nest in their like.

    One sweep over functions, loops, switches and labels in the order of the text.
    """
    points = {node.id: node for name in ("jump", "await", "yield") for node in code.nodes(name)}
    labeled = {node.id for node in code.nodes("labeled")}
    if not points and len(labeled) < 2:
        return True
    asyncs = {node.id for node in code.nodes("async")}
    generators = {node.id for node in code.nodes("generator")}
    loops = {node.id for node in code.nodes("loop")}
    switches = {node.id for node in code.nodes("switch")}
    scopes = [
        node for name in ("function", "loop", "switch", "labeled") for node in code.nodes(name)
    ]
    frames = [_Frame(len(code.data) + 1)]
    for node in sorted([*points.values(), *scopes], key=lambda n: (n.start_byte, -n.end_byte)):
        while frames[-1].end <= node.start_byte:
            closed = frames.pop()
            if closed.label is not None:
                del closed.labels[closed.label]
        top = frames[-1]
        if node.id in points:
            if not _is_placed(code, node, top):
                return False
        elif node.id in loops or node.id in switches:
            frames.append(
                _Frame(
                    node.end_byte, top.loop or node.id in loops, top.switch or node.id in switches,
                    top.labels, None, top.awaits, top.yields,
                )
            )  # fmt: skip
        elif node.id in labeled:
            label = code.text(node.child_by_field_name("label"))
            if label in top.labels:
                return False
            top.labels[label] = 1
            frames.append(
                _Frame(
                    node.end_byte, top.loop, top.switch, top.labels, label, top.awaits, top.yields
                )
            )
        else:
            frames.append(_function_frame(node, top, node.id in asyncs, node.id in generators))
    return True


def _function_frame(node: Any, around: _Frame, is_async: bool, is_generator: bool) -> _Frame:
    """Inside a function. A method that is not async lets the await of an async function around it
    through, and an async one lets yield through: that parser has it so."""
    if node.type == "method_definition":
        return _Frame(
            node.end_byte, awaits=is_async or around.awaits, yields=is_generator or is_async
        )
    return _Frame(node.end_byte, awaits=is_async, yields=node.type.startswith("generator"))


def _is_placed(code: Code, node: Any, frame: _Frame) -> bool:
    if node.type == "await_expression":
        return frame.awaits
    if node.type == "yield_expression":
        return frame.yields or (not node.named_child_count and not code.is_strict(node))
    label = node.child_by_field_name("label")
    if label is not None:
        return code.text(label) in frame.labels
    return frame.loop or (node.type == "break_statement" and frame.switch)


_TARGETS = frozenset(
    {"identifier", "undefined", "member_expression", "subscript_expression", "object", "array"}
)


def _small_errors(code: Code) -> bool:
    data = code.data
    for target in code.nodes("target"):
        if bare(target).type not in _TARGETS:
            return False
    for value in code.nodes("exported"):
        # an exported object or array ends the statement: nothing may be called on it
        first = data[value.start_byte : value.start_byte + 1]
        if (first == b"{" and value.type != "object") or (first == b"[" and value.type != "array"):
            return False
    for arguments in code.nodes("imported"):
        if sum(child.type != "comment" for child in arguments.named_children) != 1:
            return False
    for statement in code.nodes("throw"):
        if re.match(rb"throw[ \t]*[\r\n]", code.text(statement)):
            return False
    if code.is_module and any(code.text(c).startswith(b"<") for c in code.nodes("html_comment")):
        return False
    if any(not re.fullmatch(rb"\\(?:[^0-9]|0).*", code.text(e), re.DOTALL) for e in
           code.nodes("template_escape")):  # fmt: skip
        return False
    if any(code.is_strict(node) for node in code.nodes("sloppy")):
        return False
    return not any(
        bare(node).type == "identifier" and code.is_strict(node) for node in code.nodes("deleted")
    )
