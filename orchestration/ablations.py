"""The ablation engine: studies in, variants out, one comparison.

``dagster job execute -j ablations`` plans the variants of every study (or of those named in the op
config), materialises each variant's partition of the same asset graph, one after the other, and
compares them. What variants share is computed once: the lake finds it.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from assets.resources import RECIPES, Factory
from orchestration.jobs import QUIET
from orchestration.studies import Study, load_studies

log = logging.getLogger("cookbook")


class StudiesConfig(dg.Config):
    """Which studies to run; none named means all of ``orchestration/studies``."""

    studies: list[str] = Field(default=[], description="names; empty means all")


@dg.op(out=dg.DynamicOut(dict), description="One output a variant, each with what it must score.")
def plan_variants(
    context: dg.OpExecutionContext, config: StudiesConfig
) -> Iterator[dg.DynamicOutput[dict[str, Any]]]:
    wanted: dict[str, set[str]] = {}
    for study in load_studies(config.studies or None):
        for variant in study.variants():
            wanted.setdefault(variant.key, set()).update(study.assets())
    context.instance.add_dynamic_partitions(RECIPES.name or "recipes", sorted(wanted))
    log.info("ablations: %d variants", len(wanted))
    for number, (key, targets) in enumerate(sorted(wanted.items())):
        yield dg.DynamicOutput(
            {"key": key, "targets": sorted(targets), "studies": config.studies},
            mapping_key=f"variant_{number:03d}",
        )


@dg.op(description="Materialise one variant's partition of the graph, up to its scores.")
def run_variant(context: dg.OpExecutionContext, variant: dict[str, Any]) -> dict[str, Any]:
    from orchestration.definitions import defs

    log.info("variant %s", variant["key"])
    job = defs.resolve_job_def("cookbook")
    selection = dg.AssetSelection.assets(*variant["targets"]).upstream()
    result = job.execute_in_process(
        partition_key=variant["key"],
        instance=context.instance,
        run_config=QUIET,
        asset_selection=sorted(selection.resolve(defs.resolve_asset_graph())),
        tags={"cookbook/ablation_run": context.run_id},
    )
    if not result.success:
        raise dg.Failure(f"variant {variant['key']} failed; see run {result.run_id}")
    return variant


@dg.op(description="Rebuild the scoreboard and answer each study with a table and a plot.")
def compare(
    context: dg.OpExecutionContext, factory: Factory, variants: list[dict[str, Any]]
) -> None:
    from orchestration.definitions import defs

    job = defs.resolve_job_def("scoreboard")
    result = job.execute_in_process(instance=context.instance, run_config=QUIET)
    if not result.success:
        raise dg.Failure(f"the scoreboard could not be built; see run {result.run_id}")
    artifact = factory.held("study_comparison", "all")
    named = variants[0]["studies"] if variants else []
    folder = factory.settings.home / "reports" / "studies"
    folder.mkdir(parents=True, exist_ok=True)
    for study in load_studies(named or None):
        page = folder / f"{study.name}.md"
        page.write_text(study_page(study, artifact.table("study_results")))
        print(page.read_text())  # noqa: T201 (the answer is what the person ran the job for)
        context.log.info("wrote %s", page)


@dg.job(
    executor_def=dg.in_process_executor,
    config=dg.RunConfig(ops={"plan_variants": StudiesConfig()}),
    description="Run the studies: variants of a base recipe, compared over seeds.",
)
def ablations() -> None:
    compare(plan_variants().map(run_variant).collect())


def study_page(study: Study, results: Path) -> str:
    """Markdown answer of a study: every seed, the means, and how far seeds spread."""
    import pyarrow.dataset as pads

    rows = [
        row
        for row in pads.dataset(results, format="parquet").to_table().to_pylist()
        if row["study"] == study.name
    ]
    lines = [f"# {study.name}", "", study.question, "", f"Paper section {study.paper}.", ""]
    for metric in study.metrics:
        lines += [f"## {metric.benchmark}, {metric.metric} ({metric.asset})", ""]
        lines += ["| group | mean | seeds |", "| --- | --- | --- |"]
        means: dict[str, float] = {}
        for group in study.groups:
            values = [
                row["value"]
                for row in rows
                if (row["variant_group"], row["asset"], row["benchmark"], row["metric"])
                == (group, metric.asset, metric.benchmark, metric.metric)
            ]
            if not values:
                lines.append(f"| {group} | not run | |")
                continue
            means[group] = sum(values) / len(values)
            seeds = ", ".join(f"{value:.4f}" for value in values)
            lines.append(f"| {group} | {means[group]:.4f} | {seeds} |")
        lines += ["", _verdict(means, rows, metric.benchmark, metric.metric), ""]
    return "\n".join(lines)


def _verdict(
    means: dict[str, float], rows: list[dict[str, Any]], benchmark: str, metric: str
) -> str:
    """One sentence: the difference between groups against the spread between seeds."""
    if len(means) < 2:
        return "Fewer than two groups have scores: nothing to compare."
    spreads = []
    for group in means:
        values = [
            row["value"]
            for row in rows
            if (row["variant_group"], row["benchmark"], row["metric"]) == (group, benchmark, metric)
        ]
        spreads.append(max(values) - min(values))
    low, high = min(means, key=means.__getitem__), max(means, key=means.__getitem__)
    difference = means[high] - means[low]
    sentence = f"Lowest {low}, highest {high}; difference {difference:.4f}"
    if difference <= max(spreads):
        return f"{sentence}, within the spread of seeds ({max(spreads):.4f}): no answer yet."
    return f"{sentence}, spread of seeds at most {max(spreads):.4f}."
