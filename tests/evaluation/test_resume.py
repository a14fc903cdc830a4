"""kill -9 at any moment: the next run ends with the same bytes and repeats nothing finished."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from evaluation.backends import Backend, Job
from evaluation.benchmarks.humaneval import DATA
from evaluation.generation import Parameters
from evaluation.records import RecordFile, Row
from evaluation.run import _alone, evaluate
from evaluation.sandbox import SandboxError, ensure_level

TASKS = [
    {
        "task_id": f"t{number}",
        "prompt": f"def f{number}(x):\n",
        "entry_point": f"f{number}",
        "inputs": [[1], [2]],
        "expected": [number, 2 * number],
    }
    for number in range(1, 5)
]


class Told(Backend):
    """A model that answers at once, three samples at a time, and writes down what it is asked."""

    name, digest = "told", "0" * 64

    def __init__(self, asked: Path) -> None:
        self.asked = asked

    def batches(self, jobs: Sequence[Job], parameters: Parameters) -> list[list[Job]]:
        return [list(jobs[start : start + 3]) for start in range(0, len(jobs), 3)]

    def run(
        self, batches: Sequence[list[Job]], parameters: Parameters
    ) -> Iterator[tuple[list[Job], list[str]]]:
        for batch in batches:
            with self.asked.open("a") as file:
                file.writelines(f"{job.prompt.strip()} {job.sample}\n" for job in batch)
            yield batch, [f"    return x * {job.sample + 1}\n" for job in batch]


@pytest.fixture(autouse=True)
def sandbox_here() -> None:
    try:
        ensure_level()
    except SandboxError as error:
        pytest.skip(str(error))


def run_in_child(out: Path, *, kill_at: int = 0, torn: bool = False) -> int:
    """Evaluate in a forked process that SIGKILLs itself before its `kill_at`-th record is written.

    torn: half a line reached the disk. Returns the wait status.
    """
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    try:
        append, count = RecordFile.append, 0

        def counted(self: RecordFile, rows: Iterator[Row]) -> None:
            nonlocal count
            count += 1
            if count == kill_at:
                if torn:
                    with self.path.open("ab") as file:
                        file.write(b'{"half')
                os.kill(os.getpid(), signal.SIGKILL)
            append(self, rows)

        RecordFile.append = counted  # type: ignore[method-assign, assignment]
        tasks = f"file:{out.parent / 'tasks.jsonl'}"
        model = Told(out.parent / "asked.txt")
        evaluate(model, [tasks], out, samples=2, temperature=0.5)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines(keepends=True) if path.exists() else []


def test_killed_at_any_record_a_run_goes_on_where_it_was(tmp_path: Path) -> None:
    (tmp_path / "tasks.jsonl").write_text("".join(json.dumps(task) + "\n" for task in TASKS))
    # in this process, which then has loaded what every forked one needs
    model, tasks = Told(tmp_path / "asked.txt"), f"file:{tmp_path / 'tasks.jsonl'}"
    evaluate(model, [tasks], tmp_path / "whole", samples=2, temperature=0.5)
    expected = (tmp_path / "whole" / "summary.json").read_bytes()
    records = 3 + 8  # batches of generations, verdicts
    for kill_at in (2, 5, records):
        (tmp_path / "asked.txt").unlink()
        out = tmp_path / f"killed-{kill_at}"
        status = run_in_child(out, kill_at=kill_at, torn=kill_at % 2 == 0)
        assert os.WTERMSIG(status) == signal.SIGKILL
        assert not (out / "summary.json").exists()
        before = {name: lines(out / name) for name in ("generations.jsonl", "results.jsonl")}
        assert run_in_child(out) == 0
        assert (out / "summary.json").read_bytes() == expected
        for name, old in before.items():
            # what was whole on the disk is there untouched, and nothing is there twice
            kept, after = [line for line in old if line.endswith("\n")], lines(out / name)
            assert after[: len(kept)] == kept
            assert len(after) == len(set(after)) == 8
        # only the batch that was in the model's hands may be asked for again
        asked = Counter(lines(tmp_path / "asked.txt"))
        assert len(asked) == 8
        assert sum(asked.values()) == 8 + (3 if kill_at == 2 else 0)


def test_two_runs_cannot_share_a_folder(tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ValueError, match="another run is writing there"), _alone(tmp_path):
            pass
    with _alone(tmp_path):
        pass


@pytest.mark.slow
@pytest.mark.skipif(DATA.locate() is None, reason=str(DATA.missing()))
def test_the_command_killed_at_random_moments(tiny_model: Path, tmp_path: Path) -> None:
    def start(out: Path) -> subprocess.Popen[bytes]:
        arguments = ["--benchmarks", "humaneval,humaneval_bpb", "--limit", "24"]
        size = ["--max-new-tokens", "48", "--batch-size", "4"]
        command = [sys.executable, "-m", "evaluation", "run", "--model", str(tiny_model)]
        return subprocess.Popen(
            [*command, *arguments, *size, "--out", str(out)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    begun = time.monotonic()
    assert start(tmp_path / "whole").wait() == 0
    seconds = time.monotonic() - begun
    chance = random.Random(0)
    kills = 0
    while not (tmp_path / "killed" / "summary.json").exists():
        process = start(tmp_path / "killed")
        try:
            # longer each time, so that a machine that gets slower arrives, too
            process.wait(timeout=seconds * (chance.uniform(0.2, 0.6) + 0.2 * kills))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
    assert kills > 0
    for name in ("summary.json", "results.parquet"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    for name in ("generations.jsonl", "results.jsonl"):
        killed = lines(tmp_path / "killed" / name)
        assert len(killed) == len(set(killed))
        assert sorted(killed) == sorted(lines(tmp_path / "whole" / name))
