"""Archives and manifests built on the spot: small, and as hostile as a test wants them."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from assets.crawl import manifest
from assets.crawl.manifest import Entry

Files = Iterable[tuple[str, bytes]]


@pytest.fixture
def tar_gz() -> Callable[[Files], bytes]:
    """Bytes of a tar.gz of (name, content), reproducible."""

    def build(files: Files) -> bytes:
        plain = io.BytesIO()
        with tarfile.open(fileobj=plain, mode="w") as package:
            for name, data in files:
                info = tarfile.TarInfo(name)
                info.size = len(data)
                package.addfile(info, io.BytesIO(data))
        return gzip.compress(plain.getvalue(), mtime=0)

    return build


@pytest.fixture
def entry() -> Callable[..., Entry]:
    """A manifest entry for an archive's bytes; keywords replace single facts."""

    def build(data: bytes, **facts: Any) -> Entry:
        name, version = facts.get("name", "alpha"), facts.get("version", "1.0")
        return Entry.model_validate(
            {
                "registry": "pypi",
                "name": name,
                "version": version,
                "filename": f"{name.rpartition('/')[2]}-{version}.tar.gz",
                "sha256": hashlib.sha256(data).hexdigest(),
                "size_bytes": len(data),
                "license": "MIT",
                "stars": None,
                "released": "2026-01-02",
                "popularity": {"kind": "pypi_download_rank_2026-11", "value": 7},
                "tier": "core",
                "role": "code",
            }
            | facts
        )

    return build


@pytest.fixture
def pin(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[[list[tuple[Entry, bytes]]], Path]:
    """Make these archives the manifest; returns a downloads folder that holds them."""

    def place(pinned: list[tuple[Entry, bytes]]) -> Path:
        downloads = tmp_path / "downloads"
        downloads.mkdir(exist_ok=True)
        for one, data in pinned:
            (downloads / one.cached_name).write_bytes(data)
        monkeypatch.setattr(manifest, "starter", lambda: tuple(one for one, _ in pinned))
        return downloads

    return place
