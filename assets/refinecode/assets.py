"""Dagster assets of RefineCode, raw-code branch (paper 2.1.1), in the paper's order."""

from typing import Literal

import dagster as dg
from pydantic import Field

from assets.lake import Artifact
from assets.resources import Factory, describe, recipe_asset, rows_conserved


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
    promised = dedup.exact and dedup.level == "file" and dedup.across == "corpus"
    return factory.produce(
        context,
        lambda out: exact_dedup.run(
            out,
            documents=selected_code.table("documents"),
            params=dedup,
            spark=factory.spark(),
        ),
        inputs={"selected_code": selected_code},
        params=dedup.model_dump(
            mode="json", include={"level", "across", "exact", "fuzzy", "chunk_tokens"}
        ),
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
    from assets.refinecode.detection import plot_detection

    dedup = factory.recipe(context).dedup
    earlier = {f"against_{i}": factory.held("fuzzy_deduped_code", recipe)
               for i, recipe in enumerate(dedup.against)}  # fmt: skip
    return factory.produce(
        context,
        lambda out: fuzzy_dedup.run(
            out,
            documents=exact_deduped_code.table("documents"),
            params=dedup,
            spark=factory.spark(),
            against=[artifact.path for artifact in earlier.values()],
        ),
        inputs={"exact_deduped_code": exact_deduped_code, **earlier},
        # A preset or threshold stands in the numbers it means, an earlier recipe in the inputs.
        params=dedup.model_dump(
            mode="json", exclude={"exact", "preset", "threshold", "min_similarity", "against"}
        )
        | {"floor": dedup.floor},
        version=fuzzy_dedup.VERSION,
        conserves="exact_deduped_code/documents",
        plot=lambda artifact: plot_detection(dedup),
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


class TuningConfig(dg.Config):
    """Which threshold to look at. Left out, it is the one of the rule on that signal."""

    signal: str = Field("qsc_code_frac_chars_top_2grams", description="full name of a signal")
    table: str = Field("", description="rule table: python, data, others, ...; empty: all files")
    comparison: Literal["", "<", ">", "=="] = Field("", description="what is dropped")
    threshold: float | None = Field(None, description="in the unit of the signal")


@recipe_asset(group_name="tuning", kinds={"python", "pytorch"})
def filter_tuning(
    context: dg.AssetExecutionContext,
    factory: Factory,
    config: TuningConfig,
    transformed_code: Artifact,
    filtered_code: Artifact,
    pretrained_model: Artifact,
) -> dg.MaterializeResult:
    """One threshold of the filter: what others would drop, and bits per byte on both sides."""
    from dataclasses import asdict

    from assets.refinecode import tuning
    from assets.refinecode.tuning_report import read_page

    recipe = factory.recipe(context)
    asked = tuning.Tuning(
        signal=config.signal,
        table=config.table,
        comparison=config.comparison or None,
        threshold=config.threshold,
        seed=recipe.seed,
    )
    filters = recipe.filters
    rules = tuning.current_cuts(filters.rules, filters.thresholds, config.signal)
    artifact = factory.materialize(
        tuning.STAGE,
        lambda out: tuning.run(
            out,
            signals=filtered_code.table("signals"),
            documents=transformed_code.table("documents"),
            asked=asked,
            rules=rules,
            cost=tuning.model_cost(pretrained_model.path / "model"),
        ),
        {
            "transformed_code": transformed_code,
            "filtered_code": filtered_code,
            "pretrained_model": pretrained_model,
        },
        asdict(asked),
        tuning.VERSION,
    )
    page = read_page(artifact.path)
    factory.record(context, artifact, tuning.STAGE, page.metrics, files=page.files)
    return dg.MaterializeResult(
        value=artifact,
        metadata={
            **describe(artifact),
            **page.metrics,
            "plot": dg.MetadataValue.md(page.plot),
            "thresholds": dg.MetadataValue.md(page.thresholds),
            "bands": dg.MetadataValue.md(page.bands),
            "report": dg.MetadataValue.path(str(page.report)),
        },
        data_version=dg.DataVersion(artifact.digest),
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
