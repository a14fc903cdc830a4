"""The graph as a whole: it loads fast, without heavy libraries, and has the names people use."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "pyspark", "mlflow", "accelerate", "numba", "dbt")

ASSETS = {
    "cluster_sizes", "duplicate_clusters", "duplicate_rates", "stg_duplicates", "top_clusters",
    "vendoring",
    "algorithmic_corpus", "anneal_mix", "annealed_model", "base_scores", "chat_scores",
    "composition", "drop_reasons", "exact_deduped_code", "filtered_code", "funnel",
    "fuzzy_deduped_code", "heldout_code", "pretrained_model", "raw_code", "raw_web", "report",
    "rule_overlaps", "rule_report", "filter_tuning", "stg_filter_verdicts",
    "sampled_corpus", "sampling_plan", "scoreboard", "selected_code", "sft_mix",
    "sft_stage1_model", "sft_stage1_set", "sft_stage2_model", "sft_stage2_set", "stg_decisions",
    "stg_filtered_documents", "study_comparison", "study_results", "teacher_scores",
    "token_shards", "tokenizer", "transformed_code", "verified_snippets", "web_text",
}  # fmt: skip
CHECKS = {
    ("exact_deduped_code", "no_exact_duplicate"),
    ("sft_stage1_set", "no_contamination"),
    ("sft_stage2_set", "no_contamination"),
    *((name, "rows_conserved") for name in (
        "algorithmic_corpus", "exact_deduped_code", "filtered_code", "fuzzy_deduped_code",
        "heldout_code", "raw_code", "sampled_corpus", "selected_code",
        "transformed_code", "web_text")),
}  # fmt: skip


@pytest.fixture(scope="module")
def defs():  # type: ignore[no-untyped-def]
    from orchestration.definitions import defs

    return defs


def test_names_of_assets_jobs_schedules_and_sensors(defs) -> None:  # type: ignore[no-untyped-def]
    assert {s.key.to_user_string() for s in defs.resolve_all_asset_specs()} == ASSETS
    repository = defs.get_repository_def()
    assert {"cookbook", "data", "training", "evaluation", "ablations", "scoreboard"} <= set(
        repository.job_names
    )
    assert {s.name for s in repository.schedule_defs} == {"weekly_recrawl"}
    assert {s.name for s in repository.sensor_defs} >= {"recipes_on_disk", "score_new_checkpoints"}


def test_checks_of_the_stages_and_of_dbt(defs) -> None:  # type: ignore[no-untyped-def]
    keys = {
        (key.asset_key.to_user_string(), key.name)
        for key in defs.resolve_asset_graph().asset_check_keys
    }
    assert keys >= CHECKS
    assert ("sampling_plan", "unique_sampling_plan_language") in keys


def test_score_walks_up_to_the_crawl(defs) -> None:  # type: ignore[no-untyped-def]
    import dagster as dg

    selection = dg.AssetSelection.assets("chat_scores").upstream()
    names = {key.to_user_string() for key in selection.resolve(defs.resolve_asset_graph())}
    assert {"raw_code", "fuzzy_deduped_code", "sampling_plan", "anneal_mix", "sft_mix"} <= names


def test_loading_imports_nothing_heavy() -> None:
    program = (
        "import sys, orchestration.definitions as d; d.defs.get_repository_def();"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_floors_never_import_upwards() -> None:
    import ast
    from pathlib import Path

    root = Path(__file__).resolve().parents[2]
    allowed = {"training": (), "evaluation": ("training",), "assets": ("training", "evaluation")}
    forbidden_libraries = {"dagster", "pyspark", "duckdb", "dbt"}
    wrong = []
    for floor, below in allowed.items():
        for file in sorted((root / floor).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                names = (
                    [a.name for a in node.names] if isinstance(node, ast.Import)
                    else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                )  # fmt: skip
                for name in names:
                    top = name.split(".")[0]
                    house = {"training", "evaluation", "assets", "orchestration"} - {floor, *below}
                    if top in house or (floor != "assets" and top in forbidden_libraries):
                        wrong.append(f"{file.relative_to(root)} imports {name}")
                    if floor == "assets" and top == "dagster" and file.name not in (
                        "assets.py", "resources.py", "launch.py",
                    ):  # fmt: skip
                        wrong.append(f"{file.relative_to(root)} is not the Dagster-aware file")
    assert wrong == []
