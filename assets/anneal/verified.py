"""Verified snippets: functions whose own doctests really pass, as self-contained programs.

Each documented function of the corpus that has doctests with expected output runs with its imports
and helpers in the sandbox; it stays if its doctests pass and those of a stub returning None fail (a
test that a stub passes proves nothing). This is the test-passing rule of the paper's high-quality
snippets (2.2) applied to tests that people wrote, without a teacher model.
"""

from __future__ import annotations

import ast
import logging
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from assets.anneal.functions import (
    PYTHON,
    Example,
    Function,
    functions_of,
    may_hold_functions,
)
from assets.anneal.scope import UnparsableSource
from assets.documents import (
    DOCUMENT_SCHEMA,
    DROPPED,
    KEPT,
    content_digest,
    decisions_table,
    document_id,
    read_batches,
    write_table,
)
from assets.recipe import Anneal
from assets.sandbox import settle_level
from evaluation.sandbox import Limits, Outcome, run_programs

STAGE = "verified_snippets"
VERSION = "1"

#: Doctests of published libraries end in milliseconds; a second of CPU is already a runaway.
DOCTEST_LIMITS = Limits(cpu_seconds=2.0, wall_seconds=10.0, memory_bytes=512 * 1024**2)
STUB_LIMITS = Limits(cpu_seconds=1.0, wall_seconds=5.0, memory_bytes=512 * 1024**2)
#: Snippets longer than this are programs, not examples of one function.
MAX_SNIPPET_CHARS = 12_000
#: Doctests of functions that use these pass by luck, or not twice.
UNSTABLE_MODULES = frozenset({"random", "secrets", "time", "uuid"})

#: Columns of ``functions/``. ``doc_id`` is the snippet's, ``source_doc_id`` the crawled file's.
#: ``source`` has the docstring, ``code`` not; ``context`` stands before it; ``tests`` holds asserts
#: made from the doctests, empty where they do not translate; ``examples`` counts checked outputs.
FUNCTION_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("source_doc_id", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("name", pa.string()),
        ("entry_point", pa.string()),
        ("signature", pa.string()),
        ("docstring", pa.string()),
        ("context", pa.string()),
        ("source", pa.string()),
        ("code", pa.string()),
        ("tests", pa.string()),
        ("examples", pa.int64()),
    ]
)

#: Expressions that a comparison beside them would take apart.
_WEAK_EXPRESSIONS = (ast.Compare, ast.BoolOp, ast.UnaryOp, ast.Lambda, ast.IfExp, ast.NamedExpr)

log = logging.getLogger(__name__)


@dataclass
class Candidate:
    """One function with doctests on its way: ``reason`` is set once it is out."""

    row: dict[str, Any]
    function: Function
    doc_id: str = ""
    reason: str = ""
    detail: str = ""
    tests: str = ""
    program: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        digest = content_digest(self.function.source)
        self.doc_id = document_id(self.row["repository"], self.place, digest)
        self.program = doctest_program(self.function, self.function.source)

    @property
    def place(self) -> str:
        return f"{self.row['path']}::{self.function.name}"

    def drop(self, reason: str, detail: str = "") -> None:
        self.reason, self.detail = reason, detail


def run(out: Path, *, documents: Path, params: Anneal, workers: int = 2) -> None:
    """Write ``documents`` (one snippet each), ``functions`` and ``decisions`` (one a candidate).

    Candidates are the documented top-level functions that have a doctest. Reasons to drop one:
    no_expected_output, malformed_doctest, needs_third_party, unstable, too_long, over_limit,
    failed, timeout, stub_passes, duplicate. Raises ``SandboxError`` where no sandbox can be had.
    """
    settle_level()
    candidates = sorted(_candidates(documents), key=lambda c: c.doc_id)
    judge(candidates, params.max_snippet_candidates, workers)
    kept = [c for c in candidates if not c.reason]
    write_table(
        out / "documents", pa.Table.from_pylist([_document(c) for c in kept], DOCUMENT_SCHEMA)
    )
    write_table(
        out / "functions", pa.Table.from_pylist([_function(c) for c in kept], FUNCTION_SCHEMA)
    )
    write_table(out / "decisions", decisions_table(_decision(c) for c in candidates))
    log.info("%d of %d functions with doctests are verified", len(kept), len(candidates))


