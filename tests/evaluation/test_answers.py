"""Finding code in what models write."""

from __future__ import annotations

import ast
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.answers import defines, extract_code, trim_to_parsable, without_preface
from evaluation.benchmarks.python_functions import program


def test_first_python_block_wins_over_earlier_other_blocks() -> None:
    text = (
        "```bash\npip install x\n```\n```python\ndef f():\n    return 1\n```\n```python\nf()\n```"
    )
    assert extract_code(text) == "def f():\n    return 1\n"


def test_unclosed_and_missing_fences() -> None:
    assert extract_code("```py\nx = 1\n") == "x = 1\n"
    assert extract_code("```\ny = 2\n```") == "y = 2\n"
    assert extract_code("    return 3") == "    return 3"


CODE = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "text",
    [
        f"Sure: ```python\n{CODE}```\nbye",
        f"Use ```f(x)``` so:\n```python\n{CODE}```\nbye",
        "1. So:\n   ```python\n   def f(x):\n       return x + 1\n   ```\n",
        "1. ```python\n   def f(x):\n       return x + 1\n   ```\n",
        f"````python\n{CODE}````\nbye",
        f"```python\n```python\n{CODE}```\nbye",
        f"```python\n{CODE}```python\nf(1)\n```\n",
    ],
)
def test_a_block_is_found_wherever_its_fence_stands(text: str) -> None:
    assert extract_code(text, name="f") == CODE


def test_the_block_that_defines_the_function_may_have_no_language() -> None:
    assert extract_code(f"```python\nf(1)\n```\n```\n{CODE}```", name="f") == CODE


@pytest.mark.parametrize("code", [CODE, f"import os\n{CODE}", f"@cache\n{CODE}"])
def test_prose_around_code_without_fences_is_dropped(code: str) -> None:
    for before in ("Here is the code:\n\n", "Sure!\n", "from here on, so:\n"):
        found = trim_to_parsable(without_preface(f"{before}{code}It works.\n"))
        assert found == code
    limit = "LIMIT = 3\n"
    assert without_preface(f"{limit}{code}\nIt works.\n").startswith(limit)
    assert without_preface("    return 3\n") == "    return 3\n"


def test_fences_in_a_docstring_are_code() -> None:
    code = 'def f(x):\n    """\n    ```\n    f(1)\n    ```\n    """\n    return x + 1\n'
    assert extract_code(f"```python\n{code}```\nbye") == code


def test_defines_looks_at_top_level_names_only() -> None:
    assert defines("async def solve(x):\n    pass", "solve")
    assert not defines("    def solve(x): pass", "solve")
    assert not defines("def solver(x): pass", "solve")


def test_trim_keeps_the_prompt_and_whatever_parses() -> None:
    code = "def f():\n    return 1\nHope that helps!\nBye\n"
    assert trim_to_parsable(code) == "def f():\n    return 1\n"
    assert trim_to_parsable("def f(:\n", minimum_lines=1) == "def f(:\n"


def test_a_long_answer_takes_a_step_an_error_not_a_step_a_line() -> None:
    good, bad = "x = 1\n" * 20_000, "bad bad\n" * 20_000
    started = time.process_time()
    assert trim_to_parsable(good + bad) == good
    program("from __future__ import (\n" * 20_000)
    assert time.process_time() - started < 10


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="def f():\n \"'x=1", max_size=60))
def test_trimmed_code_is_a_prefix_and_parses_if_anything_does(text: str) -> None:
    trimmed = trim_to_parsable(text)
    assert text.startswith(trimmed)
    if trimmed != text:
        ast.parse(trimmed)


@pytest.mark.parametrize("opened", ["<think>\n", "\n<think>", ""])
def test_thoughts_before_an_answer_are_no_part_of_it(opened: str) -> None:
    thought = f"{opened}Perhaps\n```python\nx = 1\n```\nNo.\n</think>\n\n"
    assert extract_code(f"{thought}```python\nx = 2\n```\n") == "x = 2\n"
    assert extract_code(f"{thought}x = 2\n") == "x = 2\n"
    kept = "```python\nx = '<think></think>'\n```\n"
    assert extract_code(kept) == "x = '<think></think>'\n"
