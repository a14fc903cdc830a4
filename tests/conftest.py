"""What every test gets: no state of the person who runs them, and real small inputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

LONGEST = "test_end_to_end"
#: Most modules here take the same Spark session.
ON_SPARK = "tests/assets/refinecode"


class ByModule(LoadFileScheduling):
    """A module is one process's, and so is the folder whose modules share a Spark session."""

    def _split_scope(self, nodeid: str) -> str:
        module: str = super()._split_scope(nodeid)
        folder = module.rpartition("/")[0]
        return folder if folder == ON_SPARK else module


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule:
    return ByModule(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: tests wait for processes, theirs and Spark's, a third of their time."""
    return min((os.cpu_count() or 1) + 1, 4)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Beside the longest module the others stand back: it alone decides when a suite that is shared
    by processes is done."""
    if "PYTEST_XDIST_WORKER" in os.environ and item.path.stem != LONGEST and not os.nice(0):
        os.nice(5)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first: the whole graph, then those with Spark."""
    spark = {item.path for item in items if item.get_closest_marker("spark")}
    items.sort(key=lambda item: (item.path.stem != LONGEST, item.path not in spark))


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder of the test's own; nothing of the environment leaks in."""
    for name in (
        "COOKBOOK_LAKE", "COOKBOOK_DOWNLOADS", "COOKBOOK_WAREHOUSE", "COOKBOOK_BENCHMARKS",
        "COOKBOOK_TEACHER", "COOKBOOK_RECIPES", "COOKBOOK_STUDIES", "COOKBOOK_SPARK_MASTER",
        "COOKBOOK_GPUS", "MLFLOW_TRACKING_URI",
    ):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    home = tmp_path_factory.mktemp("cookbook-home")
    monkeypatch.setenv("COOKBOOK_HOME", str(home))
    monkeypatch.setenv("DAGSTER_HOME", str(home / "dagster"))
    (home / "dagster").mkdir()
    return home