def judge(candidates: Sequence[Candidate], max_candidates: int, workers: int) -> None:
    """Settle the ``reason`` of every candidate; those that stay without one are verified."""
    for candidate in candidates:
        _inspect(candidate)
    ready = sorted(_open(candidates), key=lambda c: (content_digest(c.program), c.doc_id))
    for candidate in ready[max_candidates:]:
        candidate.drop("over_limit", f"max_snippet_candidates={max_candidates}")
    for candidate, outcome in _outcomes(_open(candidates), DOCTEST_LIMITS, workers):
        if not outcome.passed:
            reason = "timeout" if outcome.status == "timeout" else "failed"
            candidate.drop(reason, _why(outcome))
    _drop_duplicates(_open(candidates))
    passed = _open(candidates)
    stubs = [doctest_program(c.function, c.function.stub) for c in passed]
    for candidate, outcome in zip(
        passed, run_programs(stubs, limits=STUB_LIMITS, workers=workers), strict=True
    ):
        if outcome.passed:
            candidate.drop("stub_passes")
    _attach_tests(_open(candidates), workers)


def doctest_program(function: Function, definition: str) -> str:
    """A program that defines the function as ``definition`` and fails unless its doctests pass."""
    return (
        f"{_join(function.context(), definition)}\n\n\n"
        "import doctest as _doctest\n"
        f"_text = {_docstring_literal(function)}\n"
        f"_test = _doctest.DocTestParser().get_doctest(_text, globals(), "
        f"{function.name!r}, None, 0)\n"
        "_told = []\n"
        "_counts = _doctest.DocTestRunner(verbose=False).run(_test, out=_told.append)\n"
        "if _counts.failed or not _counts.attempted:\n"
        "    raise AssertionError(''.join(_told)[-300:])\n"
    )


def asserts(examples: Sequence[Example]) -> str:
    """Doctest examples as plain asserts, one a line; empty if any of them does not translate.

    >>> asserts([Example("x = 2", ""), Example("f(x)", "[2]\\n")])
    'x = 2\\nassert f(x) == [2]'
    """
    lines = []
    for example in examples:
        if example.skipped:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(example.source)
                value = ast.literal_eval(example.want.strip()) if example.want else None
                text = ast.unparse(tree)
        except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
            return ""  # a traceback, an ellipsis, printed text: the doctest itself stays the test
        if not example.want:
            lines.append(text)
            continue
        if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
            return ""
        if isinstance(tree.body[0].value, _WEAK_EXPRESSIONS):
            text = f"({text})"
        same = "is" if value is None or isinstance(value, bool) else "=="
        lines.append(f"assert {text} {same} {value!r}")
    return "\n".join(lines) if any(line.startswith("assert ") for line in lines) else ""


def _candidates(documents: Path) -> Iterator[Candidate]:
    columns = [name for name in DOCUMENT_SCHEMA.names if name != "content_sha256"]
    unparsable = 0
    for batch in read_batches(documents, columns):
        python = pc.equal(batch.column("language"), PYTHON)
        holds = pc.match_substring(batch.column("content"), ">>>")
        for row in batch.filter(pc.fill_null(pc.and_(python, holds), False)).to_pylist():
            content = row.pop("content")
            if not may_hold_functions(content, doctests=True):
                continue
            try:
                found = functions_of(content, where=lambda name, docstring: ">>>" in docstring)
            except UnparsableSource as error:
                unparsable += 1
                log.debug("%s/%s is not parsable: %s", row["repository"], row["path"], error)
                continue
            for function in found:
                if function.examples or function.doctest_error:
                    yield Candidate(row, function)
    if unparsable:
        log.info("%d files with doctests are not Python that this interpreter parses", unparsable)


