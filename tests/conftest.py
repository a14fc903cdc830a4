"""What every test gets: no state of the person who runs them; and one Spark session, if asked."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first, for several processes that share the suite (``--dist=loadfile``):
    the whole graph, then those with Spark."""
    spark = {item.path for item in items if item.get_closest_marker("spark")}
    items.sort(key=lambda item: (item.path.stem != "test_end_to_end", item.path not in spark))


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


@pytest.fixture(scope="session")
def git_here() -> None:
    """Skips where git is not installed."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")


@pytest.fixture(scope="session")
def spark() -> Iterator[Any]:
    """The session of the process; it is left running, as other tests may share it."""
    from assets.spark import spark_session

    yield spark_session(master="local[2]", shuffle_partitions=2, memory="1g")
