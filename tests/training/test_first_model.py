"""The walk-through of docs/training.md, as it stands there, on some modules of Python's library."""

import inspect
import json
import logging
import re
import shlex
import shutil
import textwrap
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from training.__main__ import main

PAGE = (Path(__file__).resolve().parents[2] / "docs/training.md").read_text(encoding="utf-8")


def test_from_python_files_to_a_chat_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    (walk,) = re.findall(r"## A first model\n(.*?)\n## ", PAGE, re.S)
    blocks = re.findall(r"```(\w+)\n(.*?)```", walk, re.S)
    make_data, use_model = (text for kind, text in blocks if kind == "python")
    (commands,) = (text for kind, text in blocks if kind == "bash")
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)

    Path("src").mkdir()
    for module in (json, json.decoder, json.encoder, shlex, shutil, textwrap):
        shutil.copy(inspect.getfile(module), f"src/{module.__name__}.py")
    exec(make_data, {})
    for kind, text in blocks:
        if kind == "yaml":
            (name,) = re.findall(r"^# (\S+\.yaml)\n", text)
            Path(name).write_text(text)
    for line in commands.splitlines():
        python, option, program, *arguments = shlex.split(line)
        assert (python, option, program) == ("python", "-m", "training")
        assert main(arguments) == 0, line
    capsys.readouterr()
    exec(use_model, {})
    assert capsys.readouterr().out.strip()

    assert "2,048 tokens a step; passes over the sources: python" in caplog.text
    assert "chat/model" in caplog.text
    bits = json.loads(Path("run/summary.json").read_text())["heldout_bits_per_byte"]
    assert bits["after"] < bits["before"]
    chat = AutoTokenizer.from_pretrained("chat/model")
    ends = json.loads(Path("chat/model/generation_config.json").read_text())["eos_token_id"]
    assert chat.convert_tokens_to_ids("<|im_end|>") in ends
