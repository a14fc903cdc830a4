"""A strict sandbox, or a skip that says why there is none."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evaluation.sandbox import Sandbox, SandboxError


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        with Sandbox("strict", workers=2) as ready:
            yield ready
    except SandboxError as error:
        pytest.skip(f"no strict sandbox on this machine: {error}")
