"""HumanEval: every canonical solution passes, wrong and hostile ones do not, data is checked."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from evaluation.benchmarks import registry, select
from evaluation.benchmarks.base import UnavailableError
from evaluation.benchmarks.data import SETTING, DataFile
from evaluation.benchmarks.humaneval import BENCHMARK, DATA, load_tasks
from evaluation.run import score_samples
from evaluation.sandbox import SandboxError, ensure_level, run_programs

SHARED = Path(__file__).resolve().parents[4] / "shared"
ORACLE = SHARED / "fixtures" / "eval_oracle" / "humaneval_samples.jsonl.gz"

needs_data = pytest.mark.skipif(DATA.missing() is not None, reason=str(DATA.missing()))


@pytest.fixture(autouse=True)
def sandbox_here() -> None:
    try:
        ensure_level()
    except SandboxError as error:
        pytest.skip(str(error))


def write_samples(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@needs_data
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
    assert by_metric["pass@1_sanitised"].value == 1.0
    assert {json.loads(line)["status"] for line in (tmp_path / "out/results.jsonl").open()} == {
        "ok"
    }


@needs_data
def test_chat_answers_keep_the_prompts_helpers() -> None:
    # HumanEval/38 tests with a helper that only the prompt defines
    task = next(task for task in load_tasks() if task.task_id == "HumanEval/38")
    whole = f"def {task.data['entry_point']}(s: str):\n{task.data['canonical_solution']}"
    text = f"Here you are:\n```python\n{whole}```\nIt works because of symmetry."
    body_only = f"```python\n{task.data['canonical_solution']}```"
    answers = [BENCHMARK.answer(task, 0, answer, chat=True) for answer in (text, body_only)]
    assert [o.passed for o in run_programs([answer.program for answer in answers])] == [True, True]


@needs_data
def test_sanitising_rescues_trailing_prose_and_both_verdicts_are_kept(tmp_path: Path) -> None:
    task = load_tasks()[0]
    rows = [
        {
            "task_id": task.task_id,
            "completion": task.data["canonical_solution"] + "\nThis function compares all pairs.\n",
        }
    ]
    scores = score_samples("humaneval", write_samples(tmp_path / "s.jsonl", rows), tmp_path / "o")
    assert [score.value for score in scores] == [0.0, 1.0]


@needs_data
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


@needs_data
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


def test_data_comes_from_the_folder_setting_and_is_hash_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = b'{"a": 1}\n'
    file = DataFile(name="Demo.jsonl", sha256="9e4f" + "0" * 60, how_to_get="make it")
    monkeypatch.delenv(SETTING, raising=False)
    with pytest.raises(UnavailableError, match=r"Demo\.jsonl not found; make it"):
        file.rows()
    monkeypatch.setenv(SETTING, str(tmp_path))
    (tmp_path / "Demo.jsonl.gz").write_bytes(gzip.compress(text))
    with pytest.raises(ValueError, match="expected sha256 9e4f"):
        file.rows()
    right = DataFile("Demo.jsonl", hashlib.sha256(text).hexdigest(), "make it")
    assert right.rows() == [{"a": 1}]


def test_registry_finds_modules_and_refuses_unknown_names() -> None:
    assert {"humaneval", "humaneval_bpb", "heldout"} <= set(registry())
    with pytest.raises(ValueError, match="known: heldout"):
        select(["humanevil"])


@pytest.mark.slow
@needs_data
@pytest.mark.skipif(not ORACLE.exists(), reason="the execution oracle is not beside the checkout")
def test_verdicts_agree_with_the_oracle() -> None:
    tasks = {task.task_id: task for task in load_tasks()}
    rows = [json.loads(line) for line in gzip.decompress(ORACLE.read_bytes()).splitlines()]
    # the first two may pass where a program may use its own folder and start programs; the oracle
    # compares floats with a tolerance, HumanEval's own asserts mostly do not
    left_out = ("chdir_write", "subprocess", "tiny_noise")
    rows = [row for row in rows if row["variant"] not in left_out]
    step = max(1, len(rows) // 150)
    rows = rows[::step][:150]
    programs = [BENCHMARK.solution_program(tasks[row["task_id"]], row["solution"]) for row in rows]
    differ = [
        (row["task_id"], row["variant"], row["base_status"], outcome.status)
        for row, outcome in zip(rows, run_programs(programs, limits=BENCHMARK.limits), strict=True)
        if outcome.passed != (row["base_status"] == "pass")
    ]
    assert differ == []
