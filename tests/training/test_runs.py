"""Whole runs: bitwise resume, branching, export, refusals, planted trouble."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training import loop, prepare
from training.__main__ import main
from training.config import ConfigError, SourceConfig
from training.data import PackedBatches
from training.report import read_metrics
from training.runs import pretrain

ROOT = Path(__file__).resolve().parents[2]


def _same_tensors(left: Path, right: Path) -> bool:
    one, two = load_file(left), load_file(right)
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


def _same_runs(left: Path, right: Path) -> None:
    assert json.loads((left / "summary.json").read_text()) == json.loads(
        (right / "summary.json").read_text()
    )
    assert _same_tensors(left / "model/model.safetensors", right / "model/model.safetensors")
    assert _same_tensors(
        left / "trainer_state/optimizer.safetensors", right / "trainer_state/optimizer.safetensors"
    )
    assert (left / "trainer_state/state.json").read_bytes() == (
        right / "trainer_state/state.json"
    ).read_bytes()


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Make the next run stop itself after some steps, as a signal would."""

    def arrange(step: int) -> None:
        def reason(_: object, finished: int) -> str | None:
            return "test" if finished == step else None

        monkeypatch.setattr(loop.Stop, "reason", reason)

    yield arrange
    monkeypatch.undo()


def test_summary_and_folder(world: Any, finished_run: Path) -> None:
    summary = json.loads((finished_run / "summary.json").read_text())
    assert summary["steps"] == 12 and summary["tokens"] == 12 * 4 * 32
    assert summary["tokens_per_source"] == {"code": 12 * 4 * 32}
    bits = summary["heldout_bits_per_byte"]
    assert bits["after"] < bits["before"] - 0.2
    assert summary["skipped_steps"] == 0 and summary["parameters"] > 0
    assert sorted(path.name for path in finished_run.iterdir()) == [
        "logs",
        "model",
        "summary.json",
        "trainer_state",
    ]
    metrics = read_metrics(finished_run / "logs/metrics.jsonl")
    assert [line["step"] for line in metrics] == list(range(1, 13))
    assert metrics[0]["lr"] == pytest.approx(1.5e-3) and metrics[-1]["lr"] == 3e-3
    assert (finished_run / "logs/loss.png").stat().st_size > 5000
    assert json.loads((finished_run / "logs/timing.json").read_text())["seconds"]["train"] > 0


