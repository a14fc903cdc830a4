"""Whole runs: bitwise resume, branching, export, refusals, planted trouble."""

import errno
import json
import logging
import os
import random
import shutil
import signal
import socket
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from training import export, loop, prepare, report, runs
from training.__main__ import main
from training.config import ConfigError, PretrainConfig, SourceConfig
from training.data import PackedBatches, Rows
from training.report import read_metrics
from training.runs import pretrain
from training.shards import open_shards


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


def _write_config(config: PretrainConfig, file: Path) -> Path:
    """The config as a file, for a process of its own."""
    values = {key: value for key, value in asdict(config).items() if value is not None}
    file.write_text(json.dumps(values, default=str))
    return file


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
    metrics = list(read_metrics(finished_run / "logs/metrics.jsonl"))
    assert [line["step"] for line in metrics] == list(range(1, 13))
    assert metrics[0]["lr"] == pytest.approx(1.5e-3) and metrics[-1]["lr"] == 3e-3
    assert all(0 <= line["data_wait_share"] <= 1 for line in metrics)
    assert all(line["memory_bytes"] > 1e6 and line["tokens_per_second"] > 0 for line in metrics)
    assert metrics[-1]["heldout_bits_per_byte"] == bits["after"]
    assert all(line["mfu"] is None for line in metrics)  # nobody knows the peak of a CPU
    assert (finished_run / "logs/loss.png").stat().st_size > 5000
    assert json.loads((finished_run / "logs/timing.json").read_text())["seconds"]["train"] > 0


@pytest.mark.parametrize("step", [5, 11])
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


_KILLED = """
    import os, signal
    from training import checkpoint
    from training.__main__ import main
    from training.data import PackedBatches

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def plan(self, step, plan=PackedBatches.plan):
        return die() if step == {at_step} else plan(self, step)

    def sync(path, sync=checkpoint.sync):
        die() if "tmp-step-{in_write:06d}" in str(path) else sync(path)

    PackedBatches.plan, checkpoint.sync = plan, sync
    main(["pretrain", "--config", {file!r}])
"""


