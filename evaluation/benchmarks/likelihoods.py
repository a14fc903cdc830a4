"""Likelihood benchmarks: what a model thinks of given answers, smooth where pass@1 is still zero.

`SolutionBits` charges a model bits per byte for canonical solutions given their prompts. `Mutants`
asks whether it finds the canonical solution more likely, byte for byte, than copies with one small
fault. Neither executes anything, and both rank models long before they solve a task.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence

from evaluation.benchmarks.base import Benchmark, Context, Result, Score, remembered
from evaluation.metrics import bootstrap_ratio, wilson_interval
from evaluation.mutation import mutants
from evaluation.records import Row

#: task id, prompt, canonical solution
Solved = tuple[str, str, str]


class LikelihoodBenchmark(Benchmark):
    """Subclass with the solved tasks."""

    needs_weights = True

    @abstractmethod
    def solved(self) -> Sequence[Solved]:
        """Task id, prompt and canonical solution of every task."""

    def texts(self) -> dict[str, tuple[str, ...]]:
        return {task_id: (prompt, solution) for task_id, prompt, solution in self.solved()}

    def keys(self, context: Context, tasks: Sequence[Solved]) -> list[Row]:
        """One WORK_KEY row a task; its work is all that the numbers depend on."""
        loaded = context.loaded
        facts = "\0".join(
            (loaded.digest, str(loaded.context_length), *(text for task in tasks for text in task))
        )
        work = hashlib.sha256(facts.encode("utf-8", "surrogatepass")).hexdigest()
        return [
            {
                "benchmark": self.name,
                "chat": context.chat,
                "task_id": task_id,
                "sample": 0,
                "work": work,
            }
            for task_id, _, _ in tasks
        ]


class SolutionBits(LikelihoodBenchmark):
    """Total bits over total bytes of the solutions, with a bootstrap interval over tasks."""

    metric = "bits_per_byte"

    def evaluate(self, context: Context) -> Result:
        from evaluation.likelihood import continuation_bits

        self.prepare(context.heldout)
        tasks = self.solved()[: context.limit]

        def compute() -> list[Row]:
            pairs = [(prompt, solution) for _, prompt, solution in tasks]
            costs = continuation_bits(context.loaded, pairs, batch_size=context.batch_size)
            return [{"bits": cost.bits, "bytes": cost.bytes} for cost in costs]

        rows = remembered(context.out, self.keys(context, tasks), compute)
        bits, sizes = [row["bits"] for row in rows], [row["bytes"] for row in rows]
        interval = bootstrap_ratio(bits, sizes, seed=context.seed)
        value = sum(bits) / sum(sizes)
        score = Score(
            self.name, self.metric, value, *interval, len(rows), context.model, context.chat
        )
        return Result(rows, [score])


class Mutants(LikelihoodBenchmark):
    """Share of tasks whose canonical solution costs fewer bits per byte than each of its mutants.

    count: mutants a task. Chance is 1 / (count + 1). Tasks with room for fewer faults are left out.
    """

    metric = "accuracy"
    count = 4

    def evaluate(self, context: Context) -> Result:
        from evaluation.likelihood import continuation_bits

        self.prepare(context.heldout)
        faulty = [
            (task, mutants(task[1], task[2], self.count)) for task in self.solved()[: context.limit]
        ]
        faulty = [(task, found) for task, found in faulty if len(found) == self.count]
        tasks = [task for task, _ in faulty]

        def compute() -> list[Row]:
            pairs = [
                (prompt, text)
                for (_, prompt, solution), found in faulty
                for text in (solution, *found)
            ]
            costs = continuation_bits(context.loaded, pairs, batch_size=context.batch_size)
            rows: list[Row] = []
            for place in range(0, len(costs), self.count + 1):
                right, *wrong = (
                    cost.bits / cost.bytes for cost in costs[place : place + self.count + 1]
                )
                rows.append({"correct": right < min(wrong), "gap": min(wrong) - right})
            return rows

        rows = remembered(context.out, self.keys(context, tasks), compute)
        correct = sum(bool(row["correct"]) for row in rows)
        interval = wilson_interval(correct, len(rows))
        value = correct / len(rows)
        score = Score(
            self.name, self.metric, value, *interval, len(rows), context.model, context.chat
        )
        return Result(rows, [score])