def test_exported_model_gives_equal_logits_and_ends_answers(finished_run: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from training.model import load_model

    model = load_model(finished_run / "model").eval()
    loaded = AutoModelForCausalLM.from_pretrained(finished_run / "model", local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(finished_run / "model", local_files_only=True)
    ids = tokenizer("import json\n", return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        difference = (loaded(input_ids=ids).logits - model(input_ids=ids).logits).abs().max()
    assert float(difference) < 1e-5
    ends = [tokenizer.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|im_end|>")]
    assert loaded.generation_config.eos_token_id == ends
    assert "<|im_start|>assistant" in tokenizer.chat_template


@pytest.mark.parametrize("step", [3, 5, 11])
def test_interrupted_and_resumed_equals_uninterrupted(
    world: Any, finished_run: Path, tmp_path: Path, stop_after: Any, step: int
) -> None:
    config = world.pretrain(tmp_path / "run", heldout=world.heldout)
    stop_after(step)
    with pytest.raises(loop.Interrupted):
        pretrain(config)
    assert (tmp_path / f"run/checkpoints/step-{step:06d}/state.json").is_file()
    stop_after(-1)
    pretrain(config)
    _same_runs(tmp_path / "run", finished_run)
    steps = [line["step"] for line in read_metrics(tmp_path / "run/logs/metrics.jsonl")]
    assert steps == list(range(1, 13))


def test_muon_resumes_bit_for_bit(world: Any, tmp_path: Path, stop_after: Any) -> None:
    whole, broken = (world.pretrain(tmp_path / name, optimizer="muon") for name in "ab")
    pretrain(whole)
    stop_after(7)
    with pytest.raises(loop.Interrupted):
        pretrain(broken)
    stop_after(-1)
    pretrain(broken)
    _same_runs(tmp_path / "a", tmp_path / "b")


def test_kill_9_then_the_same_command_equals_uninterrupted(
    world: Any, finished_run: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config = {
        "model": {**world.pretrain(tmp_path).model.__dict__},
        "tokenizer": str(world.tokenizer),
        "sources": [{"name": "code", "path": str(world.shards)}],
        "context_length": 32,
        "batch_size": 4,
        "micro_batch_size": 4,
        "steps": 12,
        "lr_peak": 3e-3,
        "warmup_steps": 2,
        "checkpoint_every_steps": 2,
        "heldout": str(world.heldout),
        "out": str(tmp_path / "run"),
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    # The first attempt is killed inside the writing of its third checkpoint.
    kill_in_write = (
        "import os, signal, sys\n"
        "from training import checkpoint\n"
        "from training.__main__ import main\n"
        "sync = checkpoint._sync\n"
        "def kill(path):\n"
        "    if 'step-000006' in str(path): os.kill(os.getpid(), signal.SIGKILL)\n"
        "    sync(path)\n"
        "checkpoint._sync = kill\n"
        f"sys.exit(main(['pretrain', '--config', {str(file)!r}]))\n"
    )
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run(
        [sys.executable, "-c", kill_in_write],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    folder = tmp_path / "run/checkpoints"
    assert sorted(path.name for path in folder.iterdir()) == [
        ".tmp-step-000006",
        "step-000002",
        "step-000004",
    ]
    with caplog.at_level(logging.INFO):
        assert main(["pretrain", "--config", str(file)]) == 0
    assert "continuing after step 4" in caplog.text
    _same_runs(tmp_path / "run", finished_run)


def test_sigterm_saves_and_exits_75(
    world: Any, tmp_path: Path, write_yaml: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = PackedBatches.plan

    def plan_and_terminate(self: PackedBatches, step: int) -> Any:
        if step == 4:
            os.kill(os.getpid(), signal.SIGTERM)
        return plan(self, step)

    monkeypatch.setattr(PackedBatches, "plan", plan_and_terminate)
    config = world.pretrain(tmp_path / "run")
    monkeypatch.setattr("training.__main__.load_config", lambda *_: config)
    assert main(["pretrain", "--config", "unused"]) == 75
    assert (tmp_path / "run/checkpoints/step-000005").is_dir()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_lost_parent_stops_the_run(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = iter([os.getppid()] * 3)
    monkeypatch.setattr(loop.os, "getppid", lambda: next(parents, 1))
    with pytest.raises(loop.Interrupted, match="parent"):
        pretrain(world.pretrain(tmp_path / "run"))
    assert (tmp_path / "run/checkpoints").is_dir()


def test_another_config_in_the_same_folder_is_refused(
    world: Any, finished_run: Path, tmp_path: Path, stop_after: Any
) -> None:
    config = world.pretrain(tmp_path / "run")
    stop_after(3)
    with pytest.raises(loop.Interrupted):
        pretrain(config)
    with pytest.raises(ConfigError, match=r"config\.lr_peak: 0\.003 -> 0\.001"):
        pretrain(replace(config, lr_peak=1e-3))
    with pytest.raises(ConfigError, match="seed"):
        pretrain(world.pretrain(finished_run, heldout=world.heldout, seed=1))
    finished = world.pretrain(finished_run, heldout=world.heldout, micro_batch_size=1)
    (finished_run / "checkpoints/step-000010").mkdir(parents=True)
    assert pretrain(finished)["steps"] == 12  # finished: returned, not run again
    assert not (finished_run / "checkpoints").exists()


def test_micro_batches_do_not_change_the_result(
    world: Any, finished_run: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    summary = pretrain(world.pretrain(out, micro_batch_size=3))
    expected = json.loads((finished_run / "summary.json").read_text())
    assert summary["final_loss"] == pytest.approx(expected["final_loss"], abs=1e-5)


def test_anneal_branches_with_weights_and_optimizer(
    world: Any, finished_run: Path, tmp_path: Path
) -> None:
    changes = {
        "init_from": finished_run,
        "model": None,
        "tokenizer": None,
        "decay": "exponential",
        "warmup_steps": 0,
        "lr_end": 1e-4,
        "steps": 6,
        "heldout": world.heldout,
        "sources": (
            SourceConfig(name="code", path=world.shards, weight=3.0),
            SourceConfig(name="extra", path=world.shards, weight=1.0),
        ),
    }
    summary = pretrain(world.pretrain(tmp_path / "anneal", **changes), name="anneal")
    before = json.loads((finished_run / "summary.json").read_text())
    bits = summary["heldout_bits_per_byte"]
    assert bits["before"] == before["heldout_bits_per_byte"]["after"]
    assert bits["after"] < bits["before"]
    assert summary["tokens_per_source"]["extra"] == pytest.approx(6 * 32, abs=32)
    lines = read_metrics(tmp_path / "anneal/logs/metrics.jsonl")
    assert lines[-1]["lr"] == pytest.approx(1e-4)
    state = load_file(tmp_path / "anneal/trainer_state/optimizer.safetensors")
    steps = [tensor for name, tensor in state.items() if name.startswith("step/")]
    assert {float(step) for step in steps} == {18.0}  # 12 of the stable run, 6 of its own


def test_anneal_branches_from_an_intermediate_checkpoint(
    world: Any, finished_run: Path, tmp_path: Path, stop_after: Any
) -> None:
    stop_after(6)
    with pytest.raises(loop.Interrupted):
        pretrain(world.pretrain(tmp_path / "run"))
    stop_after(-1)
    branch = tmp_path / "run/checkpoints/step-000006"
    config = world.pretrain(tmp_path / "branch", init_from=branch, steps=6, warmup_steps=0)
    # Constant rate, other data: still, the optimizer's history is the stable run's.
    pretrain(config)
    state = load_file(tmp_path / "branch/trainer_state/optimizer.safetensors")
    assert {float(t) for name, t in state.items() if name.startswith("step/")} == {12.0}


def test_wrong_inputs_are_refused(world: Any, finished_run: Path, tmp_path: Path) -> None:
    from training.config import ShardsConfig, TokenizerConfig
    from training.shards import write_shards
    from training.tokenizer import train_tokenizer

    other = tmp_path / "tok"
    train_tokenizer(TokenizerConfig(documents=world.documents, vocab_size=384, out=other))
    with pytest.raises(ConfigError, match="write the shards again"):
        pretrain(world.pretrain(tmp_path / "a", tokenizer=other))
    with pytest.raises(ConfigError, match="remove `tokenizer`"):
        pretrain(world.pretrain(tmp_path / "b", tokenizer=other, init_from=finished_run))
    write_shards(
        ShardsConfig(tokenizer=world.tokenizer, documents=world.heldout, out=tmp_path / "shards")
    )
    bigger = replace(world.pretrain(tmp_path).model, hidden_size=64)
    with pytest.raises(ConfigError, match=r"model\.hidden_size: expected 32"):
        pretrain(world.pretrain(tmp_path / "c", model=bigger, init_from=finished_run))
    with pytest.raises(ConfigError, match="optimizer: expected adamw"):
        pretrain(world.pretrain(tmp_path / "e", init_from=finished_run, optimizer="muon"))
    with pytest.raises(ConfigError, match="found neither"):
        pretrain(world.pretrain(tmp_path / "d", init_from=tmp_path / "nowhere"))


def test_a_gradient_that_is_not_finite_skips_its_step(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = prepare.new_model
    calls = {"count": 0}

    def poisoned(*arguments: Any, **keywords: Any) -> Any:
        model = make(*arguments, **keywords)

        def spoil(gradient: torch.Tensor) -> torch.Tensor:
            calls["count"] += 1
            return gradient * float("nan") if calls["count"] == 4 else gradient

        model.model.norm.weight.register_hook(spoil)
        return model

    monkeypatch.setattr(prepare, "new_model", poisoned)
    summary = pretrain(world.pretrain(tmp_path / "run"))
    lines = read_metrics(tmp_path / "run/logs/metrics.jsonl")
    assert [line["step"] for line in lines if line["skipped"]] == [4]
    assert lines[3]["grad_norm"] is None
    assert summary["skipped_steps"] == 1 and summary["final_loss"] < lines[0]["loss"]
    for tensor in load_file(tmp_path / "run/model/model.safetensors").values():
        assert bool(tensor.isfinite().all())
