"""`make ui`: both servers answer on the state folder, and nothing of them stays when it stops."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.orchestration.conftest import make_workplace


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _processes_with(home: Path) -> list[str]:
    """Command lines of the processes whose environment names this state folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(home).encode() in environment and command:
            found.append(command)
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs a /proc file system")
@pytest.mark.timeout(240)
def test_both_uis_answer_and_stop_whole(tmp_path: Path) -> None:
    place = make_workplace(tmp_path, tmp_path / "home")
    place.cookbook("setup")
    dagster, mlflow = _free_port(), _free_port()
    log = tmp_path / "log"
    with open(log, "w") as output:
        # as a shell starts a background job: with SIGINT ignored
        process = subprocess.Popen(
            [sys.executable, "-m", "orchestration.cli", "ui", "--dagster-port", str(dagster),
             "--mlflow-port", str(mlflow)],
            env=place.environment, stdout=output, stderr=subprocess.STDOUT,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
        )  # fmt: skip
    deadline = time.monotonic() + 150
    while log.read_text().count("ready: ") < 2:
        assert process.poll() is None, log.read_text()[-4000:]
        assert time.monotonic() < deadline, log.read_text()[-4000:]
        time.sleep(0.5)
    page = urllib.request.urlopen(f"http://127.0.0.1:{dagster}/asset-groups", timeout=20).read()
    assert b"<html" in page.lower()
    os.kill(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert _processes_with(place.home) == []
