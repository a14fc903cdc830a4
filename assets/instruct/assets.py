"""Dagster assets of the instruction data, derived from the crawl itself (paper 4.1, 4.4)."""

import dagster as dg

from assets.lake import Artifact
from assets.recipe import Recipe
from assets.resources import Factory, recipe_asset


def _decontaminated(asset: str) -> dg.AssetCheckSpec:
    return dg.AssetCheckSpec(
        "no_contamination",
        asset=asset,
        blocking=True,
        description="no example names a HumanEval entry point or shares an n-gram with its tasks",
    )


@recipe_asset(
    group_name="instruct",
    kinds={"python", "parquet"},
    check_specs=[_decontaminated("sft_stage1_set")],
)
def sft_stage1_set(
    context: dg.AssetExecutionContext, factory: Factory, filtered_code: Artifact
) -> dg.MaterializeResult:
    """Documented functions of the crawl: from the docstring, write the function."""
    from assets.instruct import stage1

    recipe = factory.recipe(context)
    return factory.produce(
        context,
        lambda out: stage1.run(
            out,
            documents=filtered_code.table("documents"),
            params=recipe.sft.stage1,
            decontaminate=recipe.decontaminate,
        ),
        inputs={"filtered_code": filtered_code},
        params={
            "max_examples": recipe.sft.stage1.max_examples,
            "max_length": recipe.sft.stage1.max_length,
            "decontaminate": recipe.decontaminate.model_dump(mode="json"),
        },
        version=stage1.VERSION,
        checks=[lambda artifact: _no_contamination("sft_stage1_set", artifact, recipe)],
    )


@recipe_asset(
    group_name="instruct",
    kinds={"python", "parquet"},
    check_specs=[_decontaminated("sft_stage2_set")],
)
def sft_stage2_set(
    context: dg.AssetExecutionContext, factory: Factory, verified_snippets: Artifact
) -> dg.MaterializeResult:
    """Functions whose doctests really pass, with their examples in the instruction."""
    from assets.instruct import stage2

    recipe = factory.recipe(context)
    return factory.produce(
        context,
        lambda out: stage2.run(
            out,
            functions=verified_snippets.table("functions"),
            params=recipe.sft.stage2,
            decontaminate=recipe.decontaminate,
        ),
        inputs={"verified_snippets": verified_snippets},
        params={
            "max_examples": recipe.sft.stage2.max_examples,
            "max_length": recipe.sft.stage2.max_length,
            "decontaminate": recipe.decontaminate.model_dump(mode="json"),
        },
        version=stage2.VERSION,
        checks=[lambda artifact: _no_contamination("sft_stage2_set", artifact, recipe)],
    )


def _no_contamination(asset: str, artifact: Artifact, recipe: Recipe) -> dg.AssetCheckResult:
    """Look for contamination once more, in what was written."""
    import pyarrow.dataset as pads

    from assets.instruct.decontaminate import contamination

    check = contamination(recipe.decontaminate)
    rows = pads.dataset(artifact.table("examples"), format="parquet").to_table(
        ["example_id", "instruction", "output", "entry_point"]
    )
    dirty = [
        row["example_id"]
        for row in rows.to_pylist()
        if check.check_example(row["instruction"], row["output"], row["entry_point"])
    ]
    return dg.AssetCheckResult(
        check_name="no_contamination",
        asset_key=asset,
        passed=not dirty,
        metadata={"examples": rows.num_rows, "contaminated": dirty[:5]},
    )
