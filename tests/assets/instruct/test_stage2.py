"""Verified functions become examples with a session to satisfy."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from assets.anneal.verified import FUNCTION_SCHEMA
from assets.documents import DECISION_SCHEMA, read_table, write_table
from assets.instruct import stage2
from assets.instruct.examples import EXAMPLE_SCHEMA
from assets.recipe import Decontaminate, SftStage
from assets.table_digest import table_digest

PARAMS = SftStage(epochs=3, lr=1e-3, batch_size=8, max_length=400)


def row(name: str, docstring: str = "", **values: object) -> dict[str, object]:
    return {
        "doc_id": f"id-{name}",
        "source_doc_id": "source",
        "repository": "pypi/planted@1",
        "path": "a.py",
        "name": name,
        "entry_point": name,
        "signature": f"def {name}(x):",
        "docstring": docstring or f"Doubles what {name} is given.\n\n>>> {name}(2)\n4",
        "context": "import math",
        "source": "",
        "code": f"def {name}(x):\n    return math.prod([2, x])",
        "tests": "",
        "examples": 1,
    } | values


def run(rows: list[dict[str, object]], place: Path, parts: int = 1, **params: int) -> Path:
    folder, out = place / "functions", place / "out"
    for part in range(parts):
        table = pa.Table.from_pylist(rows[part::parts], FUNCTION_SCHEMA)
        write_table(folder / f"{part}", table, sort_by=None)
        (folder / f"{part}" / "part-00000.parquet").rename(folder / f"part-{part:05}.parquet")
        (folder / f"{part}").rmdir()
    stage2.run(
        out,
        functions=folder,
        params=PARAMS.model_copy(update=params),
        decontaminate=Decontaminate(),
    )
    return out


def reasons(out: Path) -> dict[str, str]:
    rows = read_table(out / "decisions").to_pylist()
    return {r["path"].partition("::")[2]: r["reason"] for r in rows}


def test_description_signature_and_session_ask_for_the_code_that_passed(tmp_path):
    docstring = (
        "Double a number.\n\nWorks for lists too::\n\n    >>> double(2)\n    4\n"
        "    >>> for x in [1]:\n    ...     double(x)\n    2\n\nMuch used."
    )
    out = run([row("double", docstring)], tmp_path)
    table = read_table(out / "examples")
    assert table.schema == EXAMPLE_SCHEMA
    (example,) = table.to_pylist()
    assert "Double a number.\n\nWorks for lists too::\n\nMuch used." in example["instruction"]
    assert (
        "```python\n>>> double(2)\n4\n>>> for x in [1]:\n...     double(x)\n2\n```"
        in (example["instruction"])
    )
    assert "def double(x):" in example["instruction"]
    assert example["output"] == (
        "```python\nimport math\n\n\ndef double(x):\n    return math.prod([2, x])\n```"
    )
    assert example["source_doc_id"] == "source" and example["kind"] == "verified_function"


def test_planted_benchmark_items_overlong_and_repeated_ones_are_dropped(tmp_path):
    leak = (
        "Check if in given list of numbers, are any two numbers closer to each other than\n"
        "given threshold.\n\n>>> near(1)\n2"
    )
    out = run(
        [
            row("fine"),
            row("has_close_elements"),
            row("near", leak),
            row("calls", "Calls.\n\n>>> calls(is_prime(3))\n2"),
            row("long", code="def long(x):\n    return " + "x + " * 400 + "x"),
            row("copy", code=row("fine")["code"]),
        ],
        tmp_path,
    )
    found = reasons(out)
    assert found["has_close_elements"] == found["calls"] == "contaminated_entry_point"
    assert found["near"] == "contaminated_ngram"
    assert found["long"] == "too_long"
    assert sorted([found["fine"], found["copy"]]) == ["", "duplicate"]
    assert read_table(out / "decisions").schema == DECISION_SCHEMA
    assert read_table(out / "examples").num_rows == 1


def test_layout_and_order_of_the_input_do_not_matter(tmp_path):
    rows = [row(f"name_{n}") for n in range(7)]
    one = run(rows, tmp_path / "one", max_examples=4)
    two = run(rows[::-1], tmp_path / "two", parts=3, max_examples=4)
    for table in ("examples", "decisions"):
        digests = {table_digest(sorted((out / table).glob("*.parquet")))[:2] for out in (one, two)}
        assert len(digests) == 1
    assert read_table(one / "examples").num_rows == 4


def test_skipped_examples_are_not_shown_and_long_texts_are_cut():
    docstring = "First.\n\n" + "word " * 300 + "\n\n>>> f(1)  # doctest: +SKIP\n2\n>>> f(2)\n4\n"
    docstring += "".join(f">>> f({n})\n{2 * n}\n" for n in range(100))
    prose, session = stage2.split_docstring(docstring)
    assert prose == "First."
    assert session.startswith(">>> f(2)\n4\n>>> f(0)\n0") and "SKIP" not in session
    assert len(session) <= stage2.MAX_EXAMPLES_CHARS
