"""Bits per byte of HumanEval's canonical solutions given their prompts: pass@1 for small models.

Models that solve nothing still rank by it, long before pass@1 moves. Total bits over total bytes,
with a bootstrap interval over tasks. No code is executed.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from evaluation.benchmarks.base import (
    Benchmark,
    Context,
    Result,
    Score,
    UnavailableError,
    remembered,
)
from evaluation.benchmarks.humaneval import DATA, load_tasks
from evaluation.metrics import bootstrap_ratio
from evaluation.records import Row


class HumanEvalBitsPerByte(Benchmark):
    """See the module."""

    name = "humaneval_bpb"
    metric = "bits_per_byte"
    description = "bits per byte of the 164 canonical solutions given their prompts"

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def evaluate(self, context: Context) -> Result:
        if lacking := self.missing():
            raise UnavailableError(f"{self.name}: {lacking}")
        from evaluation.likelihood import continuation_bits

        tasks = load_tasks()[: context.limit]
        pairs = [(task.prompt, task.data["canonical_solution"]) for task in tasks]
        facts = "\0".join((context.loaded.digest, DATA.sha256, str(context.loaded.context_length)))
        work = hashlib.sha256(facts.encode()).hexdigest()
        keys: list[Row] = [
            {
                "benchmark": self.name,
                "chat": context.chat,
                "task_id": task.task_id,
                "sample": 0,
                "work": work,
            }
            for task in tasks
        ]

        def compute() -> list[Row]:
            costs = continuation_bits(context.loaded, pairs, batch_size=context.batch_size)
            return [{"bits": cost.bits, "bytes": cost.bytes} for cost in costs]

        rows = remembered(context.out, keys, compute)
        bits, sizes = [row["bits"] for row in rows], [row["bytes"] for row in rows]
        interval = bootstrap_ratio(bits, sizes, seed=context.seed)
        score = Score(
            self.name,
            self.metric,
            sum(bits) / sum(sizes),
            *interval,
            len(tasks),
            context.loaded.name,
            context.chat,
            "",
        )
        return Result(rows, [score])


BENCHMARK = HumanEvalBitsPerByte()
