"""Functions are cut out of files with exactly what they need."""

from __future__ import annotations

from textwrap import dedent

import pytest

from assets.anneal.functions import (
    Example,
    Function,
    functions_of,
    may_hold_functions,
)
from assets.anneal.scope import MAX_SOURCE_BYTES, UnparsableSource


def only(source: str, **options: bool) -> Function:
    (function,) = functions_of(dedent(source), **options)
    return function


def by_name(source: str) -> dict[str, Function]:
    return {f.name: f for f in functions_of(dedent(source))}


def runs(function: Function) -> dict[str, object]:
    """Execute the extracted text: only for the sources planted in this file."""
    scope: dict[str, object] = {}
    exec(f"{function.context()}\n\n{function.code}", scope)
    return scope


def test_gathers_helpers_transitively_in_file_order_and_only_what_is_needed() -> None:
    function = only(
        '''
        import os
        import itertools as it
        from math import sqrt, floor

        UNUSED = os.getcwd()
        LIMIT = 10
        TABLE = [n for n in range(LIMIT)]

        class Box:
            """A class."""
            def side(self):
                return sqrt(TABLE[4])

        def _chain(*parts):
            return list(it.chain(*parts))

        def grow(x):
            """Doc of grow."""
            return _chain([Box().side()], [x])
        '''
    )
    assert function.imports == ("import itertools as it", "from math import sqrt")
    assert [h.split("\n")[0] for h in function.helpers] == [
        "LIMIT = 10",
        "TABLE = [n for n in range(LIMIT)]",
        "class Box:",
        "def _chain(*parts):",
    ]
    assert function.missing == ()
    assert runs(function)["grow"](3) == [2.0, 3]  # type: ignore[operator]


def test_a_local_name_does_not_drag_in_a_module_level_one() -> None:
    function = only(
        '''
        import requests
        count = requests.get

        def total(values):
            """Doc."""
            count = 0
            for value in values:
                count += value
            return count
        '''
    )
    assert function.helpers == () and function.missing == ()


@pytest.mark.parametrize(
    ("head", "body", "missing"),
    [
        ("import numpy as np", "return np.sum(x)", "import numpy"),
        ("from .sibling import helper", "return helper(x)", "import .sibling"),
        ("from . import *", "return helper(x)", "name helper"),
        ("", "return undefined(x)", "name undefined"),
        ("", "import numpy; return numpy.sum(x)", "import numpy"),
        ("import numpy\ndef h(y):\n    return numpy.sum(y)", "return h(x)", "import numpy"),
    ],
)
def test_what_neither_file_nor_standard_library_gives_is_missing(
    head: str, body: str, missing: str
) -> None:
    (function,) = functions_of(f'{head}\n\ndef f(x):\n    """Doc."""\n    {body}\n')
    assert function.missing == (missing,)


def test_a_guarded_optional_import_is_not_missing() -> None:
    function = only(
        '''
        try:
            from fastlib import twice
        except ImportError:
            def twice(x):
                return 2 * x

        def four(x):
            """Doc."""
            return twice(twice(x))
        '''
    )
    assert function.missing == ()
    assert runs(function)["four"](1) == 4  # type: ignore[operator]


def test_annotations_are_needed_only_when_they_are_evaluated() -> None:
    body = 'def f(x: Array, y: Path) -> None:\n    """Doc."""\n    return None\n'
    head = "from numpy import Array\nfrom pathlib import Path\n"
    (evaluated,) = functions_of(head + body)
    assert evaluated.missing == ("import numpy",)
    (postponed,) = functions_of("from __future__ import annotations\n" + head + body)
    assert postponed.missing == ()
    assert postponed.imports == ("from __future__ import annotations", "from pathlib import Path")


