"""The count that only the kernel knows, found by what it refuses."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from evaluation.sandbox.process_count import processes_of_user

COUNT = """
import os, threading
from evaluation.sandbox.process_count import processes_of_user
os.setresgid(61234, 61234, 61234)
os.setresuid(61234, 61234, 61234)
alone = processes_of_user()
gate = threading.Event()
threads = [threading.Thread(target=gate.wait) for _ in range(70)]
for thread in threads:
    thread.start()
print(alone, processes_of_user(), processes_of_user(71), processes_of_user(500))
gate.set()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="needs a user of its own, so root")
def test_threads_count_and_a_guess_changes_nothing() -> None:
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run(
        [sys.executable, "-c", COUNT], capture_output=True, text=True, cwd=root, check=False
    )
    assert done.stdout.split() == ["1", "71", "71", "71"], done.stderr


def test_the_limit_is_as_before() -> None:
    before = resource.getrlimit(resource.RLIMIT_NPROC)
    assert processes_of_user() >= 0
    assert resource.getrlimit(resource.RLIMIT_NPROC) == before
