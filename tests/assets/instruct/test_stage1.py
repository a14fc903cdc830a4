"""Docstring-to-function pairs: what becomes one, and what the gate holds back."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

from assets.documents import DECISION_SCHEMA, content_digest, read_table
from assets.instruct import stage1
from assets.instruct.decontaminate import humaneval_items
from assets.instruct.examples import EXAMPLE_SCHEMA, choose, fenced
from assets.recipe import Decontaminate, SftStage
from assets.table_digest import table_digest

PARAMS = SftStage(epochs=1, lr=1e-3, batch_size=8, max_length=400)

USEFUL = '''
import json
import os.path

INDENT = 2

def save_json(value, path):
    """Write a value as indented JSON.

    The folder must exist.

    :param value: anything that JSON knows
    >>> save_json(1, "x")
    """
    text = json.dumps(value, indent=INDENT)
    with open(path, "w") as file:
        file.write(text)

def stem(path):
    r"""File name of a path without its extension.

    Args:
        path: a path
    """
    base = os.path.basename(path)
    return os.path.splitext(base)[0]
'''

USELESS = '''
import numpy

def _private(x):
    """Long enough documentation of a private thing."""
    y = x
    return y

def test_something():
    """Long enough documentation of a test function."""
    x = 1
    assert x

def short(x):
    """Short."""
    y = x
    return y

def foreign(x):
    """Sum up an array with the help of numpy."""
    y = numpy.sum(x)
    return y

def abstract(x):
    """Must be overridden by whoever uses this."""
    raise NotImplementedError(
        x
    )

def one_liner(x):
    """Returns the argument it was given, unchanged."""
    return x
'''

LONG = '''
def table():
    """All the numbers that anybody could ever want to have."""
    numbers = [
        {body}
    ]
    return numbers
'''


def run(documents: Path, out: Path, params: SftStage = PARAMS) -> Path:
    stage1.run(out, documents=documents, params=params, decontaminate=Decontaminate())
    return out


def examples(out: Path) -> list[dict[str, str]]:
    return read_table(out / "examples").to_pylist()


def reasons(out: Path) -> Counter[str]:
    table = read_table(out / "decisions")
    assert table.schema == DECISION_SCHEMA
    return Counter(table["reason"].to_pylist())


def test_useful_functions_become_pairs_with_their_context(write_documents, tmp_path):
    out = run(write_documents({"a.py": USEFUL, "b.py": USELESS}), tmp_path / "out")
    table = read_table(out / "examples")
    assert table.schema == EXAMPLE_SCHEMA
    pairs = {row["entry_point"]: row for row in table.to_pylist()}
    assert sorted(pairs) == ["save_json", "stem"]
    pair = pairs["save_json"]
    assert "Write a value as indented JSON." in pair["instruction"]
    assert "The folder must exist." in pair["instruction"]
    assert ":param" not in pair["instruction"] and ">>>" not in pair["instruction"]
    assert "Args:" not in pairs["stem"]["instruction"]
    assert "def save_json(value, path):" in pair["instruction"]
    assert pair["output"].startswith("```python\nimport json\n\n\nINDENT = 2\n\n\ndef save_json(")
    assert pair["output"].endswith("\n```") and '"""' not in pair["output"]
    ast.parse(pair["output"].removeprefix("```python\n").removesuffix("```"))
    assert pair["kind"] == "docstring_to_function" and pair["path"] == "a.py"
    assert pair["example_id"] == content_digest(f"{pair['instruction']}\0{pair['output']}")
    assert reasons(out) == {"": 2}


def test_a_planted_benchmark_item_never_gets_in(write_documents, tmp_path):
    item = next(i for i in humaneval_items() if i.entry_point == "largest_divisor")
    whole = item.texts[0].replace("    for i in", "    answer = 1\n    for i in")
    renamed = whole.replace("largest_divisor", "biggest_factor")
    body = (
        'def wanted(n: int) -> int:\n    """Words of our own for this, entirely."""\n'
        + next(i for i in humaneval_items() if i.entry_point == "is_palindrome").texts[0]
        + '\ndef is_prime(n):\n    """Whether it has divisors other than one."""\n'
        "    found = n > 1\n    return found\n"
    )
    documents = write_documents({"a.py": whole, "b.py": renamed, "c.py": body, "d.py": USEFUL})
    out = run(documents, tmp_path / "out")
    assert sorted(row["entry_point"] for row in examples(out)) == ["save_json", "stem"]
    found = reasons(out)
    assert found["contaminated_entry_point"] >= 2
    details = read_table(out / "decisions")["detail"].to_pylist()
    assert any(detail.startswith(f"{item.task_id}=") for detail in details)


def test_ten_shared_words_are_enough(write_documents, tmp_path):
    leak = (
        'def own_name(numbers, size):\n    """Check if in given list of numbers, are any two '
        'numbers closer to each other than given threshold."""\n'
        "    numbers.sort()\n    return size\n"
    )
    out = run(write_documents({"a.py": leak}), tmp_path / "out")
    assert examples(out) == []
    assert reasons(out) == {"contaminated_ngram": 1}


def test_overlong_and_repeated_pairs_are_dropped(write_documents, tmp_path):
    long = LONG.replace("{body}", ",\n        ".join(str(n * 7919) for n in range(300)))
    short = LONG.replace("{body}", "1")
    documents = write_documents({"a.py": short, "vendored/a.py": short, "b.py": long})
    tall = LONG.replace("{body}", ",\n        ".join("1" for _ in range(100)))
    out = run(documents, tmp_path / "out")
    assert reasons(out) == {"": 1, "duplicate": 1}  # 300 lines of body are no candidate
    wide = LONG.replace("{body}", f"'{'x' * 1300}'")
    out = run(write_documents({"a.py": wide, "c.py": tall}), tmp_path / "wide_out")
    assert reasons(out) == {"too_long": 1}


def test_layout_and_order_of_the_input_do_not_matter(write_documents, tmp_path):
    files = {f"{n}.py": USEFUL.replace("INDENT = 2", f"INDENT = {n % 4}") for n in range(8)}
    digests = set()
    for number, (parts, reverse) in enumerate([(1, False), (4, True)]):
        documents = write_documents(files, parts=parts, reverse=reverse)
        out = run(documents, tmp_path / f"out{number}")
        assert len(examples(out)) == 5
        digests.add(
            tuple(
                table_digest(sorted((out / table).glob("*.parquet")))[1]
                for table in ("examples", "decisions")
            )
        )
    assert len(digests) == 1


def test_max_examples_samples_the_corpus(write_documents, tmp_path):
    files = {f"{n}.py": USEFUL.replace("INDENT = 2", f"INDENT = {n}") for n in range(8)}
    params = PARAMS.model_copy(update={"max_examples": 3})
    out = run(write_documents(files), tmp_path / "out", params)
    assert len(examples(out)) == 3


@pytest.mark.parametrize("content", ["x = 1", "def broken(:\n  '''doc'''", ""])
def test_files_without_functions_give_empty_tables(content, write_documents, tmp_path):
    out = run(write_documents({"a.py": content}), tmp_path / "out")
    assert read_table(out / "examples").schema == EXAMPLE_SCHEMA
    assert read_table(out / "decisions").num_rows == 0


def test_phrasing_depends_on_content_alone():
    templates = ("a", "b", "c")
    chosen = [choose(templates, f"content {n}") for n in range(60)]
    assert set(chosen) == set(templates)
    assert chosen == [choose(templates, f"content {n}") for n in range(60)]
    assert fenced("", "x = 1\n", "y = 2") == "```python\nx = 1\n\n\ny = 2\n```"
