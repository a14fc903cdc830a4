"""The weekly re-crawl."""

from collections.abc import Iterator

import dagster as dg

from assets.resources import RECIPES
from orchestration.jobs import cookbook


@dg.schedule(job=cookbook, cron_schedule="0 3 * * 1", execution_timezone="UTC")
def weekly_recrawl(context: dg.ScheduleEvaluationContext) -> Iterator[dg.RunRequest]:
    """Crawl again and re-run every registered recipe (variants of studies are left alone).

    A source that did not change has the same fingerprint, so its whole graph is found in the lake.
    """
    week = context.scheduled_execution_time.strftime("%G-W%V")
    for key in sorted(context.instance.get_dynamic_partitions(RECIPES.name or "recipes")):
        if "~" not in key:
            yield dg.RunRequest(run_key=f"{key}@{week}", partition_key=key)
