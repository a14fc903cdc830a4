"""The `cookbook` command: set up, run a recipe, look at what came out.

Progress goes to standard error, results to standard output. Exit codes: 0 done, 1 a run failed,
2 the recipe or the settings cannot be used.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from assets.lake import LakeError
from assets.recipe import RecipeError, load_recipe, recipe_files, variant_key
from assets.settings import Settings, SettingsError
from orchestration.home import export_environment

Command = TypeVar("Command", bound=Callable[..., Any])
log = logging.getLogger("cookbook")


def _explained(command: Command) -> Command:
    """Show errors that people can act on as one message, without a traceback."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except (RecipeError, SettingsError, LakeError, FileNotFoundError, LookupError) as error:
            click.echo(f"cookbook: {error}", err=True)
            sys.exit(2)

    return run  # type: ignore[return-value]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--verbose", is_flag=True, help="log what the libraries say, too")
def main(verbose: bool) -> None:
    """Open Cookbook: the OpenCoder recipe as running software."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: verbose or record.name == "cookbook"
                      or record.levelno >= logging.WARNING)  # fmt: skip
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", handlers=[handler])
    log.setLevel(logging.INFO)
    if not verbose:
        warnings.filterwarnings("ignore", message=".* is currently in (beta|preview)")


@main.command()
@click.option("--quiet", is_flag=True)
@_explained
def setup(quiet: bool) -> None:
    """Prepare the state folder (COOKBOOK_HOME) and the activated environment."""
    from orchestration.home import setup as prepare

    settings = Settings.from_environment()
    prepare(settings)
    if not quiet:
        click.echo(f"state in {settings.home}; recipes: {', '.join(sorted(recipe_files()))}")


@main.command()
@click.argument("recipe", default="starter")
@click.option("--job", default="cookbook", show_default=True,
              type=click.Choice(["cookbook", "data", "training", "evaluation"]))  # fmt: skip
@click.option("--folder", type=click.Path(exists=True, file_okay=False, path_type=Path),
              help="crawl this folder of your own code instead")  # fmt: skip
@click.option(
    "--heldout", multiple=True, help="with --folder: a repository to keep out of training"
)
@_explained
def run(recipe: str, job: str, folder: Path | None, heldout: tuple[str, ...]) -> None:
    """Run a job for a recipe or variant: starter, starter~dedup_level=repository~seed=1, ..."""
    key = recipe
    if folder is not None:
        own = {
            "crawl.source.folder": str(folder.absolute()),
            "crawl.source.manifest": None,
            "crawl.heldout_repositories": list(heldout),
        }
        key = variant_key(recipe, own)
    load_recipe(key)  # refuse what cannot run before anything is started
    settings = Settings.from_environment()
    from orchestration.home import setup as prepare

    prepare(settings)
    started = time.monotonic()
    if not execute(key, job):
        sys.exit(1)
    log.info("job %s for %s: %.0f s", job, key, time.monotonic() - started)
    if job == "cookbook":
        click.echo(summary_text(key, settings))


def execute(
    key: str, job: str, assets: Sequence[str] = (), ops: Mapping[str, Any] | None = None
) -> bool:
    """Run the job's partition in this process; True when every step succeeded.

    ``assets`` runs only these, whatever job they are in; ``ops`` is the config of single ones.
    """
    from dagster import AssetKey, DagsterInstance

    from orchestration.definitions import defs
    from orchestration.home import bury_dead_runs, process_tag, register_recipes
    from orchestration.jobs import QUIET

    register_recipes([key])
    if buried := bury_dead_runs():
        log.info("%d interrupted runs marked as failed; what they finished is kept", buried)
    with DagsterInstance.get() as instance:
        definition = (
            defs.resolve_implicit_global_asset_job_def() if assets else defs.resolve_job_def(job)
        )
        result = definition.execute_in_process(
            partition_key=key,
            instance=instance,
            run_config={**QUIET, **({"ops": dict(ops)} if ops else {})},
            asset_selection=[AssetKey(name) for name in assets] or None,
            raise_on_error=False,
            tags={"cookbook/process": process_tag()},
        )
        if result.success:
            return True
        for event in result.all_events:
            if event.is_step_failure:
                click.echo(f"cookbook: {event.step_key} failed: {_root_cause(event)}", err=True)
        click.echo(f"cookbook: run {result.run_id} failed; `make ui` shows its log", err=True)
        return False


def _root_cause(event: Any) -> str:
    error = event.step_failure_data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip()[-2000:] if error else "no error recorded"


@main.command()
@click.argument("recipe", default="starter")
@_explained
def summary(recipe: str) -> None:
    """Print what the last run of a recipe made."""
    click.echo(summary_text(recipe, Settings.from_environment()))


def summary_text(key: str, settings: Settings) -> str:
    """The summary table and where to look next."""
    import json

    from assets.resources import Factory

    report = Factory().held("report", key)
    lines = json.loads((report.path / "summary.json").read_text())
    width = max(len(line["what"]) for line in lines)
    values = max(len(line["value"]) for line in lines)
    table = [f"  {x['what']:<{width}}  {x['value']:>{values}}  {x['note']}".rstrip() for x in lines]
    return "\n".join(
        [
            "",
            f"{key}",
            *table,
            "",
            "  Dagster UI   http://127.0.0.1:3000   (make ui)",
            "  MLflow UI    http://127.0.0.1:5000   (make ui)",
            f"  report       {report.path / 'report.html'}",
        ]
    )


@main.command()
@click.argument("path")
@click.option("--recipe", default="starter", show_default=True)
@_explained
def explain(path: str, recipe: str) -> None:
    """Tell the story of one file: what every stage did to it, and why."""
    from orchestration.stories import story

    click.echo(story(path, recipe))


@main.command()
@click.argument("signal")
@click.option("--recipe", default="starter", show_default=True)
@click.option("--table", default="", help="one rule table: python, data, others, ...  [all]")
@click.option("--above", type=float, help="look at dropping files above this value")
@click.option("--below", type=float, help="look at dropping files below this value")
@click.option("--equals", type=float, help="look at dropping files of this value")
@_explained
def tune(
    signal: str,
    recipe: str,
    table: str,
    above: float | None,
    below: float | None,
    equals: float | None,
) -> None:
    """Look at one threshold of the filter (the rule's own unless given): what it and others would
    drop, and what kept and dropped files near it cost the recipe's pretrained model."""
    from assets.refinecode.tuning import current_cuts
    from assets.refinecode.tuning_report import read_page
    from assets.resources import Factory
    from orchestration.home import setup as prepare

    asked = [(c, t) for c, t in ((">", above), ("<", below), ("==", equals)) if t is not None]
    if len(asked) > 1:
        raise click.UsageError("give one of --above, --below and --equals")
    comparison, threshold = asked[0] if asked else ("", None)
    filters = load_recipe(recipe).filters
    current_cuts(filters.rules, filters.thresholds, signal)  # refuse an unknown name right here
    prepare(Settings.from_environment())
    factory = Factory()
    for asset in ("transformed_code", "pretrained_model"):
        factory.held(asset, recipe)  # or say how to make it
    factory.held("filtered_code", recipe).table("signals")
    config = {"signal": signal, "table": table, "comparison": comparison, "threshold": threshold}
    if not execute(recipe, "cookbook", ["filter_tuning"], {"filter_tuning": {"config": config}}):
        sys.exit(1)
    page = read_page(factory.held("filter_tuning", recipe).path)
    click.echo("\n".join(["", page.thresholds, "", page.bands, "", page.headline, "",
                          f"  plot     {page.files[0]}", f"  report   {page.report}"]))  # fmt: skip


@main.command("filter")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...",
                type=click.Path(exists=True, path_type=Path))  # fmt: skip
