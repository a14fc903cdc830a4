"""Instruction set of stage 1: broad docstring-to-function pairs from the corpus.

Every self-contained documented top-level Python function asks for itself: its summary and signature
are the instruction, its code the answer. Nothing is executed here; breadth is the point of the
first tuning stage, as correctness is of the second (paper 4.1-4.3).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.dataset as pads

from assets.anneal.functions import (
    PYTHON,
    Function,
    functions_of,
    may_hold_functions,
)
from assets.anneal.scope import UnparsableSource
from assets.documents import content_digest
from assets.instruct.decontaminate import Contamination, contamination
from assets.instruct.examples import InstructExample, choose, fenced, write_examples
from assets.recipe import Decontaminate, SftStage

STAGE = "sft_stage1_set"
VERSION = "1"
KIND = "docstring_to_function"

MIN_DOCSTRING_CHARS = 20
MAX_SUMMARY_CHARS = 600
BODY_LINES = range(2, 61)

_TEMPLATES = (
    "Write a Python function `{name}`.\n\n{summary}\n\nUse this signature: `{signature}`",
    "{summary}\n\nImplement this in Python as `{signature}`",
    "Complete this Python function and answer with all of it in one code block.\n\n"
    '```python\n{signature}\n    """{indented}"""\n```',
    "Implement `{name}` in Python. Its documentation says:\n\n{summary}\n\n"
    "It starts with:\n\n```python\n{signature}\n```",
)

# a public function with a block docstring some lines below: most files need no parser to be told
# that they hold no example, and parsing is what this stage spends its time on
_PUBLIC = re.compile(
    r"^def (?!_|test|main\b)[^\n]*\n(?:[ \t)][^\n]*\n){0,20}?[ \t]+[rRuU]?(?:\"\"\"|''')",
    re.MULTILINE,
)

log = logging.getLogger(__name__)


def run(
    out: Path,
    *,
    documents: Path,
    params: SftStage,
    decontaminate: Decontaminate,
    check: Contamination | None = None,
) -> None:
    """Write ``examples`` and ``decisions`` from the Python files of ``documents``.

    Files are read in the order of a hash of their ids, so ``params.max_examples`` samples the whole
    corpus. ``check`` defaults to HumanEval under the rules of ``decontaminate``.
    """
    check = check or contamination(decontaminate)
    write_examples(out, STAGE, _candidates(documents), params, check)


def example_of(function: Function, source: dict[str, Any]) -> InstructExample | None:
    """The pair that a function gives, or None if it is no example to learn from.

    Wanted: a public, self-contained function with a sentence of documentation and 2 to 60 lines of
    body; no test, no placeholder.
    """
    summary = _summary(function.docstring)
    if (
        function.missing
        or function.trivial
        or not function.code
        or function.body_lines not in BODY_LINES
        or len(summary) < MIN_DOCSTRING_CHARS
        or not _wanted(function.name, function.docstring)
    ):
        return None
    template = choose(_TEMPLATES, STAGE, function.name, summary, function.code)
    instruction = template.format(
        name=function.name,
        signature=function.signature,
        summary=summary,
        indented=summary.replace("\\", "\\\\").replace("\n", "\n    "),
    )
    return InstructExample(
        instruction=instruction,
        output=fenced(function.context(), function.code),
        entry_point=function.name,
        source_doc_id=source["doc_id"],
        repository=source["repository"],
        path=source["path"],
        kind=KIND,
    )


def _candidates(documents: Path) -> Iterator[InstructExample]:
    columns = ["doc_id", "content", "repository", "path"]
    table = pads.dataset(documents, format="parquet").to_table(
        columns=columns, filter=pc.field("language") == PYTHON
    )
    ids = table.column("doc_id").to_pylist()
    order = sorted(range(len(ids)), key=lambda i: content_digest(f"{STAGE}:{ids[i]}"))
    unparsable = 0
    for position in order:
        row = {name: table.column(name)[position].as_py() for name in columns}
        if not (may_hold_functions(row["content"]) and _PUBLIC.search(row["content"])):
            continue
        try:
            found = functions_of(row["content"], doctests=False, where=_wanted)
        except UnparsableSource as error:
            unparsable += 1
            log.debug("%s/%s is not parsable: %s", row["repository"], row["path"], error)
            continue
        for function in found:
            example = example_of(function, row)
            if example is not None:
                yield example
    if unparsable:
        log.info("%d Python files are not parsable by this interpreter", unparsable)


def _wanted(name: str, docstring: str) -> bool:
    public = not name.startswith(("_", "test")) and name != "main"
    return public and len(docstring) >= MIN_DOCSTRING_CHARS


def _summary(docstring: str) -> str:
    """The paragraphs before the first section, field list or doctest; at most some 600 characters.

    >>> _summary("Sum of a list.\\n\\n:param x: the list")
    'Sum of a list.'
    """
    kept: list[str] = []
    for paragraph in docstring.strip().split("\n\n"):
        lines = paragraph.strip("\n").split("\n")
        first = lines[0].strip()
        heading = len(lines) > 1 and len(lines[1].strip()) > 2 and not lines[1].strip().strip("-=~")
        if heading or first.startswith((":", "@", ">>>", ".. ")) or first.endswith("::"):
            break
        if first in ("Args:", "Arguments:", "Returns:", "Raises:", "Example:", "Examples:"):
            break
        if kept and sum(map(len, kept)) + len(paragraph) > MAX_SUMMARY_CHARS:
            break
        lines = _before(lines)
        kept.append("\n".join(lines).strip())
    return "\n\n".join(part for part in kept if part)[:MAX_SUMMARY_CHARS].strip()


def _before(lines: list[str]) -> list[str]:
    for position, line in enumerate(lines):
        if line.strip().startswith((">>>", ":param", ":return", ":rtype", "@param")):
            return lines[:position]
    return lines
