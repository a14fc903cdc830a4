"""Instruction set of stage 2: fewer, verified examples.

Each function whose doctests passed in the sandbox becomes a request with its description, signature
and doctest examples; the answer is the code that passed, with the imports and helpers it needs.
Stands where the paper's second stage has execution-checked educational examples (4.2-4.3).
"""

from __future__ import annotations

import doctest
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assets.documents import content_digest, read_table
from assets.instruct.decontaminate import Contamination, contamination
from assets.instruct.examples import InstructExample, choose, fenced, write_examples
from assets.recipe import Decontaminate, SftStage

STAGE = "sft_stage2_set"
VERSION = "1"
KIND = "verified_function"

MAX_DESCRIPTION_CHARS = 800
MAX_EXAMPLES_CHARS = 500

_TEMPLATES = (
    "Write a self-contained Python function `{name}`.\n\n{description}\n\n"
    "Signature: `{signature}`\n\nIt must behave as in these examples:\n\n"
    "```python\n{examples}\n```",
    "Solve this task in Python.\n\n{description}\n\nStart from `{signature}`\n\n"
    "Examples:\n\n```python\n{examples}\n```",
    "I need a Python function with the signature `{signature}`.\n\n{description}\n\n"
    "For instance:\n\n```python\n{examples}\n```\n\nAnswer with the complete code.",
)


def run(
    out: Path,
    *,
    functions: Path,
    params: SftStage,
    decontaminate: Decontaminate,
    check: Contamination | None = None,
) -> None:
    """Write ``examples`` and ``decisions`` from the ``functions`` table of verified snippets.

    ``check`` defaults to HumanEval under the rules of ``decontaminate``.
    """
    check = check or contamination(decontaminate)
    write_examples(out, STAGE, _candidates(functions), params, check)


def example_of(row: dict[str, Any]) -> InstructExample:
    """The example of one row of the ``functions`` table."""
    description, examples = split_docstring(row["docstring"])
    template = choose(_TEMPLATES, STAGE, row["name"], row["docstring"], row["code"])
    return InstructExample(
        instruction=template.format(
            name=row["name"],
            signature=row["signature"],
            description=description or f"Its name is `{row['name']}`.",
            examples=examples,
        ),
        output=fenced(row["context"], row["code"]),
        entry_point=row["entry_point"],
        source_doc_id=row["source_doc_id"],
        repository=row["repository"],
        path=row["path"],
        kind=KIND,
    )


def split_docstring(docstring: str) -> tuple[str, str]:
    """Prose and doctest session of a docstring, each cut to a readable length.

    >>> split_docstring("Twice x.\\n\\n>>> f(2)\\n4\\n")
    ('Twice x.', '>>> f(2)\\n4')
    """
    prose: list[str] = []
    session: list[str] = []
    for part in doctest.DocTestParser().parse(docstring):
        if isinstance(part, str):
            prose.append(part.strip())
        elif not part.options.get(doctest.SKIP):
            lines = part.source.rstrip("\n").split("\n")
            shown = [f">>> {lines[0]}", *(f"... {line}" for line in lines[1:])]
            session.append("\n".join([*shown, *part.want.rstrip("\n").split("\n")]).rstrip("\n"))
    paragraphs = [p.strip("\n") for p in "\n\n".join(prose).split("\n\n") if p.strip()]
    return _fit(paragraphs, "\n\n", MAX_DESCRIPTION_CHARS), _fit(session, "\n", MAX_EXAMPLES_CHARS)


def _fit(parts: list[str], separator: str, limit: int) -> str:
    """As many leading parts as fit into ``limit`` characters, at least one."""
    text = ""
    for part in parts:
        longer = f"{text}{separator}{part}" if text else part
        if text and len(longer) > limit:
            break
        text = longer
    return text


def _candidates(functions: Path) -> Iterator[InstructExample]:
    rows = read_table(functions).to_pylist()
    for row in sorted(rows, key=lambda r: (content_digest(f"{STAGE}:{r['doc_id']}"), r["doc_id"])):
        if row["code"]:
            yield example_of(row)