@click.option("--rules", default="cookbook", show_default=True,
              type=click.Choice(["cookbook", "opencoder"]), help="the rule set")  # fmt: skip
@click.option("--format", "output", type=click.Choice(["table", "jsonl"]), default="table",
              show_default=True, help="jsonl: every file with all signals")  # fmt: skip
@click.option("--all", "show_kept", is_flag=True, help="list kept files, too")
@_explained
def filter_command(paths: tuple[Path, ...], rules: str, output: str, show_kept: bool) -> None:
    """Say which files the quality rules drop, and why: rule, value, threshold."""
    from orchestration.filter_files import filter_files

    filter_files(paths, rules=rules, output=output, show_kept=show_kept, write=click.echo)  # type: ignore[arg-type]


@main.command("dedup")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path),
              help="a new folder: kept/*.parquet and decisions.parquet")  # fmt: skip
@click.option("--format", "kind", type=click.Choice(["parquet", "jsonl", "files"]),
              help="what INPUT holds  [by its names]")  # fmt: skip
@click.option("--engine", type=click.Choice(["local", "spark"]),
              help="where  [local; spark if COOKBOOK_SPARK_MASTER is a cluster]")  # fmt: skip
@click.option("--preset", type=click.Choice(["paper", "stack", "verified"]),
              help="verified, unless bands are given")  # fmt: skip
