"""Launching one training process: its command, and a parent that leaves no child behind.

Several processes go through ``accelerate launch``; a single one is started directly, which saves
the launcher's own imports (5 s of a demo's 30). Pipes carries log lines and the summary back.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg

from assets.settings import Settings

#: Exit code of ``python -m training`` after a checkpoint on request: the same command continues.
INTERRUPTED = 75


def command(settings: Settings, training: str, config: Path) -> list[str]:
    """The command line of a training; the same one runs on a machine without Dagster."""
    task = ["-m", "training", training, "--config", str(config)]
    if settings.gpus > 1:
        launcher = str(Path(sys.executable).parent / "accelerate")
        return [launcher, "launch", "--num_processes", str(settings.gpus), *task]
    return [sys.executable, *task]


def launch(
    context: dg.OpExecutionContext | dg.AssetExecutionContext,
    pipes: dg.PipesSubprocessClient,
    settings: Settings,
    training: str,
    config: Mapping[str, Any],
    out: Path,
) -> None:
    """Write the config, run the process to its end, and fail when it fails."""
    file = out / "logs" / "config.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(config, indent=1, sort_keys=True))
    pipes.run(
        context=context.op_execution_context
        if isinstance(context, dg.AssetExecutionContext)
        else context,
        command=command(settings, training, file),
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    )
