"""Training orders: what makes a checkpoint's identity, and the config that a process gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assets.lake import Artifact, Lake
from assets.models.launch import command
from assets.models.orders import Order, anneal_order, pretrain_order, sft_order
from assets.recipe import Recipe, RecipeError, load_recipe
from assets.settings import Settings

PROJECT = Path(__file__).resolve().parents[3] / "dbt_project"


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


def sft_mix(strategy: str) -> list[tuple[str, str]]:
    """(run, example set) as the dbt model plans them."""
    import duckdb
    import jinja2

    def refuse(message: str) -> None:
        raise ValueError(message)

    class Exceptions:
        raise_compiler_error = staticmethod(refuse)

    sql = jinja2.Template((PROJECT / "models/mix/sft_mix.sql").read_text()).render(
        var=lambda _: strategy, source=lambda _, table: table, exceptions=Exceptions
    )
    with duckdb.connect() as connection:
        for example_set in ("stage1", "stage2"):
            connection.execute(f"create table sft_{example_set}_set_examples as select 1 as x")
        rows = connection.execute(sql).fetchall()
    assert all(row[0] == strategy and row[3] == 1 for row in rows)
    return [(row[1], row[2]) for row in rows]


FIRST, SECOND = "sft_stage1_model", "sft_stage2_model"


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        # run: example sets, whose settings, their order; None: the base is passed on
        ("two_stage", {FIRST: ("stage1", "stage1"), SECOND: ("stage2", "stage2")}),
        ("stage1_only", {FIRST: ("stage1", "stage1"), SECOND: None}),
        ("stage2_only", {FIRST: None, SECOND: ("stage2", "stage2")}),
        ("mixed", {FIRST: None, SECOND: ("stage1+stage2", "stage1")}),
        ("reversed", {FIRST: ("stage2", "stage2"), SECOND: ("stage1", "stage1")}),
        ("progressive", {FIRST: None, SECOND: ("stage1+stage2", "stage1", "progressive")}),
    ],
)
def test_each_strategy_of_tuning_reads_its_sets_with_their_settings(
    lake: Lake, tmp_path: Path, strategy: str, expected: dict[str, tuple[str, ...] | None]
) -> None:
    from training.config import SftConfig, load_config

    recipe = load_recipe(f"starter~sft.strategy={strategy}")
    sets = {n: artifact(lake, f"sft_{n}_set", "examples") for n in ("stage1", "stage2")}
    plan = sft_mix(strategy)
    for run, wanted in expected.items():
        used = {name: sets[name] for planned, name in plan if planned == run}
        order = sft_order(
            recipe, run, artifact(lake, "base"), used,  # type: ignore[arg-type]
            artifact(lake, "dbt_sft_mix"), artifact(lake, "heldout_code"),
        )  # fmt: skip
        if wanted is None:
            assert order.same_as == "base"
            continue
        names, settings, *how = wanted
        file = tmp_path / f"{run}.json"
        file.write_text(json.dumps(order.config(order.artifacts(lake), tmp_path / "out")))
        config = load_config(SftConfig, file)
        stage = getattr(recipe.sft, settings)
        assert "+".join(source.name for source in config.sources) == names
        assert (config.epochs, config.lr, config.batch_size) == (
            stage.epochs,
            stage.lr,
            stage.batch_size,
        )
        assert [config.order] == (how or ["shuffled"])
        assert order.same_as is None


def test_an_unknown_strategy_is_refused_by_the_plan() -> None:
    with pytest.raises(ValueError, match=r"two_stage.*progressive, found sideways"):
        sft_mix("sideways")


def test_annealing_can_branch_from_a_kept_checkpoint(lake: Lake) -> None:
    def order(key: str) -> Order:
        return anneal_order(
            load_recipe(key), artifact(lake, "pretrained_model"), artifact(lake, "token_shards"),
            artifact(lake, "dbt_anneal_mix"), {"corpus": 1.0}, artifact(lake, "heldout_code"),
        )  # fmt: skip

    kept = "starter~pretrain.keep_every_steps=70"
    early = order(f"{kept}~anneal.from_step=140")
    config = early.config(early.artifacts(lake), Path("out"))
    assert config["init_from"].endswith("/checkpoints/step-000140")
    assert early.identity() != order(kept).identity()
    # The last step of pretraining is the finished run itself.
    assert order(f"{kept}~anneal.from_step=280") == order(kept)
    for wrong in ("starter~anneal.from_step=140", f"{kept}~anneal.from_step=100"):
        with pytest.raises(RecipeError, match="from_step"):
            load_recipe(wrong)


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
