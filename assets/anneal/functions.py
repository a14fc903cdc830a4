"""Documented top-level Python functions of a file, each with all it needs to stand alone.

The file is parsed, never imported. For each function the names it uses are resolved with the
compiler's own symbol tables: to standard-library imports, to other statements of the same file
(gathered transitively, in file order), or to nothing - then the function cannot stand alone and
``missing`` says why. Feeds the verified snippets (paper 2.2) and both instruction sets (4.1).
"""

from __future__ import annotations

import ast
import builtins
import doctest
import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from assets.anneal.scope import (
    FUTURE,
    MAX_SOURCE_BYTES,
    FunctionNode,
    Import,
    Scope,
    UnparsableSource,
    first_line,
    foreign_imports,
    imports_of,
    modules_of,
    normalise,
    parse,
    standard,
)

#: The value of a document's ``language`` for Python.
PYTHON = "python"

_BUILTINS = frozenset(dir(builtins)) | {"__name__", "__doc__", "__file__", "__builtins__"}


@dataclass(frozen=True)
class Example:
    """One doctest example. ``want`` is its expected output, empty for a set-up statement."""

    source: str
    want: str
    skipped: bool = False


@dataclass(frozen=True)
class Function:
    """A documented top-level function and its context.

    ``source`` holds decorators, header, docstring and body as written; ``code`` the same without
    the docstring; ``stub`` the header with a body of ``return None``. ``imports`` and ``helpers``
    are the statements it needs before it, in an order that runs. ``missing`` lists what it needs
    but the file and the standard library do not give (third-party modules, relative imports,
    unknown names); it is empty for a self-contained function.
    """

    name: str
    signature: str
    docstring: str
    source: str
    code: str
    stub: str
    imports: tuple[str, ...]
    helpers: tuple[str, ...]
    examples: tuple[Example, ...]
    missing: tuple[str, ...]
    body_lines: int
    trivial: bool
    line: int
    doctest_error: str = ""

    @property
    def modules(self) -> frozenset[str]:
        """Top-level names of the modules that ``imports`` and ``helpers`` import."""
        found: set[str] = set()
        for text in (*self.imports, *self.helpers, self.source):
            for node in ast.walk(ast.parse(text)):
                found |= {module.split(".")[0] for module in modules_of(node)}
        return frozenset(found)

    def context(self) -> str:
        """Imports and helpers as one block of source; empty when the function needs none."""
        blocks = ["\n".join(self.imports), *self.helpers]
        return "\n\n\n".join(block for block in blocks if block)


def functions_of(
    source: str,
    *,
    doctests: bool = True,
    where: Callable[[str, str], bool] = lambda name, docstring: True,
) -> list[Function]:
    """Documented top-level functions of one Python file, in file order.

    Left out: functions without a docstring, asynchronous ones, and names that the file binds more
    than once (overloads, version switches). Only those for which ``where(name, docstring)`` holds
    are looked into. Without ``doctests`` the examples are not read, and what only they need is
    neither gathered nor missed. Raises ``UnparsableSource``.

    >>> [f.name for f in functions_of('def f(x):\\n    "Twice."\\n    return 2 * x')]
    ['f']
    """
    source = normalise(source)
    tree = parse(source)
    try:
        return _documented(Scope(tree, source.split("\n")), doctests, where)
    except RecursionError as error:  # a sum of thousands of terms parses, but is no tree to walk
        raise UnparsableSource(f"nested too deeply: {error}") from error


def may_hold_functions(source: str, doctests: bool = False) -> bool:
    """Cheap test that a file is worth parsing; never False for one that holds such functions."""
    return (
        "def " in source
        and ('"' in source or "'" in source)
        and (not doctests or ">>>" in source)
        and len(source) <= MAX_SOURCE_BYTES
    )


def _documented(module: Scope, doctests: bool, where: Callable[[str, str], bool]) -> list[Function]:
    found = []
    for node in module.tree.body:
        if not isinstance(node, ast.FunctionDef) or len(module.bound[node.name]) > 1:
            continue
        docstring = ast.get_docstring(node, clean=False)
        if docstring and where(node.name, docstring):
            found.append(_function(node, docstring, module, doctests))
    return found


def _function(node: ast.FunctionDef, docstring: str, module: Scope, doctests: bool) -> Function:
    examples, doctest_error = _examples(docstring) if doctests else ((), "")
    (position,) = module.bound[node.name]
    wanted, foreign = _example_needs(examples)
    positions, imports, missing = _resolve(position, wanted - {node.name}, module)
    missing |= foreign
    for helper in [position, *positions]:
        missing |= module.foreign(helper)
    body = node.body[1:]
    return Function(
        name=node.name,
        signature=_signature(node),
        docstring=inspect.cleandoc(docstring),
        source=module.text(position),
        code=_without_docstring(node, module),
        stub=_stub(node),
        imports=_import_lines(imports, module.future),
        helpers=tuple(module.text(p) for p in positions),
        examples=examples,
        missing=tuple(sorted(missing)),
        body_lines=(node.end_lineno or 0) - (body[0].lineno - 1) if body else 0,
        trivial=all(
            isinstance(s, ast.Pass | ast.Raise)
            or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
            for s in body
        ),
        line=node.lineno,
        doctest_error=doctest_error,
    )


