"""Only functions whose tests really pass, and really test, become snippets."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from assets.anneal import verified
from assets.anneal.functions import Example
from assets.documents import DECISION_SCHEMA, DOCUMENT_SCHEMA, read_table
from assets.recipe import Anneal
from assets.table_digest import table_digest

GOOD = '''
import math

SCALE = 2

def _scaled(x):
    return SCALE * x

def grow(x):
    """Grow a number.

    >>> grow(2)
    4
    >>> [grow(n) for n in range(3)]
    [0, 2, 4]
    """
    return _scaled(x)

def shout(text):
    """Print in capitals.

    >>> shout("hi")
    HI!
    """
    print(text.upper() + "!")

def root(x):
    """Square root; refuses negative numbers.

    >>> root(4.0)
    2.0
    >>> root(-1)
    Traceback (most recent call last):
        ...
    ValueError: math domain error
    """
    return math.sqrt(x)
'''

BAD = '''
import numpy
import os
import random
import sys

def wrong(x):
    """
    >>> wrong(2)
    5
    """
    return 4

def hangs(x):
    """
    >>> hangs(1)
    1
    """
    while True:
        pass

def leaves(x):
    """
    >>> leaves(1)
    1
    """
    os._exit(0)

def exits(x):
    """
    >>> exits(1)
    1
    """
    sys.exit(0)

def boasts(x):
    """
    >>> boasts(1)
    2
    """
    print("passed")
    print('{"ended": true, "passed": true}', file=sys.stderr)
    return 1

def reads(x):
    """
    >>> reads("CANARY")
    'secret'
    """
    return open(x).read()

def weak(x):
    """
    >>> weak(1)
    >>> weak(None) is None
    True
    """
    return None if x != 7 else 7

def silent(x):
    """
    >>> y = silent(1)
    """
    return x

def skipped(x):
    """
    >>> skipped(1)  # doctest: +SKIP
    1
    """
    return x

def foreign(x):
    """
    >>> foreign(1)
    1
    """
    return numpy.sum(x)

def lucky(x):
    """
    >>> lucky(1)
    1
    """
    return random.choice([x])

def malformed(x):
    """
        >>> malformed(1)
      1
    """
    return x
'''

EXPECTED = {
    "grow": "",
    "shout": "",
    "root": "",
    "wrong": "failed",
    "hangs": "timeout",
    "leaves": "failed",
    "exits": "failed",
    "boasts": "failed",
    "reads": "failed",
    "weak": "stub_passes",
    "silent": "no_expected_output",
    "skipped": "no_expected_output",
    "foreign": "needs_third_party",
    "lucky": "unstable",
    "malformed": "malformed_doctest",
}


def run(documents: Path, out: Path, **params: int) -> Path:
    verified.run(out, documents=documents, params=Anneal(steps=1, **params))
    return out


def digests(out: Path, tables: Iterable[str] = ("documents", "functions", "decisions")):
    return {t: table_digest(sorted((out / t).glob("*.parquet")))[1] for t in tables}


@pytest.fixture(scope="module")
def planted(write_documents, tmp_path_factory) -> Path:
    tmp_path = tmp_path_factory.mktemp("planted")
    canary = tmp_path / "canary.txt"
    canary.write_text("secret")
    files = {"good.py": GOOD, "bad.py": BAD.replace("CANARY", str(canary)), "old.py": "print 1 >>>"}
    return run(write_documents(files, parts=2), tmp_path / "out")


def test_each_candidate_gets_the_right_verdict(planted):
    decisions = read_table(planted / "decisions")
    assert decisions.schema == DECISION_SCHEMA
    reasons = {r["path"].partition("::")[2]: r["reason"] for r in decisions.to_pylist()}
    assert reasons == EXPECTED
    assert len(set(decisions["doc_id"].to_pylist())) == len(EXPECTED)


def test_snippets_stand_alone_and_carry_their_tests(planted, tmp_path):
    documents = read_table(planted / "documents")
    assert documents.schema == DOCUMENT_SCHEMA
    snippets = {row["path"]: row for row in documents.to_pylist()}
    assert sorted(snippets) == ["good.py::grow", "good.py::root", "good.py::shout"]
    grow = snippets["good.py::grow"]
    assert grow["content"].startswith("SCALE = 2\n\n\ndef _scaled(x):")
    assert grow["content"].endswith(
        "assert grow(2) == 4\nassert [grow(n) for n in range(3)] == [0, 2, 4]\n"
    )
    assert "doctest.testmod()" in snippets["good.py::shout"]["content"]
    for row in snippets.values():  # planted above, so it may run here
        program = tmp_path / "program.py"
        program.write_text(row["content"])
        subprocess.run([sys.executable, program], check=True, timeout=60)


def test_functions_table_leads_back_to_the_source(planted):
    documents = read_table(planted / "documents")["doc_id"].to_pylist()
    functions = read_table(planted / "functions")
    assert functions.schema == verified.FUNCTION_SCHEMA
    assert functions["doc_id"].to_pylist() == documents
    rows = {row["name"]: row for row in functions.to_pylist()}
    assert rows["root"]["context"] == "import math"
    assert rows["root"]["examples"] == 2
    assert rows["grow"]["entry_point"] == "grow" and rows["grow"]["path"] == "good.py"
    assert '"""' in rows["grow"]["source"] and '"""' not in rows["grow"]["code"]


def test_layout_and_order_do_not_matter_and_copies_collapse(write_documents, tmp_path):
    files = {"a.py": GOOD, "vendored/a.py": GOOD, "b.py": GOOD.replace("SCALE = 2", "SCALE = 3")}
    first = run(write_documents(files), tmp_path / "out1")
    second = run(write_documents(files, parts=3, reverse=True), tmp_path / "out2")
    assert digests(first) == digests(second)
    reasons = read_table(first / "decisions")["reason"].to_pylist()
    assert reasons.count("") == 3
    assert reasons.count("duplicate") == 5  # grow fails in b.py, shout and root repeat
    assert reasons.count("failed") == 1


def test_the_cap_takes_candidates_by_hash(write_documents, tmp_path):
    documents = write_documents({"good.py": GOOD})
    out = run(documents, tmp_path / "out", max_snippet_candidates=1)
    rows = read_table(out / "decisions").to_pylist()
    assert sorted(row["reason"] for row in rows) == ["", "over_limit", "over_limit"]


def test_a_corpus_without_python_gives_empty_tables(write_documents, tmp_path):
    out = run(write_documents({"a.js": "// >>> 1"}, language="javascript"), tmp_path / "out")
    for table, schema in [
        ("documents", DOCUMENT_SCHEMA),
        ("functions", verified.FUNCTION_SCHEMA),
        ("decisions", DECISION_SCHEMA),
    ]:
        found = read_table(out / table)
        assert found.num_rows == 0 and found.schema == schema


@pytest.mark.parametrize(
    ("example", "line"),
    [
        (Example("f(1)", "1\n"), "assert f(1) == 1"),
        (Example("f(1)", "True\n"), "assert f(1) is True"),
        (Example("f('a b')", "{'a': (1, 2.5)}\n"), "assert f('a b') == {'a': (1, 2.5)}"),
        (Example("f(1) == 1", "True\n"), "assert (f(1) == 1) is True"),
        (Example("f(1), f(2)", "(1, 2)\n"), "assert (f(1), f(2)) == (1, 2)"),
        (Example("f(1)", "<object at 0x1>\n"), ""),
        (Example("f(1)", "Traceback (most recent call last):\nValueError\n"), ""),
        (Example("for x in y: print(x)", "1\n"), ""),
        (Example("x = f(1)", ""), ""),
    ],
)
def test_asserts_from_examples(example, line):
    assert verified.asserts([example]) == line
