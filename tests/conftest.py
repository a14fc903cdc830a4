"""What every test gets: no state of the person who runs them, and real small inputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

LONGEST = "test_end_to_end"


def pytest_xdist_auto_num_workers() -> int:
    """One more than cores: tests wait for processes, theirs and Spark's, a third of their time."""
    return min((os.cpu_count() or 1) + 1, 4)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Beside the longest module the others stand back: it alone decides when a suite that is shared
    by processes is done."""
    if "PYTEST_XDIST_WORKER" in os.environ and item.path.stem != LONGEST and not os.nice(0):
        os.nice(5)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """For processes that share the suite (``--dist=loadgroup``): a module stays together, all
    modules on the same Spark do, and the longest come first."""
    sharing = {item.path for item in items if "spark" in getattr(item, "fixturenames", ())}
    spark = {item.path for item in items if item.get_closest_marker("spark")}
    for item in items:
        item.add_marker(
            pytest.mark.xdist_group("spark" if item.path in sharing else str(item.path))
        )
    items.sort(
        key=lambda item: (
            item.path.stem != LONGEST, item.path not in sharing, item.path not in spark
        )
    )  # fmt: skip


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
