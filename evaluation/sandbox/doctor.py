"""What `doctor` says: how the sandbox withstands its own attacks here, and which languages run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from evaluation.sandbox import cgroup, landlock, probe
from evaluation.sandbox.languages import toolchains
from evaluation.sandbox.outcome import Level, SandboxError


def report() -> Iterator[str]:
    """Lines to print. Every level is tried; the last lines list toolchains with their versions."""
    for level in get_args(Level):
        try:
            probes = probe.self_test(level)
        except (SandboxError, OSError) as error:
            yield f"{level}: cannot be set up: {error}"
            continue
        broken = [found for found in probes if not found.held]
        yield f"{level}: {'BROKEN' if broken else 'holds'}, {len(probes)} attacks"
        for found in broken if level != "strict" else probes:
            verdict = "held" if found.held else "BROKEN"
            yield f"  {verdict:6} {found.name:40} {found.found}".rstrip()
    yield f"control groups: {cgroup.version() or 'none'}; Landlock ABI: {landlock.abi() or 'none'}"
    for sentence in probe.lacking():
        yield f"lacking: {sentence}"
    try:
        yield f"sandbox level in force: {probe.ensure_level()}"
    except SandboxError as error:
        yield f"sandbox level in force: none: {error}"
    yield "languages:"
    for name, tools in toolchains().items():
        missing = f"-- {tools.missing}" if tools.missing else ""
        yield f"  {name:5} {missing or tools.version or 'present'}"
