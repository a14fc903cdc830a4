"""The level of the data path: named, strict, or user where strict cannot be; never none."""

import os
from typing import Any

import pytest

import evaluation.sandbox
from assets.sandbox import SETTING, settle_level
from evaluation.sandbox import SandboxError


@pytest.fixture
def holding(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The levels that hold on this machine, as a test says."""
    holds: set[str] = set()

    def ensure_level(level: str | None = None) -> str:
        wanted = level or os.environ[SETTING]
        if wanted not in holds:
            raise SandboxError(f"{wanted} does not hold")
        return wanted

    monkeypatch.setattr(evaluation.sandbox, "ensure_level", ensure_level)
    monkeypatch.setenv(SETTING, "")
    return holds


@pytest.mark.parametrize(
    ("holds", "level"), [({"strict", "user"}, "strict"), ({"user", "container"}, "user")]
)
def test_the_best_level_that_holds_is_named(
    holding: set[str], holds: set[str], level: str, caplog: Any
) -> None:
    holding |= holds
    assert settle_level() == level == os.environ[SETTING]
    assert ("strict does not hold" in caplog.text) == (level == "user")


def test_no_level_means_no_run(holding: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    holding.add("container")
    with pytest.raises(SandboxError, match="user does not hold"):
        settle_level()
    monkeypatch.setenv(SETTING, "strict")
    holding.add("user")
    with pytest.raises(SandboxError, match="strict does not hold"):
        settle_level()  # a named level is never replaced