def _inspect(candidate: Candidate) -> None:
    """Settle what needs no execution."""
    function = candidate.function
    if function.doctest_error:
        candidate.drop("malformed_doctest", function.doctest_error[:200])
    elif not any(e.want and not e.skipped for e in function.examples):
        candidate.drop("no_expected_output")
    elif function.missing:
        candidate.drop("needs_third_party", "; ".join(function.missing)[:200])
    elif unstable := function.modules & UNSTABLE_MODULES:
        candidate.drop("unstable", f"import {','.join(sorted(unstable))}")
    elif len(function.context()) + len(function.source) > MAX_SNIPPET_CHARS:
        candidate.drop("too_long", f"max_snippet_chars={MAX_SNIPPET_CHARS}")


def _outcomes(
    candidates: Sequence[Candidate], limits: Limits, workers: int
) -> Iterator[tuple[Candidate, Outcome]]:
    """Outcome of each candidate's program; equal programs run once."""
    programs = sorted({c.program for c in candidates})
    outcomes = dict(
        zip(programs, run_programs(programs, limits=limits, workers=workers), strict=True)
    )
    for candidate in candidates:
        yield candidate, outcomes[candidate.program]


def _drop_duplicates(candidates: Sequence[Candidate]) -> None:
    """Of functions with one name and docstring (releases, vendored copies), the first id stays."""
    first: dict[tuple[str, str], Candidate] = {}
    for candidate in sorted(candidates, key=lambda c: c.doc_id):
        key = (candidate.function.name, candidate.function.docstring)
        kept = first.setdefault(key, candidate)
        if kept is not candidate:
            candidate.drop("duplicate", f"duplicate_of={kept.doc_id}")


def _attach_tests(candidates: Sequence[Candidate], workers: int) -> None:
    """Give each candidate its asserts, where they pass as well."""
    translated = [(c, asserts(c.function.examples)) for c in candidates]
    translated = [(c, tests) for c, tests in translated if tests]
    programs = [_join(c.function.context(), c.function.source, tests) for c, tests in translated]
    for (candidate, tests), outcome in zip(
        translated, run_programs(programs, limits=DOCTEST_LIMITS, workers=workers), strict=True
    ):
        if outcome.passed:
            candidate.tests = tests


def _open(candidates: Sequence[Candidate]) -> list[Candidate]:
    return [c for c in candidates if not c.reason]


def _why(outcome: Outcome) -> str:
    # the message may hold addresses, which differ between runs; the exception's name does not
    return f"{outcome.status}: {outcome.error.partition(':')[0][:60]}".rstrip(": ")


def _join(*blocks: str) -> str:
    return "\n\n\n".join(block for block in blocks if block)


def _docstring_literal(function: Function) -> str:
    return repr(function.docstring)


def _snippet(candidate: Candidate) -> str:
    tests = candidate.tests or (
        'if __name__ == "__main__":\n    import doctest\n\n    doctest.testmod()'
    )
    function = candidate.function
    return _join(function.context(), function.source, tests) + "\n"


def _document(candidate: Candidate) -> dict[str, Any]:
    content = _snippet(candidate)
    return candidate.row | {
        "doc_id": candidate.doc_id,
        "content": content,
        "content_sha256": content_digest(content),
        "path": candidate.place,
        "size_bytes": len(content.encode("utf-8", "surrogatepass")),
        "source": STAGE,
    }


def _function(candidate: Candidate) -> dict[str, Any]:
    function = candidate.function
    return {
        "doc_id": candidate.doc_id,
        "source_doc_id": candidate.row["doc_id"],
        "repository": candidate.row["repository"],
        "path": candidate.row["path"],
        "name": function.name,
        "entry_point": function.name,
        "signature": function.signature,
        "docstring": function.docstring,
        "context": function.context(),
        "source": function.source,
        "code": function.code,
        "tests": candidate.tests,
        "examples": sum(1 for e in function.examples if e.want and not e.skipped),
    }


def _decision(candidate: Candidate) -> dict[str, object]:
    return {
        "doc_id": candidate.doc_id,
        "stage": STAGE,
        "verdict": DROPPED if candidate.reason else KEPT,
        "reason": candidate.reason,
        "detail": candidate.detail,
        "repository": candidate.row["repository"],
        "path": candidate.place,
        "language": candidate.row["language"],
        "size_bytes": len(candidate.function.source.encode("utf-8", "surrogatepass")),
    }
