"""Dagster asset of the web branch."""

import dagster as dg

from assets.lake import Artifact
from assets.resources import Factory, recipe_asset, rows_conserved


@recipe_asset(
    group_name="web",
    kinds={"python", "parquet"},
    check_specs=[rows_conserved("web_text")],
)
def web_text(
    context: dg.AssetExecutionContext, factory: Factory, raw_web: Artifact
) -> dg.MaterializeResult:
    """Main text of every crawled page (paper 2.1.2, the input of recall)."""
    from assets.web import extract

    web = factory.recipe(context).web
    return factory.produce(
        context,
        lambda out: extract.run(out, raw_web=raw_web.path, params=web),
        inputs={"raw_web": raw_web},
        params=web,
        version=extract.VERSION,
        conserves="raw_web/pages",
    )
