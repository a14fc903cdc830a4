"""CRUXEval: 800 short Python functions; predict the output of a call, or an input for an output.

`cruxeval_output`: the answer must be a literal and is compared as a value, nothing is executed.
`cruxeval_input`: the function is called in the sandbox with the predicted arguments, and the judge
compares what comes back. One worked example stands before each question, for base and chat alike.
"""

from __future__ import annotations

import ast
import builtins
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from evaluation.benchmarks.data import DataFile, Hub
from evaluation.benchmarks.generative import GenerativeBenchmark, Task, Verdict
from evaluation.sandbox import Job, Outcome, Pairs

DATA = DataFile(
    name="cruxeval.jsonl",
    sha256="8368b81047dc5014e4caf5a2f97604eff7644e0ecd7415e3ceeb184bbc2e0c96",
    how_to_get="download data/cruxeval.jsonl from https://github.com/facebookresearch/cruxeval",
    hub=Hub(
        "cruxeval-org/cruxeval",
        ("id", "code", "input", "output"),
        "a5f018f9a531391ed9d89530b592c9aaff5e2457269f1f904a173fb0ffc8c0f8",
    ),
)
_END = "[/ANSWER]"
_EXAMPLE = "def f(text, n):\n    return text[n:] + text[:n]"
_LONGEST_LITERAL = 20_000
_PLAIN = (bool, bytes, complex, dict, float, frozenset, int, list, range, set, str, tuple)
_HELPERS = (
    *(abs, all, any, bin, chr, divmod, enumerate, filter, hex, iter, len, map, max, min, next),
    *(oct, ord, pow, repr, reversed, round, slice, sorted, sum, zip),
)
_KNOWN = {"f", *(helper.__name__ for helper in (*_PLAIN, *_HELPERS))}
_METHODS = {name for kind in _PLAIN for name in dir(kind) if not name.startswith("_")}


@cache
def load_tasks() -> tuple[Task, ...]:
    """The 800 tasks in file order."""
    return tuple(Task(row["id"], row["code"], row) for row in DATA.rows())


class CruxEval(GenerativeBenchmark):
    """What both directions share; the text of a question is the same for base and chat models."""

    python = False
    request: str

    def missing(self, heldout: Path | None = None) -> str | None:
        return DATA.missing()

    def tasks(self) -> list[Task]:
        return list(load_tasks())

    @abstractmethod
    def question(self, arguments: str, output: str) -> str:
        """The assert with its gap."""

    def base_prompt(self, task: Task) -> str:
        row = task.data
        example = self.question("'abcd', 1", "'bcda'")
        return (
            f"{self.request} Answer between [ANSWER] and [/ANSWER] with the whole assert and "
            f"nothing else.\n\n[PYTHON]\n{_EXAMPLE}\n{example}\n"
            f"[/PYTHON]\n[ANSWER]\nassert f('abcd', 1) == 'bcda'\n{_END}\n\n"
            f"[PYTHON]\n{row['code']}\n{self.question(row['input'], row['output'])}\n"
            "[/PYTHON]\n[ANSWER]\n"
        )

    def instruction(self, task: Task) -> str:
        return self.base_prompt(task)

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return (_END,)

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        text = completion.partition(_END)[0].rpartition("[ANSWER]")[2]
        return text.strip(), next(
            (line for line in text.strip().split("\n") if "==" in line), text.strip()
        )


class CruxEvalOutput(CruxEval):
    """Predict what a call returns."""

    name = "cruxeval_output"
    description = "800 Python functions: predict what a call returns"
    executes = False
    request = "What does the function return? Replace ?? in the assert by a literal."

    def question(self, arguments: str, output: str) -> str:
        return f"assert f({arguments}) == ??"

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        return []

    def verdict(self, task: Task, source: str, outcomes: Sequence[Outcome]) -> Verdict:
        text = source.strip()
        if text.startswith("assert") or f"f({task.data['input']})" in text:
            text = _right_of_equals(text)
        expected = ast.literal_eval(task.data["output"])
        try:
            found: Any = ast.literal_eval(text[:_LONGEST_LITERAL])
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            return Verdict(False, "error", error=f"no literal: {type(error).__name__}")
        same = type(found) is type(expected) and found == expected
        return Verdict(same, "ok" if same else "wrong", error="" if same else repr(found)[:200])

    def canonical(self, task: Task) -> str | None:
        return str(task.data["output"])


class CruxEvalInput(CruxEval):
    """Predict arguments that give an output."""

    name = "cruxeval_input"
    description = "800 Python functions: find arguments that give a certain output"
    request = "Which arguments give this result? Replace ?? in the assert by arguments."

    def question(self, arguments: str, output: str) -> str:
        return f"assert f(??) == {output}"

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        call = _call(source, task.data["code"])
        body = f"return {call}" if call else "raise ValueError('no call of f with plain arguments')"
        return [
            Pairs(
                source=f"{task.data['code']}\n\n\ndef predicted():\n    {body}\n",
                entry_point="predicted",
                inputs=[()],
                expected=[ast.literal_eval(task.data["output"])],
                limits=self.limits,
            )
        ]

    def canonical(self, task: Task) -> str | None:
        return f"f({task.data['input']})"


_UNREADABLE = (SyntaxError, ValueError, IndexError, MemoryError, RecursionError)


def _right_of_equals(text: str) -> str:
    """The right side of the comparison in `assert f(...) == ...`."""
    try:
        statement = ast.parse(text.strip()).body[0]
        if isinstance(statement, ast.Assert) and isinstance(statement.test, ast.Compare):
            return ast.unparse(statement.test.comparators[-1])
    except _UNREADABLE:
        return text.rpartition("==")[2].strip()
    return text


def _call(text: str, code: str) -> str:
    """The call `f(...)` that an answer makes, in its assert or alone, as one line; bare arguments
    become one. "" where there is none, or where its arguments do more than make plain values: they
    could change what f does.
    """
    try:
        statement = ast.parse(text.strip()).body[0]
        node: ast.AST | None = getattr(statement, "value", None)
        if isinstance(statement, ast.Assert):
            test = statement.test
            sides = [test.left, *test.comparators] if isinstance(test, ast.Compare) else [test]
            node = next((side for side in sides if _calls_f(side)), None)
        if node is None or not _is_plain(node, code):
            return ""
        return ast.unparse(node) if _calls_f(node) else f"f({ast.unparse(node)})"
    except _UNREADABLE:  # nested too deep, or with numbers of too many digits, among others
        return ""


def _calls_f(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "f"


def _is_plain(expression: ast.AST, code: str) -> bool:
    """Whether it is made of plain values, their methods, and constants of the code alone."""
    constants = [statement for statement in ast.parse(code).body if type(statement) is ast.Assign]
    nodes = [node for root in (expression, *constants) for node in ast.walk(root)]
    known = {node.arg for node in nodes if isinstance(node, ast.arg)}
    known |= {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    known = known.difference(dir(builtins)) | _KNOWN  # elsewhere such a name is the built-in one
    return all(
        (not isinstance(node, ast.Name) or node.id in known)
        and (not isinstance(node, ast.Attribute) or node.attr in _METHODS)
        for node in ast.walk(expression)
    )


BENCHMARKS = (CruxEvalInput(), CruxEvalOutput())
