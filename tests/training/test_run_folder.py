"""The folder of a run: one process at a time; what cannot be used is named."""

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from training import folder
from training.config import ConfigError, PretrainConfig
from training.folder import claimed, read_json, write_json
from training.runs import pretrain


def test_two_processes_do_not_train_in_one_folder(
    world: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "_WAIT_SECONDS", 0.0)
    config = world.pretrain(tmp_path / "run", steps=2)
    with (
        claimed(tmp_path / "run"),
        pytest.raises(ConfigError, match="out: expected a folder that no other process"),
    ):
        pretrain(config)
    assert pretrain(config)["steps"] == 2


def test_a_process_about_to_end_is_waited_for(tmp_path: Path) -> None:
    first = claimed(tmp_path / "run")
    first.__enter__()
    end = threading.Timer(0.3, first.__exit__, (None, None, None))
    end.start()
    with claimed(tmp_path / "run"):
        assert not end.is_alive() or end.finished.is_set()
    end.join()


@pytest.mark.parametrize("out", ["file", "file/run"])
def test_out_that_cannot_be_a_folder_is_refused(world: Any, tmp_path: Path, out: str) -> None:
    (tmp_path / "file").write_text("here already")
    with pytest.raises(ConfigError, match=r"out: expected a folder.*file"):
        pretrain(world.pretrain(tmp_path / out))


def test_json_is_whole_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    write_json(file, {"b": 1, "a": None}, sort_keys=True)
    assert list(read_json(file, "facts")) == ["a", "b"] and len(list(tmp_path.iterdir())) == 1
    for text in ("", '{"a": ', "[]"):
        file.write_text(text)
        with pytest.raises(ConfigError, match=r"facts\.json: expected facts, found"):
            read_json(file, "facts")


def _branch(world: Any, tmp_path: Path, run: Path) -> PretrainConfig:
    config: PretrainConfig = world.pretrain(
        tmp_path / "branch", init_from=run, model=None, tokenizer=None, steps=2
    )
    return config


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(("summary.json", damage) for damage in ("torn", "empty", "other")),
        *(("trainer_state/state.json", damage) for damage in ("torn", "empty", "other", "absent")),
    ],
)
def test_a_damaged_finished_run_is_named(
    world: Any, finished_run: Path, tmp_path: Path, name: str, damage: str
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    _damage(run / name, damage)
    with pytest.raises(ConfigError, match=Path(name).name.replace(".", r"\.") + ": expected"):
        pretrain(world.pretrain(run, heldout=world.heldout))
    if name != "summary.json":
        with pytest.raises(ConfigError, match=r"state\.json: expected"):
            pretrain(_branch(world, tmp_path, run))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(
            (name, damage)
            for name in (
                "model/model.safetensors",
                "model/config.json",
                "model/tokenizer.json",
                "trainer_state/optimizer.safetensors",
            )
            for damage in ("torn", "absent")
        ),
        ("model/chat_template.jinja", "absent"),  # torn, it is still a template
    ],
)
def test_a_damaged_run_to_branch_from_is_named(
    world: Any, finished_run: Path, tmp_path: Path, name: str, damage: str
) -> None:
    run = shutil.copytree(finished_run, tmp_path / "run")
    _damage(run / name, damage)
    with pytest.raises(ConfigError, match=f"{run}.*: expected"):
        pretrain(_branch(world, tmp_path, run))


def _damage(file: Path, damage: str) -> None:
    if damage == "absent":
        file.unlink()
    elif damage == "other":
        file.write_text(json.dumps([1]))
    else:
        file.write_bytes(file.read_bytes()[:200] if damage == "torn" else b"")