def test_killed_at_random_and_resumed_equals_uninterrupted(
    world: Any, tmp_path: Path, run_processes: Any, caplog: pytest.LogCaptureFixture
) -> None:
    config = world.pretrain(tmp_path / "whole", steps=40, checkpoint_every_steps=3)
    pretrain(config)
    file = _write_config(replace(config, out=tmp_path / "run"), tmp_path / "config.json")
    # Killed before a random step, while the checkpoint before it may be in the making; then, going
    # on, inside the writing of a later checkpoint; then it finishes.
    step = random.SystemRandom().randrange(1, 30)
    written = 3 * random.SystemRandom().randrange(step // 3 + 1, 13)
    places = [(step, 0), (-1, written)]
    for at_step, in_write in places:
        code = _KILLED.format(at_step=at_step, in_write=in_write, file=str(file))
        assert run_processes(textwrap.dedent(code)) == [-signal.SIGKILL], places
    checkpoints = {path.name for path in (tmp_path / "run/checkpoints").iterdir()}
    assert f".tmp-step-{written:06d}" in checkpoints, places
    with caplog.at_level(logging.INFO):
        assert main(["pretrain", "--config", str(file)]) == 0
    if written > 3:
        assert "continuing after step" in caplog.text, places
    _same_runs(tmp_path / "run", tmp_path / "whole")
    assert not (tmp_path / "run/checkpoints").exists()


_ONE_OF_TWO = """
    import hashlib, json, os
    os.environ |= {environment!r}
    from training import loop
    from training.__main__ import main
    from training.data import PackedBatches

    def rows(self, step, indices, rows=PackedBatches.rows):
        found = rows(self, step, indices)
        with open({log!r}, "a") as stream:
            for index, row in zip(indices, found.inputs.tolist()):
                print(json.dumps([step, index, row]), file=stream)
        return found

    PackedBatches.rows = rows
    if {rank} == 1:  # one process is asked to stop, both do
        loop.Stop.reason = lambda self, finished: "test" if finished == 3 else None
    raise SystemExit(main(["pretrain", "--config", {file!r}]))
"""


def test_two_processes_see_the_order_of_one_and_one_can_go_on(
    world: Any, tmp_path: Path, run_processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = world.pretrain(
        tmp_path / "one", steps=6, batch_size=5, micro_batch_size=2, heldout=world.heldout
    )
    seen: list[Any] = []
    rows = PackedBatches.rows

    def recorded(self: PackedBatches, step: int, indices: Sequence[int]) -> Rows:
        found = rows(self, step, indices)
        seen.extend(zip([step] * len(indices), indices, found.inputs.tolist(), strict=True))
        return found

    monkeypatch.setattr(PackedBatches, "rows", recorded)
    expected = pretrain(config)

    file = _write_config(replace(config, out=tmp_path / "two"), tmp_path / "config.json")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    codes = []
    for rank in (0, 1):
        environment = {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
        code = _ONE_OF_TWO.format(
            environment=environment, rank=rank, log=str(tmp_path / f"rows-{rank}"), file=str(file)
        )
        codes.append(textwrap.dedent(code))
    assert run_processes(*codes) == [75, 75]
    both = [
        tuple(json.loads(line))
        for rank in (0, 1)
        for line in (tmp_path / f"rows-{rank}").read_text().splitlines()
    ]
    assert sorted(both) == sorted(item for item in seen if item[0] < 3)
    assert len(both) == 3 * 5

    # The checkpoint of two processes continues in one.
    summary = pretrain(replace(config, out=tmp_path / "two"))
    assert summary["final_loss"] == pytest.approx(expected["final_loss"], abs=1e-5)
    assert summary["tokens_per_source"] == expected["tokens_per_source"]
    steps = [line["step"] for line in read_metrics(tmp_path / "two/logs/metrics.jsonl")]
    assert steps == list(range(1, 7))


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


def test_under_nohup_the_end_of_the_shell_is_no_reason_to_stop(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    previous = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        for run, stopped in (("shell", False), ("launcher", True)):
            parents = iter([os.getppid()] * 3)
            monkeypatch.setattr(loop.os, "getppid", lambda parents=parents: next(parents, 1))
            if stopped:
                monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
                with pytest.raises(loop.Interrupted, match="parent"):
                    pretrain(world.pretrain(tmp_path / run))
            else:
                assert pretrain(world.pretrain(tmp_path / run))["steps"] == 12
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, previous)


def test_files_that_go_or_change_during_a_run_do_not_matter(
    world: Any, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tok", "heldout"):
        shutil.copytree(world.tokenizer.parent / name, tmp_path / name)
    plan = PackedBatches.plan

    def vanish(self: PackedBatches, step: int) -> Any:
        if step == 1:
            (tmp_path / "tok/tokenizer.json").write_text("{}")
            shutil.rmtree(tmp_path / "heldout")
        return plan(self, step)

    monkeypatch.setattr(PackedBatches, "plan", vanish)
    run = tmp_path / "run"
    pretrain(world.pretrain(run, tokenizer=tmp_path / "tok", heldout=tmp_path / "heldout"))
    _same_runs(run, finished_run)
    tokenizer = (run / "model/tokenizer.json").read_bytes()
    assert tokenizer == (world.tokenizer / "tokenizer.json").read_bytes()


def test_a_full_disk_at_the_end_exits_1_and_says_what_to_do(
    world: Any, finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    config = world.pretrain(tmp_path / "run", heldout=world.heldout)
    monkeypatch.setattr("training.__main__.load_config", lambda *_: config)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export, "sync", full)
        assert main(["pretrain", "--config", "unused"]) == 1
    assert "No space left on device" in caplog.text and "make room" in caplog.text
    caplog.clear()
    with monkeypatch.context() as patch:  # nor any room for the log of the next attempt
        patch.setattr(report, "MetricsLog", full)
        assert main(["pretrain", "--config", "unused"]) == 1
    assert "make room" in caplog.text
    assert not (tmp_path / "run/summary.json").exists()
    assert main(["pretrain", "--config", "unused"]) == 0
    _same_runs(tmp_path / "run", finished_run)


def test_asked_to_stop_while_the_last_file_is_written(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = runs.write_json

    def terminated(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        write(*arguments)

    monkeypatch.setattr(runs, "write_json", terminated)
    assert pretrain(world.pretrain(tmp_path / "run"))["steps"] == 12
    assert (tmp_path / "run/summary.json").is_file()


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
    lines = list(read_metrics(tmp_path / "anneal/logs/metrics.jsonl"))
    assert lines[-1]["lr"] == pytest.approx(1e-4)
    state = load_file(tmp_path / "anneal/trainer_state/optimizer.safetensors")
    steps = [tensor for name, tensor in state.items() if name.startswith("step/")]
    assert {float(step) for step in steps} == {18.0}  # 12 of the stable run, 6 of its own


def test_any_stable_checkpoint_can_be_branched_tuned_and_released(
    world: Any, finished_run: Path, tmp_path: Path, stop_after: Any, caplog: Any
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    stop_after(10)
    run = world.pretrain(tmp_path / "run", keep_every_steps=4, checkpoint_every_steps=3)
    with pytest.raises(loop.Interrupted):
        pretrain(run)
    stop_after(-1)
    with pytest.raises(ConfigError, match=r"it has .*step-000010"):
        pretrain(world.pretrain(tmp_path / "no", init_from=tmp_path / "run"))
    branch = tmp_path / "run/checkpoints/step-000004"  # not the last one; the run is not finished
    config = replace(
        world.pretrain(tmp_path / "branch", init_from=branch, model=None, tokenizer=None),
        steps=3, warmup_steps=0, decay="exponential", lr_end=1e-5,
    )  # fmt: skip
    summary = pretrain(config, name="anneal")
    state = load_file(tmp_path / "branch/trainer_state/optimizer.safetensors")
    assert {float(t) for name, t in state.items() if name.startswith("step/")} == {7.0}
    lines = list(read_metrics(tmp_path / "branch/logs/metrics.jsonl"))
    assert [line["lr"] for line in lines] == pytest.approx(
        [3e-3 * (1e-5 / 3e-3) ** (step / 3) for step in (1, 2, 3)]
    )
    assert summary["tokens"] == 3 * 4 * 32

    # It goes on in the data where the stable run stood, so its losses are that run's, at first.
    stable = list(read_metrics(finished_run / "logs/metrics.jsonl"))
    assert lines[0]["loss"] == pytest.approx(stable[4]["loss"], abs=1e-6)

    # Finishing the stable run keeps every 4th checkpoint; each is a model anybody can load.
    pretrain(run)
    kept = sorted(path.name for path in (tmp_path / "run/checkpoints").iterdir())
    assert kept == ["step-000004", "step-000008", "step-000012"]
    loaded = AutoModelForCausalLM.from_pretrained(
        tmp_path / "run/checkpoints/step-000012", local_files_only=True
    )
    assert AutoTokenizer.from_pretrained(branch, local_files_only=True).chat_template
    final = load_file(tmp_path / "run/model/model.safetensors")
    assert all(torch.equal(dict(loaded.named_parameters())[name], final[name]) for name in final)
    _same_tensors(
        tmp_path / "run/model/model.safetensors", finished_run / "model/model.safetensors"
    )


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
    with pytest.raises(ConfigError, match=f"belongs to the run {finished_run}: give that"):
        pretrain(world.pretrain(tmp_path / "f", init_from=finished_run / "model"))
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text("{}")
    with pytest.raises(ConfigError, match="a Hugging Face model: only runs of this program"):
        pretrain(world.pretrain(tmp_path / "g", init_from=foreign))


def test_planted_trouble_is_skipped_logged_and_counted(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    make, calls = prepare.new_model, {"count": 0}
    factors = {6: float("nan"), 15: 1000.0}  # by step

    def poisoned(*arguments: Any, **keywords: Any) -> Any:
        model = make(*arguments, **keywords)

        def spoil(gradient: torch.Tensor) -> torch.Tensor:
            calls["count"] += 1
            return gradient * factors.get(calls["count"], 1.0)

        model.model.norm.weight.register_hook(spoil)
        return model

    counts = np.bincount(open_shards(world.shards).tokens, minlength=512)
    rows = PackedBatches.rows

    def corrupt(self: PackedBatches, step: int, indices: Sequence[int]) -> Rows:
        found = rows(self, step, indices)
        if step == 19:  # a broken batch: a token that the corpus does not have
            found = replace(found, labels=np.full_like(found.labels, int(counts.argmin())))
        return found

    monkeypatch.setattr(prepare, "new_model", poisoned)
    monkeypatch.setattr(PackedBatches, "rows", corrupt)
    with caplog.at_level(logging.WARNING):
        summary = pretrain(
            world.pretrain(
                tmp_path / "run", steps=24, lr_peak=1e-2, spike_window=12, spike_sigmas=4.0,
                checkpoint_every_steps=1, keep_every_steps=1,
                heldout=world.heldout, heldout_every_steps=10,
            )
        )  # fmt: skip
    lines = list(read_metrics(tmp_path / "run/logs/metrics.jsonl"))
    assert [line["step"] for line in lines if line["skipped"]] == [6, 15, 20]
    reasons = [line["skip_reason"] for line in lines if line["skipped"]]
    assert "not finite" in reasons[0]
    assert "spike: gradient norm" in reasons[1] and "spike: loss" in reasons[2]
    assert all(f"step {step} skipped" in caplog.text for step in (6, 15, 20))
    assert lines[5]["grad_norm"] is None and lines[19]["loss"] > lines[18]["loss"] + 1
    assert summary["skipped_steps"] == 3 and summary["final_loss"] < lines[0]["loss"]
    for step in (6, 15, 20):  # neither weights nor moments moved
        before, after = (
            tmp_path / f"run/checkpoints/step-{number:06d}" for number in (step - 1, step)
        )
        for file in ("model.safetensors", "optimizer.safetensors"):
            assert _same_tensors(before / file, after / file)
    measured = {line["step"]: line["heldout_bits_per_byte"] for line in lines}
    assert [step for step, bits in measured.items() if bits is not None] == [10, 20, 24]
    assert measured[20] < measured[10] < summary["heldout_bits_per_byte"]["before"]


def test_a_run_that_only_loses_steps_is_given_up(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = prepare.new_model

    def ruined(*arguments: Any, **keywords: Any) -> Any:
        model = make(*arguments, **keywords)
        model.model.norm.weight.data[0] = float("nan")
        return model

    monkeypatch.setattr(prepare, "new_model", ruined)
    with pytest.raises(loop.Diverged, match="lower the learning rate"):
        pretrain(world.pretrain(tmp_path / "run", steps=60))


def test_the_state_is_copied_when_the_copy_before_is_written(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def recorded(name: str, function: Any) -> Any:
        return lambda *given, **named: (function(*given, **named), calls.append(name))[0]

    writer = loop.CheckpointWriter
    for name in ("wait", "submit"):
        monkeypatch.setattr(writer, name, recorded(name, getattr(writer, name)))
    monkeypatch.setattr(loop, "take_snapshot", recorded("copy", loop.take_snapshot))
    pretrain(world.pretrain(tmp_path / "run"))
    assert calls == ["wait", "copy", "wait", "submit"] * 2 + ["wait"]
