"""The state folder: what set-up prepares, and how runs that died are put in order.

``setup`` is idempotent: DAGSTER_HOME with its dagster.yaml, the parsed dbt project, one partition a
recipe, and an activated environment that knows where all of it is.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

from assets.recipe import recipe_files
from assets.refinecode.kernels import compile_kernels, compiled
from assets.settings import Settings

log = logging.getLogger("cookbook")
CHECKOUT = Path(__file__).resolve().parent.parent
MODULE = "orchestration.definitions"
#: What the dagster command reads: only from here, never from pyproject.toml. With a module named
#: there, `dagster dev` of 1.13 hands its web server a workspace file too, which refuses both,
#: unless every service loads the module itself.
DAGSTER_VARIABLES = {
    "DAGSTER_MODULE_NAME": MODULE,
    "DAGSTER_CLI_DEV_USE_LEGACY_CODE_SERVER_BEHAVIOR": "1",
}
_MARK = "# open-cookbook: what the dagster command reads"


def export_environment(settings: Settings) -> None:
    """Set what Dagster reads from the environment, for this process and its children."""
    os.environ.setdefault("COOKBOOK_HOME", str(settings.home))
    os.environ.setdefault("DAGSTER_HOME", str(settings.dagster_home))
    for name, value in DAGSTER_VARIABLES.items():
        os.environ.setdefault(name, value)


def setup(settings: Settings) -> None:
    """Prepare the state folder and the environment's activation script."""
    from orchestration.dbt import parse

    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(CHECKOUT / "orchestration" / "dagster.yaml", home / "dagster.yaml")
    (settings.home / "mlflow" / "artifacts").mkdir(parents=True, exist_ok=True)
    parse()
    if not compiled():
        _compile_beside(settings.home / "kernels.lock")
    export_environment(settings)
    _teach_activation(Path(sys.prefix) / "bin")
    register_recipes(sorted(recipe_files()))


def _compile_beside(lock_file: Path) -> None:
    """Compile the kernels in a process beside what comes next, unless one does already.

    The crawl needs no kernels, and who needs one sooner makes it. The process inherits the lock.
    """
    with open(lock_file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        log.info("compiling kernels for this machine in the background (once)")
        own = {k: v for k, v in os.environ.items() if not k.startswith(("COOKBOOK_", "DAGSTER_"))}
        subprocess.Popen([sys.executable, "-m", compile_kernels.__module__], cwd=CHECKOUT, env=own,
                         start_new_session=True, stdin=subprocess.DEVNULL, pass_fds=[lock.fileno()],
                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip


def register_recipes(keys: list[str]) -> None:
    """Make partitions of these recipes and variants, so that the UI lists them."""
    from dagster import DagsterInstance

    from assets.resources import RECIPES

    with DagsterInstance.get() as instance:
        instance.add_dynamic_partitions(RECIPES.name or "recipes", keys)


def bury_dead_runs() -> int:
    """Mark runs whose process is gone as failed and free their pool slots; how many there were.

    A killed process leaves its run in the state STARTED; nobody else would ever end it.
    """
    from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

    buried = 0
    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
            owner = run.tags.get("cookbook/process")
            if owner is None or owner == process_tag() or _alive(owner):
                continue
            instance.report_run_failed(run, message=f"process {owner} is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
            buried += 1
    return buried


def process_tag() -> str:
    """Identity of this process that survives reuse of process ids: boot, pid, start time."""
    return f"{_boot_id()}:{os.getpid()}:{_start_ticks(os.getpid())}"


def _alive(owner: str) -> bool:
    boot, pid, start = owner.split(":")
    return boot == _boot_id() and _start_ticks(int(pid)) == start


def _boot_id() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else "unknown"


def _start_ticks(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.is_file():
        return "gone" if Path("/proc").is_dir() else "unknown"
    return stat.read_text().rpartition(")")[2].split()[19]


def _teach_activation(folder: Path) -> None:
    """Make the activated environment export what `dagster job execute` reads (only from there)."""
    bash = [
        f'export COOKBOOK_HOME="${{COOKBOOK_HOME:-{CHECKOUT}/.cookbook}}"',
        'export DAGSTER_HOME="$COOKBOOK_HOME/dagster"',
        *(f"export {name}={value}" for name, value in DAGSTER_VARIABLES.items()),
    ]
    fish = [
        f"set -q COOKBOOK_HOME; or set -gx COOKBOOK_HOME {CHECKOUT}/.cookbook",
        'set -gx DAGSTER_HOME "$COOKBOOK_HOME/dagster"',
        *(f"set -gx {name} {value}" for name, value in DAGSTER_VARIABLES.items()),
    ]
    for name, lines in (("activate", bash), ("activate.fish", fish)):
        script = folder / name
        if script.is_file():
            own = script.read_text().partition(f"\n{_MARK}\n")[0]
            script.write_text("\n".join([own, _MARK, *lines, ""]))
