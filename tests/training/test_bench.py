"""The speed benchmark: every kind of row on a CPU, from the source tree and few packages alone."""

import itertools
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from training import bench
from training.bench_data import given_shards, real_shards, synthetic_shards
from training.bench_table import TRAINER, Case, Row, markdown
from training.config import BenchConfig, ConfigError, load_config

ROOT = Path(__file__).resolve().parents[2]

# What a GPU machine need not have. Whatever training/ imports must do without them.
WITHOUT_EXTRAS = """
import sys
absent = {"pyarrow", "mlflow", "matplotlib", "pydantic", "dagster", "dagster_pipes", "duckdb",
          "pyspark", "liger_kernel", "torchao", "flash_attn", "assets", "orchestration"}
from importlib.machinery import PathFinder
class Others:
    find_distributions = staticmethod(PathFinder.find_distributions)
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in absent:
            return PathFinder.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(PathFinder)] = Others()
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


def test_every_kind_of_row_without_network_or_extras(tmp_path: Path) -> None:
    settings = (
        "num_hidden_layers=1", "context_length=64", "batch_size=4", "micro_batch_size=2",
        "warmup_steps=1", "steps=2", "attention=[sdpa, varlen]",
        "variants=[loss, checkpointing, fp8, trainer]", f"out={tmp_path / 'rows.json'}",
    )  # fmt: skip
    arguments = ["bench", "--preset", "starter"]
    for setting in settings:
        arguments += ["--set", setting]
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "rows.json").read_text())
    rows = report["rows"]
    assert [(row["case"]["data"], row["case"]["engine"], row["loss"]) for row in rows] == [
        ("synthetic", "ours", "chunked"),
        ("real", "ours", "chunked"),
        ("synthetic", TRAINER, "plain"),
        ("real", TRAINER, "plain"),
        ("synthetic", "ours", "plain"),
        ("synthetic", "ours", "chunked"),  # checkpointing
        ("synthetic", "ours", ""),  # fp8
        ("real", "ours", "plain"),
        ("real", "ours", "chunked"),
        ("real", "ours", ""),
    ]
    failed = [row for row in rows if row["failure"] is not None]
    assert failed == [rows[6], rows[9]]
    assert all("fp8 needs a CUDA device" in row["failure"] for row in failed)
    measured = [row for row in rows if row["failure"] is None]
    assert all(row["tokens_per_second"] > 0 and row["micro_batch_size"] == 2 for row in measured)
    ours = [row for row in measured if row["case"]["engine"] == "ours"]
    assert all(0 < row["data_and_logging_share"] < 1 for row in ours)
    # Plain and chunked loss of the same seeded model; the Trainer's model is the same one.
    assert rows[4]["final_loss"] == pytest.approx(rows[0]["final_loss"], abs=1e-4)
    assert rows[2]["final_loss"] == pytest.approx(rows[0]["final_loss"], abs=0.1)
    assert report["device"].startswith("CPU") and report["model"] == "starter, cut to 1 of 4 blocks"
    assert all(row["mfu"] is None for row in rows)  # nobody knows this device's peak
    assert list(report["refused"]) == ["varlen"]
    table = [line for line in done.stdout.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows) and "MFU (PaLM)" in table[0]
    assert "- varlen: not run: it needs a CUDA device" in done.stdout


def test_table_has_ratios_and_reasons() -> None:
    ours = Row(Case("real", "varlen", "auto"), 4, "liger", True, 39_000.0, 0.504, 60 << 30, 0.004)
    peer = Row(Case("real", "sdpa", "never", engine=TRAINER), 2, "plain", False, 19_500.0)
    failed = Row(Case("real", "eager", "auto"), 1, failure="out of memory at 1")
    text = markdown({"device": "X"}, [ours, failed, peer], {"flash_attention_3": "not there"})
    assert "| 39,000 | 50.4% | 60.0 GiB | 0.40% | 2.00 |" in text
    assert "- flash_attention_3: not run: not there" in text
    assert "- ours, real, eager, auto: out of memory at 1" in text


def test_memory_that_runs_out_halves_the_micro_batch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tried: list[int] = []

    def run(_: object, case: Case, micro: int, __: object) -> Row:
        tried.append(micro)
        if micro > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 12.7 GiB")
        return Row(case, micro, tokens_per_second=1.0)

    monkeypatch.setattr(bench, "run_ours", run)
    monkeypatch.setattr(bench, "_free", lambda _: None)
    subject = bench.Bench(
        BenchConfig(preset="starter"), bench.PRESETS["starter"], torch.device("cpu"), "fp32",
        16, 8, 64, {},
    )  # fmt: skip
    case = Case("synthetic", "sdpa", "never")
    first = bench._measure(subject, case, 8, tmp_path)
    assert first.micro_batch_size == 2 and tried == [8, 4, 2]
    on_other_data = replace(case, data="real")
    assert bench._first_micro_batch(subject, on_other_data, [first]) == 2
    assert bench._first_micro_batch(subject, replace(case, loss="plain"), [first]) == 8
    monkeypatch.setattr(bench, "run_ours", lambda *_: run(_[0], _[1], 99, _[3]))
    assert "out of memory at 1" in (bench._measure(subject, case, 8, tmp_path).failure or "")


def test_an_interrupt_keeps_the_rows_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[Case] = []

    def measure(_: object, case: Case, micro: int, __: object) -> Row:
        measured.append(case)
        if len(measured) == 2:
            raise KeyboardInterrupt
        return Row(case, micro, tokens_per_second=1234.0)

    monkeypatch.setattr(bench, "_measure", measure)
    settings = ("preset=starter", "context_length=64", "data=[synthetic]")
    config = load_config(BenchConfig, None, list(settings))
    table = [line for line in bench.run_bench(config).splitlines() if line.startswith("|")]
    assert len(table) == 2 + 1 and "1,234" in table[2]
    measured[:] = measured[:1]
    with pytest.raises(KeyboardInterrupt):
        bench.run_bench(config)


def test_shards_of_the_benchmark(tmp_path: Path) -> None:
    random = synthetic_shards(tmp_path / "synthetic", 20_000, 96_640)
    assert random.index.tokens >= 20_000 and int(random.tokens.max()) < 96_640
    assert random.index.documents > 5 and int((random.tokens == 0).sum()) == random.index.documents
    text = real_shards(tmp_path / "real", 20_000, 1024)
    assert text.index.tokens >= 20_000 and int(text.tokens.max()) < 1024
    assert given_shards(tmp_path / "real", 2048).index == text.index
    with pytest.raises(ConfigError, match="vocabulary of at most 2048"):
        given_shards(tmp_path / "synthetic", 2048)


def test_bench_needs_no_file_and_refuses_unknown_names() -> None:
    config = load_config(BenchConfig, None, ["preset=8b", "num_hidden_layers=4"])
    assert config.preset == "8b" and config.num_hidden_layers == 4
    with pytest.raises(ConfigError, match=r"command line: attention\[0\]: expected one of flash"):
        load_config(BenchConfig, None, ["attention=[fast]"])


def test_documented_commands_are_valid() -> None:
    text = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    commands = re.findall(r"python -m training bench ([^`#\n]*)", text)
    assert len(commands) >= 5
    for command in commands:
        words = command.split()
        overrides = [word for flag, word in itertools.pairwise(words) if flag == "--set"]
        preset = words[words.index("--preset") + 1]
        load_config(BenchConfig, None, [f"preset={preset}", *overrides])
