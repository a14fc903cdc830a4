"""Command line of the training room: `python -m training COMMAND --config FILE`.

Exit codes: 0 done, 1 failed or diverged, 2 the config or the data cannot be used, 75 stopped on
request (SIGTERM, SIGINT, SIGHUP, parent gone) with a checkpoint saved: the same command continues.
Paper: sections 3 and 4.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.config import (
    BenchConfig,
    ConfigError,
    PretrainConfig,
    SftConfig,
    ShardsConfig,
    TokenizerConfig,
    check_inputs,
    describe,
    load_config,
)
from training.report import Channel, NoChannel, open_channel

log = logging.getLogger("training")

_EXIT_DIVERGED = 1
_EXIT_BAD_CONFIG = 2
_EXIT_INTERRUPTED = 75
_COMMANDS: dict[str, tuple[type, str]] = {
    "tokenizer": (TokenizerConfig, "learn a byte-level BPE tokenizer from parquet documents"),
    "shards": (ShardsConfig, "tokenise parquet documents into memory-mapped shards"),
    "pretrain": (PretrainConfig, "train on token shards (warm-up, then constant rate)"),
    "anneal": (
        PretrainConfig,
        "branch from a run or checkpoint, the rate falling exponentially",
    ),
    "sft": (SftConfig, "tune a run or checkpoint on instruction/answer examples"),
    "bench": (BenchConfig, "measure training speed: one table of kernels, data and a peer"),
}
_EXAMPLES = """\
from text to a tuned model:
  python -m training tokenizer --config tokenizer.yaml
  python -m training shards --config shards.yaml
  python -m training pretrain --config pretrain.yaml --set keep_every_steps=1000
  python -m training anneal --config anneal.yaml --set init_from=run/checkpoints/step-004000
  python -m training sft --config sft.yaml --set init_from=annealed
on several devices (the same result, the same folders):
  accelerate launch --num_processes 8 -m training pretrain --config pretrain.yaml
  torchrun --nproc-per-node 8 -m training pretrain --config pretrain.yaml
`python -m training COMMAND --help` lists the keys of its config file."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, run, report; returns the exit code."""
    options = _parser().parse_args(arguments)
    rank = os.environ.get("RANK", "0")
    logging.basicConfig(
        level=logging.INFO if rank == "0" else logging.WARNING,
        format=f"%(asctime)s %(levelname)s rank {rank} %(name)s: %(message)s",
        stream=sys.stderr,
    )
    kind, _ = _COMMANDS[options.command]
    try:
        defaults = {"decay": "exponential"} if options.command == "anneal" else None
        overrides = list(options.set)
        if options.command == "bench" and options.preset:
            overrides.insert(0, f"preset={options.preset}")
        config: Any = load_config(kind, options.config, overrides, defaults)
        check_inputs(config, options.config)
        with open_channel() as channel:
            return _execute(options.command, config, channel)
    except ConfigError as error:
        log.error("%s", error)
        return _EXIT_BAD_CONFIG


def _execute(command: str, config: Any, channel: Channel) -> int:
    channel.line(f"{command}: starting")
    if command == "bench":
        from training.bench import run_bench

        print(run_bench(config))
        return 0
    if command in ("tokenizer", "shards"):
        summary = _data_command(command)(config)
    else:
        from training.checkpoint import NotSaved
        from training.loop import Diverged, Interrupted

        try:
            summary = _model_command(command)(config, channel)
        except Interrupted as stopped:
            log.warning("%s: %s", command, stopped)
            channel.message({"command": command, "interrupted": True, "step": stopped.step})
            return _EXIT_INTERRUPTED
        except (Diverged, NotSaved) as lost:
            log.error("%s", lost)
            channel.line(f"{command}: {lost}")
            return _EXIT_DIVERGED
    channel.message({"command": command, "summary": dict(summary)})
    if os.environ.get("RANK", "0") == "0" and isinstance(channel, NoChannel):
        sys.stdout.write(json.dumps(dict(summary), indent=2) + "\n")
    return 0


def _data_command(command: str) -> Callable[[Any], Mapping[str, Any]]:
    if command == "tokenizer":
        from training.tokenizer import train_tokenizer

        return train_tokenizer
    from training.shards import write_shards

    return lambda config: asdict(write_shards(config))


def _model_command(command: str) -> Callable[[Any, Channel], Mapping[str, Any]]:
    from training.runs import finetune, pretrain

    if command == "sft":
        return lambda config, channel: finetune(config, channel=channel)

    def run(config: PretrainConfig, channel: Channel) -> Mapping[str, Any]:
        if command == "anneal" and config.init_from is None:
            raise ConfigError("init_from: expected the run to branch from, found nothing")
        return pretrain(config, name=command, channel=channel)

    return run


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a code language model: tokenizer, shards, pretraining, annealing, SFT.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (kind, summary) in _COMMANDS.items():
        command = commands.add_parser(
            name,
            help=summary,
            description=f"{summary[0].upper()}{summary[1:]}.",
            epilog=f"keys of the config file:\n{describe(kind)}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        required = name != "bench"  # every key of bench has a default
        command.add_argument("--config", type=Path, required=required, help="YAML or JSON file")
        if name == "bench":
            command.add_argument("--preset", help="architecture, short for --set preset=NAME")
        command.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="override a key of the file, e.g. --set model.hidden_size=128",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
