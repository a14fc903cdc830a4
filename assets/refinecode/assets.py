"""Dagster assets of RefineCode, raw-code branch (paper 2.1.1), in the paper's order."""

import dagster as dg

from assets.lake import Artifact
from assets.resources import Factory, recipe_asset, rows_conserved


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[rows_conserved("selected_code")],
)
def selected_code(
    context: dg.AssetExecutionContext, factory: Factory, raw_code: Artifact
) -> dg.MaterializeResult:
    """Files of a known language within the size limit; held-out repositories set apart."""
    from assets.refinecode import select

    recipe = factory.recipe(context)
    heldout = recipe.crawl.heldout_repositories
    return factory.produce(
        context,
        lambda out: select.run(
            out,
            documents=raw_code.table("documents"),
            params=recipe.select,
            heldout_repositories=heldout,
            spark=factory.spark(),
        ),
        inputs={"raw_code": raw_code},
        params={"select": recipe.select.model_dump(mode="json"), "heldout": heldout},
        version=select.VERSION,
        conserves="raw_code/documents",
    )


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[
        rows_conserved("exact_deduped_code"),
        dg.AssetCheckSpec(
            "no_exact_duplicate",
            asset="exact_deduped_code",
            blocking=True,
            description="no two kept files have the same content (file level)",
        ),
    ],
)
def exact_deduped_code(
    context: dg.AssetExecutionContext, factory: Factory, selected_code: Artifact
) -> dg.MaterializeResult:
    """One copy of each content: most stars, then latest commit, then smallest doc_id."""
    from assets.refinecode import exact_dedup

    dedup = factory.recipe(context).dedup
    promised = dedup.exact and dedup.level == "file"
    return factory.produce(
        context,
        lambda out: exact_dedup.run(
            out,
            documents=selected_code.table("documents"),
            params=dedup,
            spark=factory.spark(),
        ),
        inputs={"selected_code": selected_code},
        params={"level": dedup.level, "exact": dedup.exact},
        version=exact_dedup.VERSION,
        conserves="selected_code/documents",
        checks=[lambda artifact: _no_exact_duplicate(artifact, promised)],
    )


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[rows_conserved("fuzzy_deduped_code")],
)
def fuzzy_deduped_code(
    context: dg.AssetExecutionContext, factory: Factory, exact_deduped_code: Artifact
) -> dg.MaterializeResult:
    """One file of each cluster of near-duplicates (MinHash LSH, connected components)."""
    from assets.refinecode import fuzzy_dedup

    dedup = factory.recipe(context).dedup
    return factory.produce(
        context,
        lambda out: fuzzy_dedup.run(
            out,
            documents=exact_deduped_code.table("documents"),
            params=dedup,
            spark=factory.spark(),
        ),
        inputs={"exact_deduped_code": exact_deduped_code},
        params=dedup.model_dump(mode="json", exclude={"exact"}),
        version=fuzzy_dedup.VERSION,
        conserves="exact_deduped_code/documents",
    )


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[rows_conserved("transformed_code")],
)
def transformed_code(
    context: dg.AssetExecutionContext, factory: Factory, fuzzy_deduped_code: Artifact
) -> dg.MaterializeResult:
    """Leading copyright comments cut, personal data replaced by placeholders."""
    from assets.refinecode import transformed

    transform = factory.recipe(context).transform
    return factory.produce(
        context,
        lambda out: transformed.run(
            out,
            documents=fuzzy_deduped_code.table("documents"),
            params=transform,
            spark=factory.spark(),
        ),
        inputs={"fuzzy_deduped_code": fuzzy_deduped_code},
        params=transform,
        version=transformed.VERSION,
        conserves="fuzzy_deduped_code/documents",
    )


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[rows_conserved("filtered_code")],
)
def filtered_code(
    context: dg.AssetExecutionContext, factory: Factory, transformed_code: Artifact
) -> dg.MaterializeResult:
    """Files that pass every quality rule of their language."""
    from assets.refinecode import filtered

    filters = factory.recipe(context).filters
    return factory.produce(
        context,
        lambda out: filtered.run(
            out,
            documents=transformed_code.table("documents"),
            params=filters,
            spark=factory.spark(),
        ),
        inputs={"transformed_code": transformed_code},
        params=filters,
        version=filtered.VERSION,
        conserves="transformed_code/documents",
    )


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[rows_conserved("heldout_code")],
)
def heldout_code(
    context: dg.AssetExecutionContext, factory: Factory, selected_code: Artifact
) -> dg.MaterializeResult:
    """Files of repositories that no training ever sees: the text of held-out bits per byte."""
    from assets.refinecode import heldout

    recipe = factory.recipe(context)
    return factory.produce(
        context,
        lambda out: heldout.run(
            out,
            heldout=selected_code.table("heldout"),
            transform=recipe.transform,
            filters=recipe.filters,
            heldout_bytes=recipe.evaluation.heldout_bytes,
        ),
        inputs={"selected_code": selected_code},
        params={
            "transform": recipe.transform.model_dump(mode="json"),
            "filters": recipe.filters.model_dump(mode="json"),
            "heldout_bytes": recipe.evaluation.heldout_bytes,
        },
        version=heldout.VERSION,
        conserves="selected_code/heldout",
    )


@recipe_asset(
    group_name="refinecode",
    kinds={"pyspark"},
    check_specs=[rows_conserved("sampled_corpus")],
)
def sampled_corpus(
    context: dg.AssetExecutionContext,
    factory: Factory,
    filtered_code: Artifact,
    sampling_plan: Artifact,
) -> dg.MaterializeResult:
    """The pretraining corpus: each language within the byte budget that dbt planned."""
    from assets.refinecode import sample

    recipe = factory.recipe(context)
    return factory.produce(
        context,
        lambda out: sample.run(
            out,
            documents=filtered_code.table("documents"),
            plan=sampling_plan.table("sampling_plan"),
            seed=recipe.seed,
            spark=factory.spark(),
        ),
        inputs={"filtered_code": filtered_code, "sampling_plan": sampling_plan},
        params={"seed": recipe.seed},
        version=sample.VERSION,
        conserves="filtered_code/documents",
    )


def _no_exact_duplicate(artifact: Artifact, promised: bool) -> dg.AssetCheckResult:
    import pyarrow.compute as pc
    import pyarrow.dataset as pads

    column = pads.dataset(artifact.table("documents"), format="parquet").to_table(
        ["content_sha256"]
    )["content_sha256"]
    duplicates = len(column) - pc.count_distinct(column).as_py()
    return dg.AssetCheckResult(
        check_name="no_exact_duplicate",
        asset_key="exact_deduped_code",
        passed=not promised or duplicates == 0,
        metadata={"duplicates": duplicates, "promised_by_recipe": promised},
    )
