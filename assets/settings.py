"""Settings: where and how things run, from the environment only, never part of a result.

| variable | default | meaning |
| --- | --- | --- |
| COOKBOOK_HOME | ./.cookbook | the one folder that holds all local state |
| COOKBOOK_LAKE | $COOKBOOK_HOME/lake | root of the lake: a folder or an fsspec URL (s3://...) |
| COOKBOOK_DOWNLOADS | $COOKBOOK_HOME/downloads | cache of hash-checked release archives |
| COOKBOOK_WAREHOUSE | $COOKBOOK_HOME/warehouse.duckdb | DuckDB file that dbt writes |
| COOKBOOK_BENCHMARKS | (none) | folder of benchmark data files |
| COOKBOOK_TEACHER | $COOKBOOK_HOME/teacher/model | local teacher model (`make teacher`) |
| COOKBOOK_SPARK_MASTER | local[2] or as many cores as there are | Spark master URL |
| COOKBOOK_SPARK_MEMORY | 2g | memory of the Spark driver (and of each executor) |
| COOKBOOK_SANDBOX | strict, else user | walls around untrusted programs (assets/sandbox.py) |
| COOKBOOK_GPUS | 0 | processes of `accelerate launch`; 0 and 1 train in one process |
| MLFLOW_TRACKING_URI | sqlite file in $COOKBOOK_HOME/mlflow | MLflow store |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


class SettingsError(ValueError):
    """A setting in the environment has a value that cannot work."""


@dataclass(frozen=True)
class Settings:
    """Resolved settings; every path is absolute."""

    home: Path
    lake: str
    downloads: Path
    warehouse: Path
    benchmarks: Path | None
    teacher: Path
    spark_master: str
    spark_memory: str
    gpus: int
    mlflow_uri: str

    @property
    def dagster_home(self) -> Path:
        return self.home / "dagster"

    @property
    def mlflow_artifacts(self) -> str:
        """Where MLflow keeps artifacts when its store is the local SQLite file."""
        return (self.home / "mlflow" / "artifacts").as_uri()

    @staticmethod
    def from_environment(environment: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings now. Raises ``SettingsError`` naming the variable."""
        home = Path(environment.get("COOKBOOK_HOME") or ".cookbook").absolute()
        gpus = environment.get("COOKBOOK_GPUS") or "0"
        if not gpus.isdigit():
            raise SettingsError(f"COOKBOOK_GPUS: expected a number of GPUs, found {gpus!r}")
        warehouse = Path(environment.get("COOKBOOK_WAREHOUSE") or home / "warehouse.duckdb")
        if "." in warehouse.stem:  # DuckDB and dbt-duckdb would name its catalog differently
            raise SettingsError(
                "COOKBOOK_WAREHOUSE: expected a file name with one dot, as in warehouse.duckdb, "
                f"found {warehouse.name!r}"
            )
        lake = environment.get("COOKBOOK_LAKE") or str(home / "lake")
        benchmarks = environment.get("COOKBOOK_BENCHMARKS")
        return Settings(
            home=home,
            lake=lake if "://" in lake else str(Path(lake).absolute()),
            downloads=Path(environment.get("COOKBOOK_DOWNLOADS") or home / "downloads").absolute(),
            warehouse=warehouse.absolute(),
            benchmarks=Path(benchmarks).absolute() if benchmarks else None,
            teacher=Path(environment.get("COOKBOOK_TEACHER") or home / "teacher/model").absolute(),
            spark_master=environment.get("COOKBOOK_SPARK_MASTER")
            or f"local[{max(2, os.cpu_count() or 2)}]",
            spark_memory=environment.get("COOKBOOK_SPARK_MEMORY") or "2g",
            gpus=int(gpus),
            mlflow_uri=environment.get("MLFLOW_TRACKING_URI")
            or f"sqlite:///{home / 'mlflow' / 'mlflow.db'}",
        )
