"""Training orders: what makes a checkpoint's identity, and the config that a process gets."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets.lake import Artifact, Lake
from assets.models.launch import command
from assets.models.orders import Order, anneal_order, pretrain_order, sft_order
from assets.recipe import Recipe, load_recipe
from assets.settings import Settings


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def artifact(lake: Lake, stage: str, table: str = "documents") -> Artifact:
    import pyarrow as pa

    from assets.documents import write_table

    return lake.materialize(
        stage, {}, {}, lambda out: write_table(out / table, pa.table({"doc_id": ["a"]}))
    )


def pretraining(lake: Lake, recipe: Recipe) -> Order:
    return pretrain_order(
        recipe, artifact(lake, "token_shards"), artifact(lake, "tokenizer"),
        artifact(lake, "heldout_code"),
    )  # fmt: skip


def test_pretraining_is_warmup_then_constant(lake: Lake) -> None:
    recipe = load_recipe("opencoder-1.5b")
    order = pretraining(lake, recipe)
    config = order.config(order.artifacts(lake), Path("out"))
    assert (config["decay"], config["lr_peak"], config["warmup_steps"]) == ("constant", 3e-4, 2000)
    assert config["model"]["head_dim"] == 160
    assert config["sources"][0]["path"].endswith("/corpus")
    assert config["out"] == "out" and "init_from" not in config


def test_how_it_runs_does_not_change_the_identity(lake: Lake) -> None:
    base = pretraining(lake, load_recipe("starter"))
    other = pretraining(lake, load_recipe("starter~pretrain.micro_batch_size=2"))
    seeded = pretraining(lake, load_recipe("starter~seed=1"))
    assert base.identity() == other.identity() != seeded.identity()
    assert base.params["micro_batch_size"] != other.params["micro_batch_size"]


def test_annealing_branches_with_the_planned_weights(lake: Lake) -> None:
    recipe = load_recipe("starter")
    order = anneal_order(
        recipe, artifact(lake, "pretrained_model"), artifact(lake, "token_shards"),
        artifact(lake, "dbt_anneal_mix"), {"corpus": 0.9, "algorithmic": 0.1, "snippets": 0.0},
        artifact(lake, "heldout_code"),
    )  # fmt: skip
    config = order.config(order.artifacts(lake), Path("out"))
    assert {s["name"]: s["weight"] for s in config["sources"]} == {
        "corpus": 0.9,
        "algorithmic": 0.1,
    }
    assert config["decay"] == "exponential" and "pretrained_model" in config["init_from"]


@pytest.mark.parametrize(
    ("strategy", "asset", "epochs"),
    [("two_stage", "sft_stage2_model", "stage2"), ("mixed", "sft_stage2_model", "stage1")],
)
def test_mixed_tuning_uses_the_first_stages_settings(
    lake: Lake, strategy: str, asset: str, epochs: str
) -> None:
    recipe = load_recipe(f"starter~sft.strategy={strategy}")
    order = sft_order(
        recipe, asset, artifact(lake, "base"),  # type: ignore[arg-type]
        {"stage1": artifact(lake, "sft_stage1_set", "examples")},
        artifact(lake, "dbt_sft_mix"), artifact(lake, "heldout_code"),
    )  # fmt: skip
    assert order.params["epochs"] == getattr(recipe.sft, epochs).epochs
    assert order.same_as is None


def test_a_run_without_examples_passes_its_base_on(lake: Lake) -> None:
    order = sft_order(
        load_recipe("starter"), "sft_stage2_model", artifact(lake, "base"), {},
        artifact(lake, "dbt_sft_mix"), artifact(lake, "heldout_code"),
    )  # fmt: skip
    assert order.same_as == "base"


def test_orders_survive_the_trip_between_ops(lake: Lake) -> None:
    order = pretraining(lake, load_recipe("starter"))
    assert Order.model_validate(order.model_dump(mode="json")) == order


def test_trainings_use_every_gpu_through_accelerate() -> None:
    one = command(Settings.from_environment({}), "pretrain", Path("c.json"))
    many = command(Settings.from_environment({"COOKBOOK_GPUS": "4"}), "pretrain", Path("c.json"))
    assert one[1:] == ["-m", "training", "pretrain", "--config", "c.json"]
    assert many[0].endswith("accelerate") and many[1:4] == ["launch", "--num_processes", "4"]
