"""Studies: a question, a base recipe, the variants that answer it, and the metrics to compare.

A study expands to one variant a group and seed. Variants that two studies share are one partition,
and stages that a variant does not change are found in the lake.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from assets.recipe import RecipeError, load_recipe, variant_key

STUDIES = Path(__file__).resolve().parent / "studies"


class Metric(BaseModel):
    """One score of one asset: the asset is what a variant must materialise."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    asset: str
    benchmark: str
    metric: str


class Variant(BaseModel):
    """One cell of a study."""

    model_config = ConfigDict(frozen=True)
    study: str
    group: str
    seed: int
    key: str


class Study(BaseModel):
    """One YAML file of ``orchestration/studies``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str
    question: str
    paper: str = Field(description="section of arXiv 2411.04905 that it reproduces")
    base: str
    seeds: list[int] = Field(min_length=1)
    groups: dict[str, dict[str, Any]] = Field(min_length=1, description="group to overrides")
    metrics: list[Metric] = Field(min_length=1)

    def variants(self) -> list[Variant]:
        """Every group with every seed. Raises ``RecipeError`` for a variant that cannot be."""
        variants = []
        for group, overrides in self.groups.items():
            for seed in self.seeds:
                key = variant_key(self.base, {**overrides, "seed": seed})
                load_recipe(key)
                variants.append(Variant(study=self.name, group=group, seed=seed, key=key))
        return variants

    def assets(self) -> list[str]:
        """The assets whose scores are compared."""
        return sorted({metric.asset for metric in self.metrics})


def load_studies(names: list[str] | None = None) -> list[Study]:
    """The named studies (all, if none are named); COOKBOOK_STUDIES adds a folder of one's own."""
    own = os.environ.get("COOKBOOK_STUDIES")
    folders = [STUDIES, *([Path(own)] if own else [])]
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    unknown = set(names or []) - set(files)
    if unknown:
        raise RecipeError(f"no study {sorted(unknown)}: expected one of {sorted(files)}")
    return [_load(files[name]) for name in (names or sorted(files))]


def comparison_rows() -> list[dict[str, Any]]:
    """One row a study, variant and metric: what the dbt model ``study_results`` compares."""
    return [
        {
            "study": study.name,
            "group": variant.group,
            "variant": variant.key,
            "seed": variant.seed,
            **metric.model_dump(),
        }
        for study in load_studies()
        for variant in study.variants()
        for metric in study.metrics
    ]


def _load(path: Path) -> Study:
    try:
        return Study.model_validate(yaml.safe_load(path.read_text()))
    except (yaml.YAMLError, ValidationError) as error:
        raise RecipeError(f"{path}: invalid study: {error}") from error
