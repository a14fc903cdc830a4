"""Dagster assets of the crawl: raw code and raw pages."""

from pathlib import Path

import dagster as dg

from assets.lake import Artifact
from assets.resources import Factory, check_decisions, recipe_asset, rows_conserved


@recipe_asset(
    group_name="crawl",
    kinds={"python", "parquet"},
    check_specs=[rows_conserved("raw_code")],
)
def raw_code(context: dg.AssetExecutionContext, factory: Factory) -> dg.MaterializeResult:
    """Every readable file of the crawled repositories, and a decision for every refused one."""
    from assets.crawl import raw_code as stage
    from assets.crawl.sources import source_fingerprint

    crawl = factory.recipe(context).crawl
    source = source_fingerprint(crawl)

    def compute(out: Path) -> None:
        stage.run(
            out, archives=factory.settings.downloads, params=crawl, expected_fingerprint=source
        )

    params = {"source": source, **crawl.model_dump(mode="json", exclude={"heldout_repositories"})}
    return factory.produce(
        context, compute, params=params, version=stage.VERSION, checks=[_every_file_is_told_of]
    )


@recipe_asset(group_name="crawl", kinds={"python", "warc"})
def raw_web(context: dg.AssetExecutionContext, factory: Factory) -> dg.MaterializeResult:
    """The HTML pages of the crawled archives as WARC files, one a repository."""
    from assets.crawl import raw_web as stage
    from assets.crawl.sources import source_fingerprint

    crawl = factory.recipe(context).crawl
    source = source_fingerprint(crawl)

    def compute(out: Path) -> None:
        stage.run(
            out, archives=factory.settings.downloads, params=crawl, expected_fingerprint=source
        )

    params = {"source": source, **crawl.model_dump(mode="json", exclude={"heldout_repositories"})}
    return factory.produce(context, compute, params=params, version=stage.VERSION)


def _every_file_is_told_of(artifact: Artifact) -> dg.AssetCheckResult:
    """One decision for each member of each archive that is crawled for code."""
    import pyarrow.dataset as pads

    table = pads.dataset(artifact.table("repositories"), format="parquet")
    files = table.to_table(["files"], filter=pads.field("role") != "pages")["files"].to_pylist()
    return check_decisions("raw_code", sum(files), artifact)
