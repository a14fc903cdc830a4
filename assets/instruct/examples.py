"""Instruction examples: their table, and the gate that every one of them passes.

Both stages build candidates from functions and hand them to :func:`write_examples`, which drops the
contaminated, the overlong and the repeated, and says so for each. An answer is Python code in one
```` ```python ```` fence, the form in which chat models are asked and graded here.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa

from assets.anneal.functions import PYTHON
from assets.documents import (
    DROPPED,
    KEPT,
    content_digest,
    decisions_table,
    document_id,
    write_table,
)
from assets.instruct.decontaminate import Contamination
from assets.recipe import SftStage

#: Columns of ``examples/``, sorted by ``example_id`` (hash of instruction and output).
EXAMPLE_SCHEMA = pa.schema(
    [
        ("example_id", pa.string()),
        ("instruction", pa.string()),
        ("output", pa.string()),
        ("entry_point", pa.string()),
        ("source_doc_id", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("kind", pa.string()),
    ]
)
#: Characters that one token of a small code vocabulary holds at least, roughly: an example with
#: more than ``max_length`` times as many would be truncated in training, and is dropped instead.
CHARS_PER_TOKEN = 3

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class InstructExample:
    """One instruction and its answer, with where it comes from."""

    instruction: str
    output: str
    entry_point: str
    source_doc_id: str
    repository: str
    path: str
    kind: str

    @property
    def example_id(self) -> str:
        return content_digest(f"{self.instruction}\0{self.output}")


def write_examples(
    out: Path,
    stage: str,
    examples: Iterable[InstructExample],
    params: SftStage,
    check: Contamination,
) -> None:
    """Write ``examples`` and ``decisions`` (one row a candidate) of ``stage``.

    Candidates are taken in the order given, which must not depend on the layout of the input; with
    ``params.max_examples`` the reading ends once that many are kept. Reasons to drop one:
    contaminated_entry_point, contaminated_ngram, too_long, duplicate.
    """
    kept: list[dict[str, str]] = []
    decisions: list[dict[str, object]] = []
    answers: dict[str, str] = {}
    for example in examples:
        reason, detail = _verdict(example, params, check, answers)
        if not reason:
            answers[example.output] = example.example_id
            kept.append({"example_id": example.example_id} | asdict(example))
        decisions.append(_decision(stage, example, reason, detail))
        if params.max_examples is not None and len(kept) >= params.max_examples:
            break
    write_table(out / "examples", pa.Table.from_pylist(kept, EXAMPLE_SCHEMA), "example_id")
    write_table(out / "decisions", decisions_table(decisions))
    reasons = Counter(str(row["reason"]) for row in decisions if row["reason"])
    log.info("%s: %d examples, dropped %s", stage, len(kept), dict(sorted(reasons.items())))


def fenced(*blocks: str) -> str:
    """Code blocks, two blank lines apart, as one Markdown fence."""
    code = "\n\n\n".join(block.strip("\n") for block in blocks if block.strip())
    return f"```python\n{code}\n```"


def choose(templates: Sequence[str], *content: str) -> str:
    """One of ``templates``, picked by the hash of ``content``: the same for the same example."""
    return templates[int(content_digest("\0".join(content))[:8], 16) % len(templates)]


def _verdict(
    example: InstructExample, params: SftStage, check: Contamination, answers: dict[str, str]
) -> tuple[str, str]:
    hits = check.check_example(example.instruction, example.output, example.entry_point)
    if hits:
        hit = hits[0]
        return f"contaminated_{hit.rule}", f"{hit.task_id}={hit.evidence}"
    length = len(example.instruction) + len(example.output)
    limit = params.max_length * CHARS_PER_TOKEN
    if length > limit:
        return "too_long", f"chars={length}>{limit}"
    if example.output in answers:
        return "duplicate", f"duplicate_of={answers[example.output]}"
    return "", ""


def _decision(stage: str, example: InstructExample, reason: str, detail: str) -> dict[str, object]:
    place = f"{example.path}::{example.entry_point}"
    return {
        "doc_id": document_id(example.repository, place, example.example_id),
        "stage": stage,
        "verdict": DROPPED if reason else KEPT,
        "reason": reason,
        "detail": detail,
        "repository": example.repository,
        "path": place,
        "language": PYTHON,
        "size_bytes": len(f"{example.instruction}{example.output}".encode()),
    }
