"""The top level of a Python file: what it imports, what it binds, and what each statement needs.

Names are resolved with the compiler's own symbol tables, so locals, closures, comprehensions and
postponed annotations are told apart as Python tells them apart. Nothing is executed. Serves the
cutting of functions out of crawled files (paper 2.2 and 4.1).
"""

from __future__ import annotations

import ast
import gc
import symtable
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

#: Files above this size are not parsed: they are tables or generated code, not examples.
MAX_SOURCE_BYTES = 1_000_000
FUTURE = "from __future__ import annotations\n"

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException"})


class UnparsableSource(ValueError):
    """The text is not Python that the running interpreter can parse; the message says why."""


@dataclass(frozen=True)
class Import:
    """``import module as name``, or ``from module import attribute as name``."""

    module: str
    attribute: str | None
    name: str

    @property
    def standard(self) -> bool:
        return standard(self.module)


@dataclass
class Scope:
    """What a file binds at its top level: statements and imports by name."""

    tree: ast.Module
    lines: list[str]
    bound: dict[str, list[int]] = field(default_factory=dict)
    imports: dict[str, Import] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)
    future: bool = False
    references: dict[int, tuple[frozenset[str], frozenset[str]]] = field(default_factory=dict)
    foreigners: dict[int, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for position, node in enumerate(self.tree.body):
            if isinstance(node, ast.ImportFrom) and node.module == "__future__":
                self.future |= any(alias.name == "annotations" for alias in node.names)
                continue
            if isinstance(node, ast.Import | ast.ImportFrom):
                for found in imports_of(node):
                    if found.name == "*":
                        self.stars.append(found.module)
                    else:
                        self.imports[found.name] = found
                        self.bound.setdefault(found.name, [])
                continue
            for name in bindings(node):
                positions = self.bound.setdefault(name, [])
                if position not in positions:
                    positions.append(position)

    def text(self, position: int) -> str:
        """Source of one top-level statement, decorators included."""
        node, body = self.tree.body[position], self.tree.body
        before = position > 0 and (body[position - 1].end_lineno or 0) >= first_line(node)
        after = position + 1 < len(body) and first_line(body[position + 1]) <= (
            node.end_lineno or 0
        )
        if before or after:  # `a = 1; b = 2`: its lines are not its own
            return ast.unparse(node)
        return self.node_text(node)

    def node_text(self, node: ast.stmt) -> str:
        """The whole lines that a statement stands on."""
        return "\n".join(self.lines[first_line(node) - 1 : node.end_lineno])

    def foreign(self, position: int) -> set[str]:
        """Non-standard modules that a statement imports inside itself."""
        if position not in self.foreigners:
            importing = "import" in self.text(position)
            self.foreigners[position] = (
                foreign_imports(self.tree.body[position]) if importing else set()
            )
        return self.foreigners[position]

    def needs(self, position: int) -> tuple[frozenset[str], frozenset[str]]:
        """Names that a statement needs to run, and those that only its annotations use."""
        if position not in self.references:
            text = self.text(position)
            every = _global_names(text)
            hard = _global_names(FUTURE + text) if self.future else every
            self.references[position] = (hard, every - hard)
        return self.references[position]


def normalise(source: str) -> str:
    """Without byte order mark, with ``\\n`` line ends: lines then count as the parser counts."""
    return source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def parse(source: str) -> ast.Module:
    """The syntax tree of crawled text; whatever stops the parser is an ``UnparsableSource``."""
    if len(source) > MAX_SOURCE_BYTES:
        raise UnparsableSource(f"{len(source)} characters, more than {MAX_SOURCE_BYTES}")
    collecting = gc.isenabled()
    gc.disable()  # a tree is made of nothing but live objects: collecting meanwhile costs a third
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes of crawled strings are theirs
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnparsableSource(f"{type(error).__name__}: {error}") from error
    finally:
        if collecting:
            gc.enable()


def imports_of(node: ast.Import | ast.ImportFrom) -> list[Import]:
    """One entry for each name that an import statement binds (``*`` for a star import)."""
    if isinstance(node, ast.Import):
        return [Import(a.name, None, a.asname or a.name.split(".")[0]) for a in node.names]
    module = "." * node.level + (node.module or "")
    return [Import(module, a.name, a.asname or a.name) for a in node.names]


def bindings(node: ast.stmt) -> list[str]:
    """Names that a top-level statement binds, not looking into the bodies of functions."""
    if isinstance(node, FunctionNode | ast.ClassDef):
        return [node.name]
    names: list[str] = []
    for child in _walk_scope(node):
        if isinstance(child, ast.Name) and isinstance(child.ctx, ast.Store):
            names.append(child.id)
        elif isinstance(child, FunctionNode | ast.ClassDef):
            names.append(child.name)
        elif isinstance(child, ast.Import | ast.ImportFrom):
            names += [found.name for found in imports_of(child) if found.name != "*"]
        elif isinstance(child, ast.ExceptHandler) and child.name:
            names.append(child.name)
    return names


def _global_names(source: str) -> frozenset[str]:
    """Names that ``source`` reads from the module's scope (or builtins)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            top = symtable.symtable(source, "<crawled>", "exec")
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise UnparsableSource(f"{type(error).__name__}: {error}") from error
    found = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    tables = list(top.get_children())
    while tables:
        table = tables.pop()
        found |= {s.get_name() for s in table.get_symbols() if s.is_global() and s.is_referenced()}
        tables += table.get_children()
    return frozenset(found)


def foreign_imports(node: ast.AST) -> set[str]:
    """Non-standard modules imported inside a statement, but for guarded optional ones."""
    found = {f"import {m}" for m in modules_of(node) if not standard(m) and m != "__future__"}
    children: Iterable[ast.AST] = ast.iter_child_nodes(node)
    if isinstance(node, ast.Try) and any(_catches_import(h) for h in node.handlers):
        children = [*node.handlers, *node.finalbody]
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children = node.orelse
    for child in children:
        found |= foreign_imports(child)
    return found


def standard(module: str) -> bool:
    """Whether a module is of the standard library; relative ones are not."""
    return module.split(".")[0] in sys.stdlib_module_names


def modules_of(node: ast.AST) -> list[str]:
    """Modules that an import statement names; empty for any other node."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return [found.module for found in imports_of(node)]
    return []


def _catches_import(handler: ast.ExceptHandler) -> bool:
    if handler.type is None:
        return True
    names = {n.id for n in ast.walk(handler.type) if isinstance(n, ast.Name)}
    return bool(names & _IMPORT_ERRORS)


def _walk_scope(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    if isinstance(node, FunctionNode | ast.ClassDef | ast.Lambda):
        return
    for child in ast.iter_child_nodes(node):
        yield from _walk_scope(child)


def first_line(node: ast.stmt) -> int:
    """Line of the statement's first decorator, or its own; from 1."""
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])
