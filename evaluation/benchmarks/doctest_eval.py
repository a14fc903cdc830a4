"""doctest-eval: functions of held-out repositories, checked by the examples in their own
docstrings.

A task is a Python function of the held-out documents whose docstring has examples and whose module,
as it stands, passes them here. The model gets the module up to the end of the docstring and writes
the body. The examples run beside the answer, so verdicts are in-process. No task is in any public
benchmark, and none was trained on.
"""

from __future__ import annotations

import ast
import doctest
from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.benchmarks.base import Context, Result, UnavailableError
from evaluation.benchmarks.generative import GenerativeBenchmark, Runs, Task
from evaluation.benchmarks.heldout import read_documents
from evaluation.benchmarks.python_functions import STOP_CHAT, answered, completed
from evaluation.sandbox import Job, Program

_MOST_PROMPT_CHARACTERS = 6000
_STOP = ("<|endoftext|>", "</s>", "\ndef ", "\nclass ", "\nif __name__", "\n@", "\n```")
EXAMPLES = """
import doctest as _doctest
_globals = dict(globals())
_tests = _doctest.DocTestParser().get_doctest({docstring!r}, _globals, {name!r}, None, None)
_said = []
_outcome = _doctest.DocTestRunner(verbose=False).run(_tests, out=_said.append, clear_globs=False)
assert _outcome.attempted > 0, "no example ran"
assert _outcome.failed == 0, "".join(_said)[-400:]
"""


class DoctestEval(GenerativeBenchmark):
    """See the module. Its tasks depend on --heldout, so they are found anew for each run."""

    name = "doctest_eval"
    description = "functions of held-out repositories, checked by their own doctests"

    def __init__(self, found: Sequence[Task] = ()) -> None:
        self._found = list(found)

    def missing(self, heldout: Path | None = None) -> str | None:
        if heldout is None:
            return "it needs a folder of parquet documents (--heldout DIR)"
        return None if list(Path(heldout).rglob("*.parquet")) else f"no *.parquet below {heldout}"

    def tasks(self) -> list[Task]:
        return list(self._found)

    def evaluate(self, context: Context) -> Result:
        self.prepare(context.heldout)
        assert context.heldout is not None
        candidates = [
            task
            for document in read_documents(context.heldout)
            if document.language == "Python"
            for task in tasks_of(document.doc_id, document.content)
        ]
        with Runs(context.out, context.workers) as runs:
            sound = [
                task
                for task, outcome in zip(
                    candidates,
                    runs.sandbox.map(self.checks(t, t.data["module"])[0] for t in candidates),
                    strict=True,
                )
                if outcome.passed
            ]
        if not sound:
            raise UnavailableError(
                f"{self.name}: of {len(candidates)} functions with examples below "
                f"{context.heldout}, none passes its own examples here"
            )
        return GenerativeBenchmark.evaluate(DoctestEval(sound), context)

    def instruction(self, task: Task) -> str:
        return (
            f"Complete the function {task.data['name']} at the end of this Python module. Answer "
            f"with the whole function in one Python code block:\n\n```python\n{task.prompt}\n```\n"
        )

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return STOP_CHAT if chat else _STOP

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat:
            return answered(task.prompt, completion, task.data["name"])
        return completed(task.prompt, completion)

    def checks(self, task: Task, source: str) -> Sequence[Job]:
        test = EXAMPLES.format(docstring=task.data["docstring"], name=task.data["name"])
        return [Program(source=source, test=test, limits=self.limits)]

    def canonical(self, task: Task) -> str | None:
        return str(task.data["module"])


def tasks_of(doc_id: str, content: str) -> Iterator[Task]:
    """Top-level functions whose docstring has examples with results, as tasks."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    lines = content.splitlines(keepends=True)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if docstring is None or len(node.body) < 2 or not _has_examples(docstring):
            continue
        prompt = "".join(lines[: node.body[0].end_lineno])
        if len(prompt) > _MOST_PROMPT_CHARACTERS:
            continue
        yield Task(
            task_id=f"{doc_id[:16]}/{node.name}/{node.lineno}",
            prompt=prompt,
            data={
                "name": node.name,
                "docstring": docstring,
                "module": "".join(lines[: node.end_lineno]),
            },
        )


def _has_examples(docstring: str) -> bool:
    try:
        return any(example.want for example in doctest.DocTestParser().get_examples(docstring))
    except ValueError:
        return False


BENCHMARKS = (DoctestEval(),)
