"""The `cookbook` command: set up, run a recipe, look at what came out.

Progress goes to standard error, results to standard output. Exit codes: 0 done, 1 a run failed,
2 the recipe or the settings cannot be used.
"""

from __future__ import annotations

import logging
import sys
import time
import warnings
from collections.abc import Callable
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
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    log.setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.addFilter(lambda record: verbose or record.name == "cookbook"
                          or record.levelno >= logging.WARNING)  # fmt: skip
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


def execute(key: str, job: str) -> bool:
    """Run the job's partition in this process; True when every step succeeded."""
    from dagster import DagsterInstance

    from orchestration.definitions import defs
    from orchestration.home import bury_dead_runs, process_tag, register_recipes
    from orchestration.jobs import QUIET

    register_recipes([key])
    if buried := bury_dead_runs():
        log.info("%d interrupted runs marked as failed; what they finished is kept", buried)
    with DagsterInstance.get() as instance:
        result = defs.resolve_job_def(job).execute_in_process(
            partition_key=key,
            instance=instance,
            run_config=QUIET,
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
