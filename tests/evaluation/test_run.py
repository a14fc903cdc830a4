"""A whole run on a tiny model: files, resuming, equal bytes, clear refusals, command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as parquet
import pytest

from evaluation.__main__ import main
from evaluation.benchmarks.base import UnavailableError
from evaluation.benchmarks.humaneval import DATA
from evaluation.models import load_model, model_digest
from evaluation.run import availability, evaluate
from evaluation.sandbox import SandboxError, ensure_level

pytestmark = pytest.mark.skipif(DATA.missing() is not None, reason=str(DATA.missing()))
BENCHMARKS = ["humaneval", "humaneval_bpb"]


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
    scores = evaluate(
        tiny_model, BENCHMARKS, out, chat=chat, limit=5, max_new_tokens=16, name="tiny-random"
    )
    assert [score.metric for score in scores] == ["pass@1", "pass@1_sanitised", "bits_per_byte"]
    assert scores[0].value == 0.0
    assert scores[0].high == pytest.approx(0.4345, abs=1e-3)  # Wilson at 0 of 5
    assert scores[0].level == ensure_level()
    assert scores[0].chat is chat
    summary = (out / "summary.json").read_bytes()
    assert json.loads(summary)["model"]["digest"] == model_digest(tiny_model)
    assert str(tmp_path).encode() not in summary
    table = parquet.read_table(out / "results.parquet")
    assert table.num_rows == 10
    assert set(table.column("model").to_pylist()) == {"tiny-random"}
    assert "tiny-random" in (out / "report.html").read_text()
    rows = (out / "results.jsonl").read_bytes()

    # as after a kill while programs were checked: generations are whole, verdicts are torn
    (out / "results.jsonl").write_bytes(rows[: len(rows) // 3])
    for name in ("summary.json", "results.parquet", "report.html"):
        (out / name).unlink()
    again = evaluate(
        tiny_model, BENCHMARKS, out, chat=chat, limit=5, max_new_tokens=16, name="tiny-random"
    )
    assert again == scores
    assert (out / "summary.json").read_bytes() == summary
    assert (out / "results.jsonl").read_bytes() == rows


def test_refusals_come_before_the_model_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown benchmark"):
        evaluate(tmp_path / "no-model", ["nope"], tmp_path)
    with pytest.raises(UnavailableError, match="heldout: it needs a folder"):
        evaluate(tmp_path / "no-model", ["heldout"], tmp_path)
    with pytest.raises(FileNotFoundError, match="no model at"):
        evaluate(tmp_path / "no-model", ["humaneval_bpb"], tmp_path)
    with pytest.raises(ValueError, match=r"found 0 \.gguf files"):
        load_model(tmp_path)


def test_the_digest_follows_content_not_place(tiny_model: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "elsewhere"
    shutil.copytree(tiny_model, copy)
    assert model_digest(copy) == model_digest(tiny_model)
    config = json.loads((copy / "config.json").read_text())
    config["rope_theta"] = 1.0
    (copy / "config.json").write_text(json.dumps(config))
    assert model_digest(copy) != model_digest(tiny_model)


def test_command_line(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--benchmarks", "humaneval_bpb", "--out", str(tmp_path / "o"), "--limit", "2"]
    assert main(["run", "--model", str(tiny_model), *arguments]) == 0
    assert "bits_per_byte" in capsys.readouterr().out
    assert main(["run", "--model", str(tmp_path / "none"), *arguments]) == 1
    assert "error: no model at" in capsys.readouterr().err
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert "humaneval" in listed
    assert "not ready: it needs a folder of parquet" in listed
    assert main(["doctor"]) == 0
    assert "sandbox level in force" in capsys.readouterr().out
    assert availability()["humaneval"] is None
