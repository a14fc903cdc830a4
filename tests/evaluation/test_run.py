"""A whole run on a tiny model: files, equal bytes, clear refusals, families, command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from evaluation.__main__ import main
from evaluation.benchmarks.base import Benchmark, Result, Score, UnavailableError
from evaluation.benchmarks.humaneval import DATA, load_tasks
from evaluation.models import load_model, model_digest
from evaluation.run import Run, availability, evaluate
from evaluation.sandbox import SandboxError, ensure_level

pytestmark = pytest.mark.skipif(DATA.locate() is None, reason=str(DATA.missing()))
BENCHMARKS = ["humaneval", "humaneval_bpb", "humaneval_mutants"]


@pytest.fixture(autouse=True)
def sandbox_here() -> None:
    try:
        ensure_level()
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("chat", [False, True])
def test_a_run_writes_its_files_and_can_be_repeated(
    tiny_model: Path, tmp_path: Path, chat: bool
) -> None:
    out = tmp_path / "out"

    def run() -> list[Score]:
        return evaluate(
            tiny_model, BENCHMARKS, out, chat=chat, limit=5, max_new_tokens=16, name="tiny-random"
        )

    scores = run()
    found = {(score.benchmark, score.metric): score for score in scores}
    first = found["humaneval", "pass@1"]
    assert first.value == 0.0
    assert first.high == pytest.approx(0.4345, abs=1e-3)  # Wilson at 0 of 5
    assert (first.level, first.grade) == (ensure_level(), "judged")
    assert first.chat is chat
    assert found["humaneval_bpb", "bits_per_byte"].value > 1
    assert 0 <= found["humaneval_mutants", "accuracy"].value <= 1
    assert all(score.low <= score.value <= score.high for score in scores)
    summary = (out / "summary.json").read_bytes()
    told = json.loads(summary)
    assert told["model"]["digest"] == model_digest(tiny_model)
    assert "with 5 tasks at 0.0%" in told["detectable"]["humaneval"]
    assert str(tmp_path).encode() not in summary
    table = parquet.read_table(out / "results.parquet")
    main_scores = ("pass@1", "bits_per_byte", "accuracy")
    assert table.num_rows == sum(score.n for score in scores if score.metric in main_scores)
    assert set(table.column("model").to_pylist()) == {"tiny-random"}
    page = (out / "report.html").read_text()
    assert "tiny-random" in page
    assert "Failing samples (5)" in page
    rows = (out / "results.jsonl").read_bytes()

    # as after a kill while programs were checked: generations are whole, verdicts are torn
    (out / "results.jsonl").write_bytes(rows[: len(rows) // 3])
    for name in ("summary.json", "results.parquet", "report.html"):
        (out / name).unlink()
    assert run() == scores
    assert (out / "summary.json").read_bytes() == summary
    assert (out / "results.jsonl").read_bytes() == rows


def test_tasks_found_in_the_training_text_are_told(tiny_model: Path, tmp_path: Path) -> None:
    leaked = load_tasks()[1]
    text = leaked.prompt + leaked.data["canonical_solution"]
    (tmp_path / "training").mkdir()
    table = pa.table({"content": ["x = 1", text]})
    parquet.write_table(table, tmp_path / "training" / "a.parquet")
    evaluate(
        tiny_model,
        ["humaneval", "humaneval_bpb"],
        tmp_path / "out",
        limit=4,
        max_new_tokens=4,
        training=tmp_path / "training",
    )
    tables = json.loads((tmp_path / "out" / "summary.json").read_text())["tables"]
    assert tables["contamination_tasks"] == [
        {"benchmark": name, "task_id": leaked.task_id, "overlap": 1.0}
        for name in ("humaneval", "humaneval_bpb")
    ]
    assert [(row["benchmark"], row["tasks"], row["n"]) for row in tables["contamination"]] == [
        (name, group, count)
        for name in ("humaneval", "humaneval_bpb")
        for group, count in (("all", 4), ("untouched", 3), ("touched", 1))
    ]


def test_refusals_come_before_the_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ValueError, match="unknown benchmark"):
        evaluate(tmp_path / "no-model", ["nope"], tmp_path)
    with pytest.raises(UnavailableError, match="heldout: it needs a folder"):
        evaluate(tmp_path / "no-model", ["heldout"], tmp_path)
    with pytest.raises(ValueError, match="pass@5 needs at least 5 samples"):
        evaluate(tmp_path / "no-model", ["humaneval"], tmp_path, ks=[5], samples=2, temperature=1)
    with pytest.raises(ValueError, match="limit must be at least 1, found 0"):
        evaluate(tmp_path / "no-model", ["humaneval"], tmp_path, limit=0)
    with pytest.raises(ValueError, match="2 samples at temperature 0"):
        evaluate(tmp_path / "no-model", ["humaneval"], tmp_path, samples=2)
    with pytest.raises(FileNotFoundError, match="no model at"):
        evaluate(tmp_path / "no-model", ["humaneval_bpb"], tmp_path)
    with pytest.raises(FileNotFoundError, match="no model at owner/name, and the hub"):
        evaluate("owner/name", ["humaneval_bpb"], tmp_path)
    with pytest.raises(ValueError, match=r"found 0 \.gguf files"):
        load_model(tmp_path)


@pytest.mark.parametrize("device", ["cuda:99", "meta", "gpu"])
def test_a_device_that_is_not_there_is_named(tiny_model: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"device: expected one that torch .* found {device}"):
        load_model(tiny_model, device=device)


def test_the_digest_follows_content_not_place(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny_model, copy)
    assert model_digest(copy) == model_digest(tiny_model)
    config = json.loads((copy / "config.json").read_text())
    config["rope_theta"] = 1.0
    (copy / "config.json").write_text(json.dumps(config))
    assert model_digest(copy) != model_digest(tiny_model)


class Language(Benchmark):
    """One language of a family, only to be averaged."""

    metric, description, family = "pass@1", "", "translated"

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self, heldout: Path | None = None) -> str | None:
        return None

    def evaluate(self, context: object) -> Result:
        raise NotImplementedError


def test_a_family_gets_its_average_and_problems_are_drawn_whole(tmp_path: Path) -> None:
    run = Run(model="m", digest="")
    for language, tasks in (("a", 40), ("b", 20)):
        rows = [
            {
                "benchmark": language,
                "task_id": f"{language}{number}",
                "problem": f"p{number}",
                "sample": 0,
                "status": "ok",
                "error": "",
                "completion": "",
                "passed": number < 10,
                "passed_sanitised": number < 10,
            }
            for number in range(tasks)
        ]
        score = Score(language, "pass@1", 10 / tasks, 0, 1, tasks, "m", False, "strict", "judged")
        run.add(Language(language), Result(rows, [score]))
    run.write(tmp_path)
    average = run.scores[-1]
    assert (average.benchmark, average.metric, average.n) == ("translated average", "pass@1", 40)
    assert average.value == pytest.approx((10 / 40 + 10 / 20) / 2)  # languages weigh the same
    assert average.low < average.value < average.high


def test_command_line(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--benchmarks", "humaneval_bpb", "--limit", "3"]
    runs = [str(tmp_path / name) for name in ("a", "b")]
    for out in runs:
        assert main(["run", "--model", str(tiny_model), *arguments, "--out", out]) == 0
    assert "bits_per_byte" in capsys.readouterr().out
    assert main(["compare", *runs, "--out", str(tmp_path / "c.json")]) == 0
    assert "no difference shown" in capsys.readouterr().out
    assert json.loads((tmp_path / "c.json").read_text())[0]["difference"] == 0
    missing = ["run", "--model", str(tmp_path / "none"), *arguments, "--out", runs[0]]
    assert main(missing) == 1
    assert "error: no model at" in capsys.readouterr().err
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "multipl-e-java" in listed
    assert "not ready: it needs a folder of parquet" in listed
    assert main(["doctor"]) == 0
    assert "strict" in capsys.readouterr().out
    assert availability()["humaneval"] is None
