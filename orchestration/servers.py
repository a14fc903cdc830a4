"""Both UIs on one state folder, started together and stopped together."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

from assets.settings import Settings
from orchestration.home import MODULE

log = logging.getLogger("cookbook")


def serve(settings: Settings, dagster_port: int, mlflow_port: int) -> None:
    """Run until interrupted, or until one of the two servers ends."""
    binaries = Path(sys.executable).parent
    commands = [
        [str(binaries / "dagster"), "dev", "-m", MODULE, "-h", "127.0.0.1", "-p",
         str(dagster_port)],
        [str(binaries / "mlflow"), "server", "--backend-store-uri", settings.mlflow_uri,
         "--default-artifact-root", settings.mlflow_artifacts, "--host", "127.0.0.1", "--port",
         str(mlflow_port), "--workers", "1"],
    ]  # fmt: skip
    if not settings.mlflow_uri.startswith("sqlite"):
        log.info("MLflow is at %s", settings.mlflow_uri)
        commands = commands[:1]
    servers = [subprocess.Popen(command, env=os.environ) for command in commands]
    log.info("Dagster http://127.0.0.1:%d   MLflow http://127.0.0.1:%d", dagster_port, mlflow_port)
    try:
        while all(server.poll() is None for server in servers):
            signal.sigtimedwait([signal.SIGCHLD], 1)
    except KeyboardInterrupt:
        log.info("stopping")
    finally:
        for server in servers:
            server.send_signal(signal.SIGINT)
        for server in servers:
            server.wait(timeout=30)
