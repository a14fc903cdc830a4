"""What every test gets: no state of the person who runs them, and real small inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

#: Tests that share a state of their own, or a Spark session, run in one process; the longest first.
GROUPS = ("end_to_end", "spark")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let several processes share the suite (pytest-xdist, ``--dist=loadgroup``)."""

    def group(item: pytest.Item) -> str:
        if item.path.stem == "test_end_to_end":
            return "end_to_end"
        return "spark" if item.get_closest_marker("spark") else str(item.path)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    items.sort(key=lambda item: GROUPS.index(g) if (g := group(item)) in GROUPS else len(GROUPS))


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
