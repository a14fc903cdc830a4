"""The lake: immutable, content-addressed artifacts on any fsspec filesystem.

An artifact lives at ``<root>/<stage>/<fingerprint>/``. The fingerprint hashes what it was made from
(stage, version, parameters, fingerprints of inputs); the digest hashes what it holds. The manifest
is written last and the folder renamed into place, so a crash never leaves a half artifact that
looks whole, a re-run resumes, and variants share everything they do not change.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import json
import logging
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import fsspec

MANIFEST = "manifest.json"
#: Files under these folders of an artifact depend on the clock; they stand outside the digest.
VOLATILE_FOLDERS = ("logs",)
_SOFTWARE = ("pyarrow", "pyspark", "duckdb", "torch", "transformers", "tokenizers", "datasketch")

log = logging.getLogger(__name__)


class LakeError(RuntimeError):
    """An artifact is missing, torn or does not fit what was asked for."""


@dataclass(frozen=True)
class Input:
    """What a manifest records about one input: enough to walk the lineage without the lake."""

    stage: str
    fingerprint: str
    digest: str


@dataclass(frozen=True)
class Table:
    """One parquet table of an artifact. ``bytes`` is the size on disk."""

    rows: int
    bytes: int
    digest: str
    schema: dict[str, str]


@dataclass(frozen=True)
class Manifest:
    """The record that proves an artifact complete. Only ``digest`` and its parts are content."""

    stage: str
    version: str
    fingerprint: str
    params: dict[str, Any]
    inputs: dict[str, Input]
    tables: dict[str, Table]
    files: dict[str, dict[str, Any]]
    rows: int
    bytes: int
    digest: str
    created_at: str
    code_revision: str
    software: dict[str, str]
    seconds: float

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Manifest:
        raw = json.loads(text)
        raw["inputs"] = {name: Input(**value) for name, value in raw["inputs"].items()}
        raw["tables"] = {name: Table(**value) for name, value in raw["tables"].items()}
        return Manifest(**raw)


@dataclass(frozen=True)
class Artifact:
    """Handle of one complete artifact: what Dagster passes between assets.

    ``path`` is a local folder: the artifact itself in a local lake, a read-through copy otherwise.
    """

    uri: str
    path: Path
    manifest: Manifest
    found: bool = field(default=False, compare=False)

    @property
    def fingerprint(self) -> str:
        return self.manifest.fingerprint

    @property
    def digest(self) -> str:
        return self.manifest.digest

    def table(self, name: str) -> Path:
        """Folder of the parquet table ``name``; ``LakeError`` if the artifact has no such table."""
        if name not in self.manifest.tables:
            raise LakeError(
                f"artifact {self.uri} has no table {name!r}; it has {sorted(self.manifest.tables)}"
            )
        return self.path / name

    def rows(self, name: str) -> int:
        return self.manifest.tables[name].rows


class Lake:
    """Store of artifacts under ``root`` (a folder or any fsspec URL, such as ``s3://bucket/lake``).

    Remote artifacts are staged in, and read through, the local folder ``cache``.
    """

    def __init__(self, root: str | Path, cache: Path | None = None) -> None:
        self.root = str(root).rstrip("/")
        self.fs, self._base = fsspec.core.url_to_fs(self.root)
        self.local = "file" in (
            (self.fs.protocol,) if isinstance(self.fs.protocol, str) else self.fs.protocol
        )
        if self.local:
            self._folder = Path(self._base)
        elif cache is None:
            raise LakeError(f"lake {self.root} is remote: a local cache folder must be given")
        else:
            self._folder = Path(cache)
        self._folder.mkdir(parents=True, exist_ok=True)

    def find(self, stage: str, fingerprint: str) -> Artifact | None:
        """The complete artifact at this address, or None. Checks the sizes of all its files.

        A local artifact whose files do not have the recorded sizes is set aside under
        ``.damaged-*`` (never deleted) and reported as absent.
        """
        folder = self._folder / stage / fingerprint
        if not self.local and not (folder / MANIFEST).is_file():
            remote = f"{self._base}/{stage}/{fingerprint}"
            if not self.fs.exists(f"{remote}/{MANIFEST}"):
                return None
            with self._temporary(stage, fingerprint) as temporary:
                self.fs.get(f"{remote}/", f"{temporary}/", recursive=True)
                _rename(temporary, folder)
        if not (folder / MANIFEST).is_file():
            return None
        manifest = Manifest.from_json((folder / MANIFEST).read_text())
        torn = [
            name
            for name, fact in manifest.files.items()
            if not (folder / name).is_file() or (folder / name).stat().st_size != fact["bytes"]
        ]
        if torn:
            aside = folder.with_name(f".damaged-{fingerprint}-{time.time_ns()}")
            folder.rename(aside)
            log.warning(
                "artifact %s/%s is damaged (%s); set aside as %s and computed again",
                stage,
                fingerprint,
                torn[:3],
                aside,
            )
            return None
        return Artifact(f"{self.root}/{stage}/{fingerprint}", folder, manifest, found=True)

    def materialize(
        self,
        stage: str,
        params: Mapping[str, Any],
        inputs: Mapping[str, Artifact],
        compute: Callable[[Path], None],
        *,
        version: str = "1",
        resumable: bool = False,
    ) -> Artifact:
        """The artifact of ``stage``: found by its fingerprint, else made by ``compute(folder)``.

        ``compute`` fills an empty folder: sub-folders of parquet files are tables, everything else
        is files; what lies under ``logs/`` is outside the digest. With ``resumable`` the folder of
        an interrupted attempt is handed back, so that ``compute`` can continue in it; one writer at
        a time. Exceptions of ``compute`` pass through and leave nothing at the artifact's address.
        """
        print_ = fingerprint(stage, version, params, inputs)
        found = self.find(stage, print_)
        if found is not None:
            return found
        workspace = self._workplace if resumable else self._temporary
        with workspace(stage, print_) as folder:
            found = self.find(stage, print_)  # another writer may have finished while we waited
            if found is not None:
                return found
            started = time.monotonic()
            compute(folder)
            manifest = _describe(
                folder,
                stage=stage,
                version=version,
                fingerprint=print_,
                params=json.loads(json.dumps(dict(params))),
                inputs={
                    name: Input(a.manifest.stage, a.fingerprint, a.digest)
                    for name, a in sorted(inputs.items())
                },
                seconds=round(time.monotonic() - started, 3),
            )
            (folder / MANIFEST).write_text(manifest.to_json())
            if not self.local:
                self._upload(folder, stage, print_, manifest)
            _rename(folder, self._folder / stage / print_)
        done = self.find(stage, print_)
        if done is None:
            raise LakeError(f"artifact {stage}/{print_} vanished while it was being finished")
        return Artifact(done.uri, done.path, done.manifest, found=False)

    def artifacts(self) -> Iterator[Artifact]:
        """Every complete artifact of the lake, by stage and fingerprint."""
        for manifest in sorted(self.fs.glob(f"{self._base}/*/*/{MANIFEST}")):
            stage, print_ = str(manifest).split("/")[-3:-1]
            if print_.startswith("."):
                continue
            artifact = self.find(stage, print_)
            if artifact is not None:
                yield artifact

    def open(self, stage: str, fingerprint: str) -> Artifact:
        """Like :meth:`find`, but absence is a ``LakeError``."""
        artifact = self.find(stage, fingerprint)
        if artifact is None:
            raise LakeError(
                f"the lake {self.root} holds no complete artifact {stage}/{fingerprint}; "
                f"materialise the asset {stage!r} of this recipe first"
            )
        return artifact

    @contextmanager
    def _temporary(self, stage: str, fingerprint: str) -> Iterator[Path]:
        parent = self._folder / stage
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".tmp-{fingerprint}-", dir=parent))
        folder.chmod(0o755)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def _workplace(self, stage: str, fingerprint: str) -> Iterator[Path]:
        parent = self._folder / stage
        parent.mkdir(parents=True, exist_ok=True)
        with open(parent / f".lock-{fingerprint}", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = parent / f".work-{fingerprint}"
            folder.mkdir(exist_ok=True)
            yield folder
        (parent / f".lock-{fingerprint}").unlink(missing_ok=True)

    def _upload(self, folder: Path, stage: str, fingerprint: str, manifest: Manifest) -> None:
        remote = f"{self._base}/{stage}/{fingerprint}"
        for name in [*manifest.files, MANIFEST]:  # the manifest last: it is the proof
            target = f"{remote}/{name}"
            self.fs.makedirs(target.rsplit("/", 1)[0], exist_ok=True)
            self.fs.put_file(str(folder / name), target)


def fingerprint(
    stage: str, version: str, params: Mapping[str, Any], inputs: Mapping[str, Artifact]
) -> str:
    """Address of an artifact: 32 hex digits over everything it is made from."""
    recipe = {
        "stage": stage,
        "version": version,
        "params": dict(params),
        "inputs": {name: artifact.fingerprint for name, artifact in sorted(inputs.items())},
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:32]


def _describe(folder: Path, *, stage: str, version: str, fingerprint: str, params: dict[str, Any],
              inputs: dict[str, Input], seconds: float) -> Manifest:  # fmt: skip
    files = {
        str(path.relative_to(folder)): path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    from assets.table_digest import table_digest  # pyarrow is not needed to define assets

    tables: dict[str, Table] = {}
    facts: dict[str, dict[str, Any]] = {}
    parts: list[str] = []
    for name in sorted({n.split("/")[0] for n in files if n.count("/") == 1}):
        if name in VOLATILE_FOLDERS:
            continue
        members = [p for n, p in files.items() if n.startswith(f"{name}/")]
        if all(p.suffix == ".parquet" for p in members):
            rows, digest, schema = table_digest(members)
            size = sum(p.stat().st_size for p in members)
            tables[name] = Table(rows, size, digest, {c.name: str(c.type) for c in schema})
            parts.append(f"table {name} {digest}")
    for name, path in files.items():
        facts[name] = {"bytes": path.stat().st_size}
        top = name.split("/")[0]
        if top not in tables and top not in VOLATILE_FOLDERS:
            with open(path, "rb") as handle:
                facts[name]["sha256"] = hashlib.file_digest(handle, "sha256").hexdigest()
            parts.append(f"file {name} {facts[name]['sha256']}")
    return Manifest(
        stage=stage,
        version=version,
        fingerprint=fingerprint,
        params=params,
        inputs=inputs,
        tables=tables,
        files=facts,
        rows=sum(t.rows for n, t in tables.items() if n != "decisions"),
        bytes=sum(fact["bytes"] for fact in facts.values()),
        digest=hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest(),
        created_at=datetime.now(UTC).isoformat(timespec="seconds"),
        code_revision=code_revision(),
        software={"python": platform.python_version(), **_software_versions()},
        seconds=seconds,
    )


def _rename(folder: Path, final: Path) -> None:
    """Move a finished folder into place; when another writer was first, theirs stays."""
    final.parent.mkdir(parents=True, exist_ok=True)
    try:
        folder.rename(final)
    except OSError:
        if not (final / MANIFEST).is_file():
            raise


@functools.cache
def code_revision() -> str:
    """Git revision of the running code, ``-dirty`` when changed, ``unknown`` outside a checkout."""
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return "unknown"


@functools.cache
def _software_versions() -> dict[str, str]:
    versions = {}
    for name in _SOFTWARE:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions
