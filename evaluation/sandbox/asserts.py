"""A benchmark's own test made ready in the supervisor: compiled, with its asserts counted.

A fork that parsed it would first copy every page of the parser's tables; here they are warm.
"""

from __future__ import annotations

import ast
import marshal

from evaluation.sandbox.runner import ASSERT_HELD

TEST_NAME = "<test>"


def prepare(test: str) -> tuple[bytes, int]:
    """(marshalled code that calls ``ASSERT_HELD`` after each assert, asserts it must reach).

    The code is for the interpreter that runs; b"" for an empty test. Raises ``SyntaxError``.
    """
    tree = ast.parse(test)
    if not tree.body:
        return b"", 0
    wanted = _least(tree)
    counted = ast.fix_missing_locations(_Counter().visit(tree))
    return marshal.dumps(compile(counted, TEST_NAME, "exec", dont_inherit=True)), wanted


def least_asserts(test: str) -> int:
    """How many asserts a test reaches for certain when it runs to its end.

    Counted are those at the top level, and those directly in a function that is called there.

    >>> least_asserts("def check(f):\\n    assert f(1)\\n    assert f(2)\\ncheck(abs)")
    2
    """
    return _least(ast.parse(test))


def _least(tree: ast.Module) -> int:
    found = sum(isinstance(node, ast.Assert) for node in tree.body)
    called = {
        node.value.func.id
        for node in tree.body
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
    }
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name in called:
            if any(isinstance(inner, ast.Return) for inner in ast.walk(node)):
                continue
            found += sum(isinstance(inner, ast.Assert) for inner in node.body)
    return found


class _Counter(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> list[ast.stmt]:
        call = ast.Expr(ast.Call(ast.Name(ASSERT_HELD, ast.Load()), [], []))
        return [node, ast.copy_location(call, node)]
