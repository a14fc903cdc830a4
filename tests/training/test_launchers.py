"""The launchers of accelerate and torch end where a plain run does.

accelerate starts one process on a CPU (several need MPI there); on GPUs it starts them as torchrun
does here.

pytest -m slow tests/training/test_launchers.py
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from training.runs import pretrain

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
LAUNCHERS = {
    "accelerate": (1, [BIN / "accelerate", "launch", "--cpu", "--num_processes", "1", "-m"]),
    "torchrun": (2, [BIN / "torchrun", "--nproc-per-node", "2", "-m"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_launched_runs_end_where_a_plain_one_does(
    world: Any, tmp_path: Path, launcher: str
) -> None:
    config = world.pretrain(tmp_path / "one", steps=6, heldout=world.heldout)
    expected = pretrain(config)
    values = asdict(replace(config, out=tmp_path / "two"))
    file = tmp_path / "config.json"
    file.write_text(json.dumps({k: v for k, v in values.items() if v is not None}, default=str))
    processes, start = LAUNCHERS[launcher]
    command = [*map(str, start), "training", "pretrain", "--config", str(file)]
    done = subprocess.run(
        command, cwd=ROOT, env=dict(os.environ), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "two/summary.json").read_text())
    assert json.loads((tmp_path / "two/logs/timing.json").read_text())["processes"] == processes
    assert summary["tokens_per_source"] == expected["tokens_per_source"]
    assert summary["final_loss"] == pytest.approx(expected["final_loss"], abs=1e-5)
    bits, wanted = summary["heldout_bits_per_byte"], expected["heldout_bits_per_byte"]
    assert bits == pytest.approx(wanted, abs=1e-4)
    assert json.loads(done.stdout) == summary  # one process reports
