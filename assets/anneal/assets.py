"""Dagster assets of the annealing data (paper 2.2)."""

import dagster as dg

from assets.lake import Artifact
from assets.resources import Factory, recipe_asset, rows_conserved


@recipe_asset(
    group_name="anneal",
    kinds={"python", "parquet"},
    check_specs=[rows_conserved("algorithmic_corpus")],
)
def algorithmic_corpus(
    context: dg.AssetExecutionContext, factory: Factory, filtered_code: Artifact
) -> dg.MaterializeResult:
    """Files that speak of algorithms: the paper's keywords and those of the recipe."""
    from assets.anneal import algorithmic

    anneal = factory.recipe(context).anneal
    return factory.produce(
        context,
        lambda out: algorithmic.run(out, documents=filtered_code.table("documents"), params=anneal),
        inputs={"filtered_code": filtered_code},
        params={"algorithmic_keywords": anneal.algorithmic_keywords},
        version=algorithmic.VERSION,
        conserves="filtered_code/documents",
    )


@recipe_asset(group_name="anneal", kinds={"python", "parquet"})
def verified_snippets(
    context: dg.AssetExecutionContext, factory: Factory, filtered_code: Artifact
) -> dg.MaterializeResult:
    """Self-contained functions whose own doctests pass in the sandbox, and whose stubs fail."""
    from assets.anneal import verified

    anneal = factory.recipe(context).anneal
    return factory.produce(
        context,
        lambda out: verified.run(out, documents=filtered_code.table("documents"), params=anneal),
        inputs={"filtered_code": filtered_code},
        params={"max_snippet_candidates": anneal.max_snippet_candidates},
        version=verified.VERSION,
    )