def test_doctest_examples_and_what_they_need() -> None:
    source = '''
    from collections import OrderedDict
    BASE = 3

    def add_all(*xs):
        r"""Sum.

        >>> total = add_all(1, BASE)
        >>> total
        4
        >>> [add_all(y) for y in (1, 2)]
        [1, 2]
        >>> add_all(0.1)  # doctest: +SKIP
        1
        >>> OrderedDict(a=add_all(1))
        OrderedDict([('a', 1)])
        """
        return sum(xs)
    '''
    function = only(source)
    assert function.examples[0] == Example("total = add_all(1, BASE)", "")
    assert function.examples[1] == Example("total", "4\n")
    assert [e.skipped for e in function.examples] == [False, False, False, True, False]
    assert function.imports == ("from collections import OrderedDict",)
    assert function.helpers == ("BASE = 3",)
    assert function.missing == ()
    without = only(source, doctests=False)
    assert without.examples == () and without.helpers == () and without.imports == ()


def test_a_doctest_that_imports_a_third_party_module_is_seen() -> None:
    function = only(
        '''
        def f(g):
            """
            >>> import networkx as nx
            >>> f(nx.Graph())
            0
            """
            return len(g)
        '''
    )
    assert function.missing == ("import networkx",)


def test_code_without_docstring_stub_and_signature() -> None:
    function = only(
        '''
        import functools

        @functools.lru_cache(maxsize=None)
        def fall(n: int,
                 *, by: int = 1) -> int:
            """Down."""

            # count down
            return fall(n - by, by=by) if n > 0 else 0
        '''
    )
    assert function.signature == "def fall(n: int, *, by: int=1) -> int:"
    assert "Down" not in function.code and "# count down" in function.code
    assert function.code.startswith("@functools.lru_cache(maxsize=None)\ndef fall(n: int,\n")
    assert function.stub.endswith("def fall(n: int, *, by: int=1) -> int:\n    return None")
    assert function.source.count("Down.") == 1
    assert runs(function)["fall"](3) == 0  # type: ignore[operator]


def test_one_line_bodies_and_shared_lines_still_cut_clean() -> None:
    functions = by_name('A = 1; B = 2\ndef f(): "Doc."; return A\ndef g():\n    "Doc."; x = B\n')
    assert functions["f"].helpers == ("A = 1",)
    assert runs(functions["f"])["f"]() == 1  # type: ignore[operator]
    assert functions["g"].helpers == ("B = 2",)


def test_left_out_and_trivial_functions() -> None:
    functions = by_name(
        '''
        async def coroutine():
            """Doc."""

        def undocumented():
            return 1

        class C:
            def method(self):
                """Doc."""

        def twice():
            """First."""
        def twice():
            """Second."""

        def abstract():
            """Doc."""
            raise NotImplementedError

        def documented_only():
            """Doc."""
        '''
    )
    assert sorted(functions) == ["abstract", "documented_only"]
    assert all(f.trivial for f in functions.values())
    assert functions["documented_only"].code == ""


def test_line_ends_and_byte_order_marks_do_not_matter() -> None:
    source = 'def f(x):\n    """Doc."""\n    return x\n'
    assert functions_of("\ufeff" + source.replace("\n", "\r\n")) == functions_of(source)


@pytest.mark.parametrize(
    "source",
    [
        'def f(:\n    """>>> 1"""',
        'print "python 2"',
        'x = "\0"',
        "(" * 10_000 + ")" * 10_000,
        "-" * 200_000 + "1",
        "def f(x=" + "1 + " * 3_000 + '1):\n    """Doc."""\n    return x\n',
        "x = 1\n" * (MAX_SOURCE_BYTES // 6 + 1),
    ],
)
def test_what_cannot_be_parsed_says_so(source: str) -> None:
    with pytest.raises(UnparsableSource):
        functions_of(source)


def test_the_cheap_test_lets_every_holder_through() -> None:
    assert may_hold_functions('def f():\n    "Doc."')
    assert not may_hold_functions('def f():\n    "Doc."', doctests=True)
    assert not may_hold_functions("x = 1")
