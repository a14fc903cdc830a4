"""Both UIs on one state folder, started together and stopped together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import requests

from assets.settings import Settings
from assets.tracking import Tracking
from orchestration.home import DAGSTER_VARIABLES, MODULE

log = logging.getLogger("cookbook")
#: How long a server may take to end after it was asked to, in seconds.
_GRACE = 20


def serve(settings: Settings, dagster_port: int, mlflow_port: int) -> None:
    """Run until interrupted (Ctrl-C or SIGTERM), or until one of the two servers ends.

    Says when each of them answers. Nothing that was started here is left when it returns.
    """
    binaries = Path(sys.executable).parent
    dagster, mlflow = f"http://127.0.0.1:{dagster_port}", f"http://127.0.0.1:{mlflow_port}"
    commands = {
        f"{dagster}/server_info": [
            str(binaries / "dagster"), "dev", "-m", MODULE, "-h", "127.0.0.1",
            "-p", str(dagster_port),
        ],
        f"{mlflow}/health": [
            str(binaries / "mlflow"), "server", "--backend-store-uri", settings.mlflow_uri,
            "--default-artifact-root", settings.mlflow_artifacts, "--host", "127.0.0.1",
            "--port", str(mlflow_port), "--workers", "1",
        ],
    }  # fmt: skip
    if not settings.mlflow_uri.startswith("sqlite"):
        del commands[f"{mlflow}/health"]
        mlflow = settings.mlflow_uri
    Tracking(settings).make_store()
    # A background job ignores SIGINT and its children would too: they could never be stopped.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _interrupt)
    log.info("starting Dagster at %s and MLflow at %s; Ctrl-C stops them", dagster, mlflow)
    # `dagster dev` is told its module; MLflow's own job runner would idle in seven processes.
    environment = {k: v for k, v in os.environ.items() if k not in DAGSTER_VARIABLES}
    environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands.values():
            # each leads a process group of its own, so Ctrl-C reaches it once, from here
            servers.append(subprocess.Popen(command, env=environment, start_new_session=True))
        silent = set(commands)
        while all(server.poll() is None for server in servers):
            for address in sorted(silent):
                if _answers(address):
                    silent.remove(address)
                    log.info("ready: %s", address.rsplit("/", 1)[0])
            time.sleep(0.5)
        log.error("a server ended by itself; is its port taken? (see its last lines above)")
    except KeyboardInterrupt:
        log.info("stopping")
    finally:
        _stop(servers)


def _answers(address: str) -> bool:
    try:
        return requests.get(address, timeout=1).ok
    except requests.RequestException:
        return False


def _stop(servers: list[subprocess.Popen[bytes]]) -> None:
    """Ask each server to end; end what is left of its process group after the grace."""
    for server in servers:
        if server.poll() is None:
            server.send_signal(signal.SIGINT)
    deadline = time.monotonic() + _GRACE
    for server in servers:
        try:
            server.wait(timeout=max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("%s did not stop in %d s; killing it", server.args, _GRACE)
        _kill_group(server.pid)
        server.wait()


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
