"""Command line: python -m evaluation {run,score,list,doctor}.

    python -m evaluation run --model CHECKPOINT --benchmarks humaneval,humaneval_bpb --out DIR
    python -m evaluation score --benchmark humaneval --samples FILE.jsonl --out DIR
    python -m evaluation list
    python -m evaluation doctor

Exit status: 0 done, 1 something is missing or wrong (said in one line), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from evaluation.benchmarks.base import Score, UnavailableError, registry
from evaluation.sandbox import SandboxError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        return int(options.command(options))
    except (UnavailableError, SandboxError, ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    from evaluation.run import evaluate

    scores = evaluate(
        options.model,
        [name for name in options.benchmarks.split(",") if name],
        options.out,
        chat=options.chat,
        limit=options.limit,
        max_new_tokens=options.max_new_tokens,
        heldout=options.heldout,
        seed=options.seed,
        name=options.name,
        batch_size=options.batch_size,
        temperature=options.temperature,
        samples=options.samples,
        workers=options.workers,
        device=options.device,
    )
    _show(scores, options.out)
    return 0


def _score(options: argparse.Namespace) -> int:
    from evaluation.run import score_samples

    scores = score_samples(
        options.benchmark,
        options.samples,
        options.out,
        name=options.name,
        chat=options.chat,
        workers=options.workers,
    )
    _show(scores, options.out)
    return 0


def _list(options: argparse.Namespace) -> int:
    for name, benchmark in registry().items():
        lacking = benchmark.missing(options.heldout)
        print(f"{name:16} {benchmark.metric:14} {benchmark.description}")
        print(f"{'':16} {'ready' if lacking is None else 'not ready: ' + lacking}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from evaluation.sandbox.doctor import report

    for line in report():
        print(line)
    return 0


def _show(scores: Sequence[Score], out: Path) -> None:
    width = max(len(score.metric) for score in scores)
    for score in scores:
        percent = score.metric.startswith("pass@")
        value, low, high = (
            f"{100 * number:.1f}%" if percent else f"{number:.4f}"
            for number in (score.value, score.low, score.high)
        )
        print(
            f"{score.benchmark:14} {score.metric:{width}} {value:>8} ({low} to {high}, n={score.n})"
        )
    print(f"report: {out / 'report.html'}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(required=True)

    run = commands.add_parser("run", help="evaluate a model")
    run.add_argument("--model", type=Path, required=True, help="model folder or .gguf file")
    run.add_argument("--benchmarks", required=True, help="names separated by commas; see list")
    run.add_argument(
        "--out", type=Path, required=True, help="folder of the run; reused to continue"
    )
    run.add_argument("--name", help="name in tables (default: the model folder's name)")
    run.add_argument("--limit", type=int, help="first tasks only")
    run.add_argument("--chat", action="store_true", help="ask through the chat template")
    run.add_argument("--max-new-tokens", type=int, default=512)
    run.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    run.add_argument("--samples", type=int, default=1, help="answers per task")
    run.add_argument("--seed", type=int, default=0, help="of sampling and intervals")
    run.add_argument("--heldout", type=Path, help="folder of parquet documents")
    run.add_argument("--batch-size", type=int, help="rows decoded together")
    run.add_argument("--workers", type=int, default=2, help="programs checked at once")
    run.add_argument("--device", help="torch device (default: cuda when there is one)")
    run.set_defaults(command=_run)

    score = commands.add_parser("score", help="execute given samples")
    score.add_argument("--benchmark", required=True)
    score.add_argument("--samples", type=Path, required=True, help="JSON lines")
    score.add_argument("--out", type=Path, required=True)
    score.add_argument("--name", help="name in tables (default: the file's name)")
    score.add_argument("--chat", action="store_true", help="completions are chat answers")
    score.add_argument("--workers", type=int, default=2)
    score.set_defaults(command=_score)

    listing = commands.add_parser("list", help="benchmarks and what they lack here")
    listing.add_argument("--heldout", type=Path)
    listing.set_defaults(command=_list)

    doctor = commands.add_parser("doctor", help="attack the sandbox from inside")
    doctor.set_defaults(command=_doctor)
    return parser


if __name__ == "__main__":
    sys.exit(main())