@click.option("--threshold", type=float, help="similarity that bands and rows are chosen for")
@click.option("--permutations", type=int)
@click.option("--bands", type=int)
@click.option("--rows", type=int)
@click.option("--ngram", type=int, help="tokens in a shingle  [5]")
@click.option("--unit", type=click.Choice(["word", "char", "token"]), help="  [word]")
@click.option("--sketch", type=click.Choice(["fast", "exact"]), help="  [fast]")
@click.option("--verify", type=click.Choice(["none", "signature", "exact"]))
@click.option("--min-similarity", type=float, help="of a verified pair")
@click.option("--level", help="file, repository, chunk, repository+file, ...  [file]")
@click.option("--across", type=click.Choice(["corpus", "language"]), help="  [corpus]")
@click.option("--chunk-tokens", type=int)
@click.option("--exact/--no-exact", default=None, help="drop equal texts first  [yes]")
@click.option("--fuzzy/--no-fuzzy", default=None, help="drop near-duplicates  [yes]")
@click.option("--text-column", "text", default="content", show_default=True)
@click.option("--id-column", "id", help="names a row in the decisions  [doc_id, or its place]")
@click.option("--repository-column", "repository")
@click.option("--path-column", "path")
@click.option("--language-column", "language")
@click.option("--stars-column", "stars", help="the most stars stay")
@click.option("--popularity-percentile-column", "popularity_percentile",
              help="stands in for stars")  # fmt: skip
@click.option("--commit-time-column", "commit_time", help="then the latest stays")
@_explained
def dedup_command(
    source: Path, out: Path, kind: str | None, engine: str | None, **options: Any
) -> None:
    """Deduplicate parquet, JSON lines or a folder of files: exact, then near-duplicates.

    Without options: verified pairs of a Jaccard similarity of 0.7 or more on word 5-grams.
    """
    from dataclasses import fields

    spark, here = None, Settings.from_environment().spark_master.startswith("local")
    if engine == "spark" or (engine is None and not here):
        from assets.resources import Factory

        spark = Factory().spark
    else:
        from assets.refinecode.local.start import load_engine

        load_engine()
    from orchestration.dedup_files import dedup_files, dedup_params
    from orchestration.dedup_inputs import Columns

    columns = {field.name: options.pop(field.name) for field in fields(Columns)}
    summary = dedup_files(source, out, dedup_params(options), spark=spark,
                          columns=Columns(**columns), kind=kind)  # type: ignore[arg-type]  # fmt: skip
    for line in summary.lines():
        click.echo(line)
    click.echo(f"kept rows          {out / 'kept'}\ndecisions          {out / 'decisions.parquet'}")


@main.command("duplicates")
@click.argument("path")
@click.option("--recipe", default="starter", show_default=True)
@click.option("--lines", default=120, show_default=True, help="of the diff, at most")
@_explained
def duplicates_command(path: str, recipe: str, lines: int) -> None:
    """Show the duplicates of one file: which was kept, why, how alike they are, and a diff."""
    from orchestration.duplicates import duplicates

    click.echo(duplicates(path, recipe, lines))


@main.command()
@click.argument("asset", default="chat_scores")
@click.option("--recipe", default="starter", show_default=True)
@_explained
def lineage(asset: str, recipe: str) -> None:
    """Walk from an asset's MLflow run back to the raw crawl, by tags and digests alone."""
    from assets.tracking import Tracking

    tracking = Tracking(Settings.from_environment())
    run_id = tracking.stage_run(recipe, asset)
    if run_id is None:
        raise LookupError(f"MLflow knows no run of asset {asset!r} in recipe {recipe!r}")
    for step in tracking.lineage(run_id):
        click.echo(f"{step.stage:<22} digest {step.digest}  run {step.run_id}")


@main.command()
@_explained
def recipes() -> None:
    """List the recipes, and say which are valid."""
    for name, path in sorted(recipe_files().items()):
        recipe = load_recipe(name)
        click.echo(f"{name:<16} {recipe.description}  ({path})")


@main.command()
@click.option("--dagster-port", default=3000, show_default=True)
@click.option("--mlflow-port", default=5000, show_default=True)
@_explained
def ui(dagster_port: int, mlflow_port: int) -> None:
    """Start the Dagster UI and the MLflow UI on the state folder; Ctrl-C stops both."""
    from orchestration.home import setup as prepare
    from orchestration.servers import serve

    settings = Settings.from_environment()
    prepare(settings)
    serve(settings, dagster_port, mlflow_port)


@main.command()
@_explained
def teacher() -> None:
    """Fetch the small real model whose scores stand beside ours (93 MB), and check its hash."""
    from orchestration.teacher import fetch

    click.echo(f"teacher in {fetch(Settings.from_environment())}; "
               "the next `make demo` scores it (a few minutes)")  # fmt: skip


if __name__ == "__main__":
    export_environment(Settings.from_environment())
    main()
