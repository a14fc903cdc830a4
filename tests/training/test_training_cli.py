"""The command line: data commands, exit codes, help, Dagster Pipes, lean imports."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.__main__ import main

ROOT = Path(__file__).resolve().parents[2]


def test_tokenizer_and_shards_from_files(
    world: Any, tmp_path: Path, write_yaml: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write_yaml(f"documents: {world.documents}\nvocab_size: 384\nout: {tmp_path / 'tok'}\n")
    assert main(["tokenizer", "--config", str(file), "--set", "max_bytes=9000"]) == 0
    assert json.loads(capsys.readouterr().out)["vocab_size"] == 384
    file = write_yaml(f"tokenizer: {tmp_path / 'tok'}\ndocuments: {world.documents}\nout: x\n")
    assert main(["shards", "--config", str(file), "--set", f"out={tmp_path / 'shards'}"]) == 0
    assert json.loads(capsys.readouterr().out)["documents"] == 4


def test_bad_config_exits_2_with_one_clear_line(
    tmp_path: Path, write_yaml: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_yaml("documents: d\nvocab_size: 1000\nout: o\n")
    assert main(["tokenizer", "--config", str(file)]) == 2
    assert f"{file}: vocab_size: expected a multiple of 128, found 1000" in caplog.text
    file = write_yaml(f"tokenizer: {tmp_path}\ndocuments: d\nout: o\n")
    assert main(["shards", "--config", str(file)]) == 2


def test_a_path_with_nothing_there_is_refused_by_its_key(
    world: Any, tmp_path: Path, write_yaml: Any, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_yaml(
        f"""
        model: {{hidden_size: 32, num_attention_heads: 2, num_key_value_heads: 2}}
        tokenizer: {world.tokenizer}
        sources: [{{name: code, path: data/shards}}]
        context_length: 32
        batch_size: 2
        micro_batch_size: 2
        steps: 2
        out: {tmp_path / "run"}
        """
    )
    assert main(["pretrain", "--config", str(file)]) == 2
    place = f"{file}: sources[0].path: expected a file or folder that exists"
    assert f"{place}, found nothing at {Path.cwd() / 'data/shards'}" in caplog.text


@pytest.mark.parametrize("command", ["tokenizer", "shards", "pretrain", "anneal", "sft"])
def test_help_lists_the_keys(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0 and "--set" in text and "out" in text and "required" in text


def test_anneal_needs_a_run_and_decays_by_default(
    world: Any, finished_run: Path, tmp_path: Path, write_yaml: Any, caplog: Any
) -> None:
    file = write_yaml(
        f"""
        sources: [{{name: code, path: {world.shards}}}]
        context_length: 32
        batch_size: 2
        micro_batch_size: 2
        steps: 2
        lr_peak: 1.0e-3
        lr_end: 1.0e-4
        out: {tmp_path / "run"}
        """
    )
    assert main(["anneal", "--config", str(file)]) == 2
    assert "init_from" in caplog.text
    assert main(["anneal", "--config", str(file), "--set", f"init_from={finished_run}"]) == 0
    lines = (tmp_path / "run/logs/metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["lr"] == pytest.approx(1e-4)
    assert json.loads((tmp_path / "run/summary.json").read_text())["command"] == "anneal"


def test_pipes_gets_progress_and_the_summary(
    world: Any, tmp_path: Path, write_yaml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dagster_pipes", reason="training itself does without Dagster")
    from dagster_pipes import encode_param

    messages = tmp_path / "messages"
    context = tmp_path / "context.json"
    context.write_text(
        json.dumps(
            {
                "asset_keys": None,
                "code_version_by_asset_key": None,
                "provenance_by_asset_key": None,
                "partition_key": None,
                "partition_key_range": None,
                "partition_time_window": None,
                "run_id": "run",
                "job_name": None,
                "retry_number": 0,
                "extras": {},
            }
        )
    )
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", encode_param({"path": str(context)}))
    monkeypatch.setenv("DAGSTER_PIPES_MESSAGES", encode_param({"path": str(messages)}))
    file = write_yaml(f"tokenizer: {world.tokenizer}\ndocuments: {world.documents}\nout: x\n")
    assert main(["shards", "--config", str(file), "--set", f"out={tmp_path / 'shards'}"]) == 0
    lines = [json.loads(line) for line in messages.read_text().splitlines()]
    methods = [line["method"] for line in lines]
    assert methods[0] == "opened" and methods[-1] == "closed" and "log" in methods
    (custom,) = [line for line in lines if line["method"] == "report_custom_message"]
    assert custom["params"]["payload"]["summary"]["documents"] == 4


def test_data_commands_do_not_import_torch() -> None:
    code = (
        "import sys, training.__main__, training.tokenizer, training.shards; "
        "heavy = {'torch', 'transformers', 'dagster', 'dagster_pipes', 'mlflow', 'pyspark'}; "
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
