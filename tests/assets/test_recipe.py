"""Recipes: the ones that come with the project, variants, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from assets.recipe import (
    RECIPES,
    Recipe,
    RecipeError,
    choice_paths,
    load_recipe,
    parse_recipe,
    parse_variant,
    recipe_files,
    variant_key,
)

SMALL = {"name": "x", "description": "d", "pretrain": {"steps": 1}, "anneal": {"steps": 1}}


@pytest.mark.parametrize("name", sorted(recipe_files()))
def test_every_recipe_on_disk_is_valid(name: str) -> None:
    assert load_recipe(name).name == name


def test_opencoder_1_5b_is_the_paper() -> None:
    recipe = load_recipe("opencoder-1.5b")
    tokens = recipe.pretrain.steps * recipe.pretrain.batch_size * recipe.pretrain.context_length
    assert tokens == pytest.approx(2e12, rel=1e-5)
    anneal = recipe.anneal.steps * recipe.pretrain.batch_size * recipe.pretrain.context_length
    assert anneal == pytest.approx(100e9, rel=1e-4)
    model = recipe.model
    assert (model.num_hidden_layers, model.hidden_size, model.head_dim) == (24, 2240, 160)
    assert (model.num_attention_heads, model.num_key_value_heads) == (14, 14)
    assert not model.tie_word_embeddings and recipe.tokenizer.vocab_size == 96_640
    assert (recipe.dedup.permutations, recipe.dedup.bands, recipe.dedup.rows) == (2048, 16, 128)
    assert recipe.sample.language_bytes == {"java": 200_000_000_000, "html": 64_000_000_000}
    assert (recipe.sft.stage1.epochs, recipe.sft.stage1.batch_size) == (1, 4096)
    assert (recipe.sft.stage2.epochs, recipe.sft.stage2.batch_size) == (3, 512)
    assert (recipe.pretrain.lr, recipe.anneal.lr_end) == (3e-4, 1e-5)


def test_opencoder_8b_is_the_paper() -> None:
    recipe = load_recipe("opencoder-8b")
    tokens = recipe.pretrain.steps * recipe.pretrain.batch_size * recipe.pretrain.context_length
    assert tokens == pytest.approx(2.5e12, rel=1e-5)
    model = recipe.model
    assert (model.num_hidden_layers, model.hidden_size, model.intermediate_size) == (
        32,
        4096,
        14336,
    )
    assert (model.num_attention_heads, model.num_key_value_heads, model.head_dim) == (32, 8, 128)
    assert (model.rope_theta, recipe.pretrain.context_length) == (500_000.0, 8192)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dedupe": {}}, r"dedupe: unknown key; allowed here: .*dedup.*did you mean 'dedup'"),
        ({"dedup": {"band": 4}}, r"dedup\.band: unknown key; allowed here: .*bands"),
        ({"pretrain": {"steps": "many"}}, r"pretrain\.steps: .*integer, found 'many'"),
        ({"pretrain": {}}, r"pretrain\.steps: missing"),
        ({"pretrain": {"steps": 0}}, r"pretrain\.steps: .*greater than 0, found 0"),
        ({"dedup": {"level": "line"}}, r"dedup\.level: .*'file', 'repository' or 'none'"),
        ({"dedup": {"bands": 99, "rows": 99}}, r"dedup: bands x rows = 9801 needs"),
        ({"crawl": {"source": {}}}, r"crawl\.source: give exactly one of manifest, folder or git"),
        ({"tokenizer": {"vocab_size": 1000}}, r"tokenizer\.vocab_size: .*multiple of 128"),
        ({"anneal": {"steps": 1, "mix": {"corpus": 0.5}}}, r"anneal: the shares of mix must sum"),
        ({"model": {"num_key_value_heads": 3}}, r"model: num_attention_heads .* multiple"),
        ({"pretrain": {"steps": 1, "context_length": 64}}, r"sft: max_length 1500 is beyond"),
        ({"seed": 1.5}, r"seed: .*integer"),
    ],
)
def test_invalid_recipes_are_refused_with_path_and_choices(
    change: dict[str, object], message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        parse_recipe({**SMALL, **change}, where="mine.yaml")
    assert str(caught.value).startswith("mine.yaml: invalid recipe")


def test_all_problems_are_told_at_once() -> None:
    tree = {**SMALL, "dedup": {"level": "x"}, "sample": {"total": 3}}
    with pytest.raises(RecipeError, match=r"(?s)dedup\.level.*sample\.total"):
        parse_recipe(tree, where="mine.yaml")


def test_variants_override_by_dotted_or_underscored_path() -> None:
    recipe = load_recipe("starter~dedup_level=repository~seed=1~sft.stage1.lr=1.0e-5")
    assert (recipe.dedup.level, recipe.seed, recipe.sft.stage1.lr) == ("repository", 1, 1e-5)
    assert recipe.dedup.bands == load_recipe("starter").dedup.bands


def test_variant_keys_round_trip() -> None:
    overrides = {
        "seed": 3,
        "dedup.level": "none",
        "crawl.source.manifest": None,
        "dedup.exact": False,
    }
    key = variant_key("starter", overrides)
    assert parse_variant(key) == ("starter", overrides)
    assert variant_key("starter", dict(reversed(overrides.items()))) == key


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("nobody", "no recipe 'nobody': expected one of .*starter"),
        ("starter~dedup", "expected recipe~key=value"),
        ("starter~seed=1~seed=2", "each key once"),
        ("starter~dedup_lvl=file", r"no choice 'dedup_lvl'.*dedup\.level"),
        ("starter~name=other", "no choice 'name'"),
        ("starter~seed=x", r"seed: .*integer, found 'x'"),
    ],
)
def test_impossible_variants_are_refused(key: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load_recipe(key)


def test_own_recipes_stand_beside_the_projects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({**SMALL, "name": "mine"}))
    monkeypatch.setenv("COOKBOOK_RECIPES", str(tmp_path))
    assert load_recipe("mine").pretrain.steps == 1
    assert {"mine", "starter"} <= set(recipe_files())


@pytest.mark.parametrize("text", ["", "- a", "name: other\n", "name: [unclosed"])
def test_files_that_are_no_recipe_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    monkeypatch.setenv("COOKBOOK_RECIPES", str(tmp_path))
    with pytest.raises(RecipeError, match=r"mine\.yaml: "):
        load_recipe("mine")


def test_digest_is_of_choices_not_of_names() -> None:
    same = parse_recipe({**SMALL, "name": "y", "description": "other"}, "f")
    assert same.digest() == parse_recipe(SMALL, "f").digest()
    assert parse_recipe({**SMALL, "seed": 1}, "f").digest() != same.digest()


def test_every_choice_says_its_type_and_every_section_is_documented() -> None:
    assert "dedup.level" in set(choice_paths())
    sections = [Recipe, *{type(getattr(load_recipe("starter"), n)) for n in Recipe.model_fields}]
    undocumented = [s.__name__ for s in sections if hasattr(s, "model_fields") and not s.__doc__]
    assert undocumented == []


def test_recipes_say_where_their_numbers_come_from() -> None:
    for path in RECIPES.glob("*.yaml"):
        assert path.read_text().startswith("# "), f"{path.name} needs a comment on what it is for"
