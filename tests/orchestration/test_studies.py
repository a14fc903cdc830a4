"""Studies: expansion into variants, shared variants, and what a page says."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.recipe import RecipeError, load_recipe
from orchestration.ablations import study_page
from orchestration.studies import comparison_rows, load_studies


def test_the_projects_studies_are_valid_and_have_two_seeds() -> None:
    studies = {study.name: study for study in load_studies()}
    assert {"dedup_level", "sft_stages"} <= set(studies)
    for study in studies.values():
        assert len(study.seeds) >= 2
        assert len({v.key for v in study.variants()}) == len(study.groups) * len(study.seeds)


def test_variants_change_only_what_the_group_names() -> None:
    study = next(s for s in load_studies() if s.name == "dedup_level")
    for variant in study.variants():
        recipe = load_recipe(variant.key)
        assert recipe.dedup.level == variant.group and recipe.seed == variant.seed
        base = load_recipe(study.base)
        changed = recipe.model_copy(update={"dedup": base.dedup, "seed": base.seed})
        assert changed == base


def test_comparison_rows_cover_every_cell() -> None:
    rows = comparison_rows()
    cells = sum(len(s.variants()) * len(s.metrics) for s in load_studies())
    assert len(rows) == cells and all(row["variant"].startswith("tiny~") for row in rows)


@pytest.mark.parametrize(
    "text",
    [
        "name: x\n",
        "name: x\nquestion: q\npaper: p\nbase: tiny\nseeds: []\ngroups: {a: {}}\nmetrics: []",
    ],
)
def test_invalid_studies_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    monkeypatch.setenv("COOKBOOK_STUDIES", str(tmp_path))
    with pytest.raises(RecipeError, match=r"bad\.yaml: invalid study"):
        load_studies(["bad"])


def test_unknown_study_names_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"expected one of .*dedup_level"):
        load_studies(["no_such_study"])


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"file": [2.0, 2.1], "repository": [2.05, 2.15], "none": [2.0, 2.2]}, "no answer yet"),
        ({"file": [2.0, 2.01], "repository": [2.5, 2.51], "none": [3.0, 3.0]}, "Lowest file"),
    ],
)
def test_page_weighs_difference_against_spread_of_seeds(
    tmp_path: Path, values: dict[str, list[float]], sentence: str
) -> None:
    study = next(s for s in load_studies() if s.name == "dedup_level")
    rows = [
        {"study": study.name, "variant_group": group, "seed": seed, "asset": metric.asset,
         "benchmark": metric.benchmark, "metric": metric.metric, "value": value}
        for metric in study.metrics
        for group, series in values.items()
        for seed, value in enumerate(series)
    ]  # fmt: skip
    (tmp_path / "results").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "results" / "part.parquet")
    page = study_page(study, tmp_path / "results")
    assert sentence in page and f"{values['file'][0]:.4f}" in page
