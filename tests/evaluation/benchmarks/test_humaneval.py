"""HumanEval: every canonical solution passes, wrong ones do not, raw and sanitised both told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.benchmarks.humaneval import DATA, HumanEval, load_tasks
from evaluation.benchmarks.python_functions import IMPORTS, program
from evaluation.run import score_samples
from evaluation.sandbox import Sandbox

pytestmark = [
    pytest.mark.skipif(DATA.locate() is None, reason=str(DATA.missing())),
    pytest.mark.usefixtures("sandbox_here"),
]


def write_samples(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_all_canonical_solutions_pass(tmp_path: Path) -> None:
    rows = [
        {"task_id": task.task_id, "completion": task.data["canonical_solution"]}
        for task in load_tasks()
    ]
    samples = write_samples(tmp_path / "canonical.jsonl", rows)
    scores = score_samples("humaneval", samples, tmp_path / "out")
    by_metric = {score.metric: score for score in scores}
    assert by_metric["pass@1"].value == 1.0
    assert by_metric["pass@1"].n == 164
    assert by_metric["pass@1"].low == pytest.approx(0.9771, abs=1e-3)
    assert by_metric["pass@1"].grade == "judged"
    assert by_metric["pass@1_sanitised"].value == 1.0
    assert by_metric["syntax_valid"].value == 1.0
    assert {json.loads(line)["status"] for line in (tmp_path / "out/results.jsonl").open()} == {
        "ok"
    }


def test_chat_answers_keep_the_prompts_helpers() -> None:
    # HumanEval/38 tests with a helper that only the prompt defines
    task = next(task for task in load_tasks() if task.task_id == "HumanEval/38")
    benchmark = HumanEval()
    whole = f"def {task.data['entry_point']}(s: str):\n{task.data['canonical_solution']}"
    text = f"Here you are:\n```python\n{whole}```\nIt works because of symmetry."
    modern = f"```python\nfrom __future__ import annotations\n\n{whole}```"
    body_only = f"```python\n{task.data['canonical_solution']}```"
    with Sandbox(workers=1) as sandbox:
        for answer in (text, body_only, modern):
            raw, _ = benchmark.programs(task, answer, chat=True)
            assert sandbox.run(benchmark.checks(task, raw)[0]).passed


def test_answers_may_use_packages() -> None:
    task = next(task for task in load_tasks() if task.task_id == "HumanEval/4")
    answer = (
        "import numpy as np\n"
        + task.prompt
        + "    return np.abs(numbers - np.mean(numbers)).mean()"
    )
    with Sandbox(workers=1) as sandbox:
        assert sandbox.run(HumanEval().checks(task, answer)[0]).passed
        wrong = answer.replace("np.abs", "np.add(1, numbers).sum() + np.abs")
        assert not sandbox.run(HumanEval().checks(task, wrong)[0]).passed


def test_what_must_stand_first_does() -> None:
    for first in (
        "from __future__ import annotations",
        "\ufefffrom __future__ import (\n  division)",
    ):
        code = program(f"{first}\n\ndef f(): return math.inf\n")
        compile(code, "answer", "exec", dont_inherit=True)
    assert program("x = 1") == IMPORTS + "x = 1"


def test_sanitising_rescues_prose_and_finds_the_right_block(tmp_path: Path) -> None:
    task = load_tasks()[0]
    solution = task.data["canonical_solution"]
    prose = {"task_id": task.task_id, "completion": solution + "\nThis compares all pairs.\n"}
    scores = score_samples("humaneval", write_samples(tmp_path / "s", [prose]), tmp_path / "o")
    found = {score.metric: score.value for score in scores}
    assert (found["pass@1"], found["pass@1_sanitised"], found["syntax_valid"]) == (0.0, 1.0, 0.0)
    whole = f"def {task.data['entry_point']}(numbers, threshold):\n{solution}"
    text = f"First:\n```python\nx = 1\n```\nThen:\n```python\n{whole}```\n"
    chat = {"task_id": task.task_id, "completion": text}
    scores = score_samples(
        "humaneval", write_samples(tmp_path / "c", [chat]), tmp_path / "oc", chat=True
    )
    assert [score.value for score in scores[:2]] == [0.0, 1.0]


def test_several_samples_give_pass_at_k_over_tasks(tmp_path: Path) -> None:
    rows = []
    for task in load_tasks()[:4]:
        good = {"task_id": task.task_id, "completion": task.data["canonical_solution"]}
        bad = {"task_id": task.task_id, "completion": "    return None\n"}
        rows += [good, bad] if task.task_id.endswith(("0", "1")) else [bad, bad]
    scores = score_samples("humaneval", write_samples(tmp_path / "s.jsonl", rows), tmp_path / "o")
    found = {score.metric: score.value for score in scores}
    assert found["pass@1"] == pytest.approx(0.25)
    assert found["pass@2"] == pytest.approx(0.5)


def test_bad_sample_rows_name_file_and_line(tmp_path: Path) -> None:
    good = {"task_id": "HumanEval/0", "completion": "    return True"}
    unknown = write_samples(tmp_path / "a.jsonl", [good, {"task_id": "X/1", "completion": ""}])
    with pytest.raises(ValueError, match=r"a\.jsonl line 2: task_id 'X/1'"):
        score_samples("humaneval", unknown, tmp_path / "o")
    empty = write_samples(tmp_path / "b.jsonl", [{"task_id": "HumanEval/0"}])
    with pytest.raises(ValueError, match="completion"):
        score_samples("humaneval", empty, tmp_path / "o")
    with pytest.raises(ValueError, match="executes no programs"):
        score_samples("humaneval_bpb", empty, tmp_path / "o")