def _resolve(
    start: int, wanted: Iterable[str], module: Scope
) -> tuple[list[int], set[Import], set[str]]:
    """Statements, imports and missing names behind the statement ``start`` and extra names."""
    positions: set[int] = {start}
    imports: set[Import] = set()
    missing: set[str] = set()
    hard, soft = module.needs(start)
    todo = [(name, True) for name in sorted({*hard, *wanted})]
    todo += [(name, False) for name in sorted(soft)]
    seen: set[str] = set()
    while todo:
        name, needed = todo.pop()
        if name in seen:
            continue
        if needed:
            seen.add(name)
        if name in module.imports:
            found = module.imports[name]
            if found.standard:
                imports.add(found)
            elif needed:
                missing.add(f"import {found.module}")
        elif name not in module.bound and needed and name not in _BUILTINS:
            imports |= {Import(m, "*", "*") for m in module.stars if standard(m)}
            if any(not standard(m) for m in module.stars) or not module.stars:
                missing.add(f"name {name}")
        if not needed:
            continue
        for position in module.bound.get(name, []):
            if position not in positions:
                positions.add(position)
                hard, soft = module.needs(position)
                todo += [(n, True) for n in sorted(hard)] + [(n, False) for n in sorted(soft)]
    return sorted(positions - {start}), imports, missing


def _import_lines(imports: set[Import], future: bool) -> tuple[str, ...]:
    lines = [FUTURE.strip()] if future else []
    grouped: dict[str, list[str]] = {}
    for found in sorted(imports, key=lambda i: (i.module, i.attribute or "", i.name)):
        if found.attribute is None:
            short = found.name == found.module.split(".")[0]
            lines.append(f"import {found.module}" + ("" if short else f" as {found.name}"))
        else:
            alias = "" if found.name == found.attribute else f" as {found.name}"
            grouped.setdefault(found.module, []).append(found.attribute + alias)
    lines += [f"from {module} import {', '.join(names)}" for module, names in grouped.items()]
    return tuple(lines)


def _examples(docstring: str) -> tuple[tuple[Example, ...], str]:
    try:
        parsed = doctest.DocTestParser().get_examples(docstring)
    except ValueError as error:  # inconsistent indentation, an unknown option
        return (), str(error).splitlines()[0]
    return tuple(
        Example(e.source.rstrip("\n"), e.want, bool(e.options.get(doctest.SKIP))) for e in parsed
    ), ""


def _example_needs(examples: Iterable[Example]) -> tuple[set[str], set[str]]:
    """Names that the examples read but bind nowhere, and non-standard modules they import."""
    read: set[str] = set()
    own: set[str] = set(_BUILTINS)
    foreign: set[str] = set()
    for example in examples:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(example.source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # an example may show an error on purpose; running it will tell
        foreign |= foreign_imports(tree)
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                (read if isinstance(node.ctx, ast.Load) else own).add(node.id)
            elif isinstance(node, ast.arg):
                own.add(node.arg)
            elif isinstance(node, FunctionNode | ast.ClassDef):
                own.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                own.update(found.name for found in imports_of(node))
            elif isinstance(node, ast.ExceptHandler) and node.name:
                own.add(node.name)
    return read - own, foreign


def _signature(node: ast.FunctionDef) -> str:
    """The header on one line, without decorators: ``def f(a, b=1) -> int:``."""
    return _unparsed(node, [ast.Expr(ast.Constant(...))], decorators=False).split("\n")[0]


def _stub(node: ast.FunctionDef) -> str:
    return _unparsed(node, [ast.Return(ast.Constant(None))], decorators=True)


def _unparsed(node: ast.FunctionDef, body: list[ast.stmt], decorators: bool) -> str:
    values = {name: getattr(node, name) for name in node._fields}
    values |= {"body": body, "type_comment": None}
    if not decorators:
        values["decorator_list"] = []
    copy = ast.FunctionDef(**values)
    return ast.unparse(ast.fix_missing_locations(copy))


def _without_docstring(node: ast.FunctionDef, module: Scope) -> str:
    """The function as written but for its docstring; empty when nothing else is in its body."""
    if len(node.body) < 2:
        return ""
    quoted, following = node.body[0], node.body[1]
    header_end = node.lineno if not node.args.args else node.args.args[-1].lineno
    alone = header_end < quoted.lineno and (quoted.end_lineno or 0) < following.lineno
    if not alone:
        return _unparsed(node, node.body[1:], decorators=True)
    kept = module.lines[first_line(node) - 1 : quoted.lineno - 1]
    rest = module.lines[quoted.end_lineno : node.end_lineno]
    while rest and not rest[0].strip():
        rest = rest[1:]
    return "\n".join([*kept, *rest])
