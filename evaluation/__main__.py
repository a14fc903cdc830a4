"""Command line: python -m evaluation {run,score,compare,list,doctor}.

    python -m evaluation run --model PATH|ID|URL --benchmarks humaneval,mbpp+ --out DIR
    python -m evaluation score --benchmark humaneval+ --samples FILE.jsonl --out DIR
    python -m evaluation compare DIR_A DIR_B
    python -m evaluation list
    python -m evaluation doctor

Exit status: 0 done, 1 something is missing or wrong (said in one line), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
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
        _names(options.benchmarks),
        options.out,
        chat=options.chat,
        limit=options.limit,
        max_new_tokens=options.max_new_tokens,
        heldout=options.heldout,
        training=options.training,
        seed=options.seed,
        name=options.name,
        batch_size=options.batch_size,
        temperature=options.temperature,
        top_p=options.top_p,
        samples=options.samples,
        ks=[int(k) for k in _names(options.k)],
        workers=options.workers,
        device=options.device,
        backend=options.backend,
        concurrency=options.concurrency,
        requests_per_minute=options.requests_per_minute,
        since=options.since,
        until=options.until,
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
        ks=[int(k) for k in _names(options.k)],
        seed=options.seed,
        workers=options.workers,
    )
    _show(scores, options.out)
    return 0


def _compare(options: argparse.Namespace) -> int:
    from evaluation.comparison import as_rows, as_text, compare

    found = compare(_names(options.a), _names(options.b), seed=options.seed)
    print(as_text(found))
    if options.out is not None:
        text = json.dumps(as_rows(found), indent=2, sort_keys=True) + "\n"
        options.out.write_text(text, encoding="utf-8")
    return 0


def _list(options: argparse.Namespace) -> int:
    for name, benchmark in registry().items():
        lacking = benchmark.missing(options.heldout)
        print(f"{name:28} {benchmark.metric:14} {benchmark.description}")
        print(f"{'':28} {'ready' if lacking is None else 'not ready: ' + lacking}")
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from evaluation.sandbox.doctor import report

    for line in report():
        print(line)
    return 0


def _show(scores: Sequence[Score], out: Path) -> None:
    from evaluation.report import number

    width = max(len(score.metric) for score in scores)
    column = max(len(score.benchmark) for score in scores)
    for score in scores:
        value, low, high = (
            number(score.metric, item) for item in (score.value, score.low, score.high)
        )
        print(
            f"{score.benchmark:{column}} {score.metric:{width}} {value:>8} "
            f"({low} to {high}, n={score.n})"
        )
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    for line in summary["detectable"].values():
        print(line)
    for row in summary["tables"].get("contamination", ()):
        value, low, high = (f"{row[key]:.3f}" for key in ("value", "low", "high"))
        print(
            f"{row['benchmark']} on {row['tasks']} tasks of the training text: {value} "
            f"({low} to {high}, n={row['n']})"
        )
    print(f"report: {out / 'report.html'}")


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m evaluation", description=__doc__.split("\n")[0]
    )
    commands = parser.add_subparsers(required=True)

    run = commands.add_parser("run", help="evaluate a model")
    run.add_argument(
        "--model", required=True, help="folder, .gguf file, hub id, or http address (URL#MODEL)"
    )
    run.add_argument(
        "--benchmarks", "--benchmark", required=True,
        help="names separated by commas; patterns such as 'multipl-e-*'; file:TASKS.jsonl",
    )  # fmt: skip
    run.add_argument(
        "--out", type=Path, required=True, help="folder of the run; reused to continue"
    )
    run.add_argument("--name", help="name in tables (default: the model folder's name)")
    run.add_argument("--limit", type=int, help="first tasks only")
    run.add_argument("--chat", action="store_true", help="ask through the chat template")
    run.add_argument("--max-new-tokens", type=int, default=512)
    run.add_argument("--temperature", type=float, default=0.0, help="0 is greedy")
    run.add_argument("--top-p", type=float, default=1.0)
    run.add_argument("--samples", type=int, default=1, help="answers per task")
    run.add_argument("--k", default="", help="further k of pass@k, separated by commas")
    run.add_argument("--seed", type=int, default=0, help="of sampling and intervals")
    run.add_argument("--heldout", type=Path, help="folder of parquet documents")
    run.add_argument(
        "--training", type=Path, help="folder of parquet documents to look for the tasks in"
    )
    run.add_argument("--since", help="ISO date: dated tasks from this day on")
    run.add_argument("--until", help="ISO date: dated tasks before this day")
    run.add_argument("--backend", default="auto", choices=["auto", "transformers", "vllm", "http"])
    run.add_argument("--batch-size", type=int, help="rows decoded together")
    run.add_argument("--concurrency", type=int, default=8, help="requests in flight (endpoints)")
    run.add_argument("--requests-per-minute", type=float, help="at most (endpoints)")
    run.add_argument("--workers", type=int, default=2, help="programs checked at once")
    run.add_argument("--device", help="torch device (default: cuda when there is one)")
    run.set_defaults(command=_run)

    score = commands.add_parser("score", help="execute given samples")
    score.add_argument("--benchmark", required=True, help="a name, or file:TASKS.jsonl")
    score.add_argument("--samples", type=Path, required=True, help="JSON lines, may be gzipped")
    score.add_argument("--out", type=Path, required=True)
    score.add_argument("--name", help="name in tables (default: the file's name)")
    score.add_argument("--chat", action="store_true", help="completions are chat answers")
    score.add_argument("--k", default="", help="further k of pass@k, separated by commas")
    score.add_argument("--seed", type=int, default=0, help="of the intervals")
    score.add_argument("--workers", type=int, default=2)
    score.set_defaults(command=_score)

    comparison = commands.add_parser("compare", help="paired comparison of two runs")
    comparison.add_argument("a", help="folder of a run; several, separated by commas, are seeds")
    comparison.add_argument("b", help="the same, for the other side")
    comparison.add_argument("--seed", type=int, default=0, help="of the resampling")
    comparison.add_argument("--out", type=Path, help="also write the rows to this JSON file")
    comparison.set_defaults(command=_compare)

    listing = commands.add_parser("list", help="benchmarks and what they lack here")
    listing.add_argument("--heldout", type=Path)
    listing.set_defaults(command=_list)

    doctor = commands.add_parser("doctor", help="attack the sandbox from inside")
    doctor.set_defaults(command=_doctor)
    return parser


if __name__ == "__main__":
    sys.exit(main())
