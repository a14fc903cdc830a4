"""Dagster assets of the crawl: raw code and raw pages."""

from pathlib import Path

import dagster as dg

from assets.resources import Factory, recipe_asset


@recipe_asset(group_name="crawl", kinds={"python", "parquet"})
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
    return factory.produce(context, compute, params=params, version=stage.VERSION)


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
