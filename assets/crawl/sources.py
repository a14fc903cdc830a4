"""From ``crawl.source`` of a recipe to repositories whose files can be read.

Three sources look alike from here on: pinned archives of registries, a folder, a git checkout.
Each has a fingerprint that changes exactly when its content does, so a crawl of it can be found
again in the lake.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from assets.crawl import archives, checkouts, manifest
from assets.crawl.archives import Item, Limits
from assets.crawl.errors import CrawlError
from assets.recipe import Crawl


@dataclass(frozen=True)
class Repository:
    """One repository of the crawl and what is known about it; null where it is not known.

    ``source`` says where its files came from without naming a machine; ``read`` yields its members
    and refusals. ``popularity`` is the registry's own figure, the percentile is comparable.
    """

    name: str
    version: str
    source: str
    role: str
    license: str | None
    stars: int | None
    popularity: int | None
    popularity_percentile: float | None
    commit_time: datetime | None
    read: Callable[[], Iterator[Item]] = field(repr=False)

    @property
    def has_code(self) -> bool:
        return self.role in ("code", "both")

    @property
    def has_pages(self) -> bool:
        return self.role in ("pages", "both")


def repositories(params: Crawl, downloads: Path) -> list[Repository]:
    """The repositories of the source, by name.

    ``downloads`` is the folder that :func:`assets.crawl.registry.fetch` filled; it is not looked at
    for folders and git checkouts. Raises ``CrawlError`` for a source that is missing or wrong.
    """
    limits = limits_of(params)
    source = params.source
    if source.manifest is not None:
        return [_of_archive(entry, downloads, limits) for entry in pinned(params)]
    if source.git is not None:
        found = checkouts.open_git(source.git)
        return [_of_checkout(found, f"git/{found.name}", source.license, limits, head=True)]
    assert source.folder is not None  # the recipe's model allows exactly one of the three
    return [
        _of_checkout(one, name, source.license, limits, head=False)
        for name, one in _folder_names(source.folder)
    ]


def pinned(params: Crawl) -> list[manifest.Entry]:
    """The manifest entries to fetch for this crawl; none for folders and git checkouts."""
    if params.source.manifest is None:
        return []
    return manifest.load(params.source.tier, params.source.only, params.source.without)


def source_fingerprint(params: Crawl) -> str:
    """64 hex digits that change exactly when the content of the source does.

    A manifest: the hash of its pinned entries. A folder: the hash of names, relative paths and
    contents on disk. A git checkout: the commit at HEAD; uncommitted changes are not crawled and
    so do not count. The place of a folder or checkout on the machine is not part of it.
    """
    source = params.source
    if source.manifest is not None:
        content = manifest.digest(pinned(params))
    elif source.git is not None:
        found = checkouts.open_git(source.git)
        content = f"git {found.name} {found.revision}"
    else:
        assert source.folder is not None
        limits = limits_of(params)
        content = "\n".join(
            f"{name} {one.revision} {checkouts.folder_digest(one, limits)}"
            for name, one in _folder_names(source.folder)
        )
    return hashlib.sha256(json.dumps([content, source.license]).encode()).hexdigest()


def check_unchanged(params: Crawl, expected_fingerprint: str | None) -> None:
    """Raise ``CrawlError`` if the source no longer has this fingerprint; null asks nothing.

    Called after a crawl: what was read while it changed must not get an address in the lake.
    """
    if expected_fingerprint is not None and source_fingerprint(params) != expected_fingerprint:
        raise CrawlError(
            f"crawl.source {params.source.model_dump(exclude_defaults=True)} changed while it was "
            "crawled; run again when nothing writes to it"
        )


def limits_of(params: Crawl) -> Limits:
    return Limits(params.max_archive_bytes, params.max_member_bytes, params.max_members)


def _of_archive(entry: manifest.Entry, downloads: Path, limits: Limits) -> Repository:
    def read() -> Iterator[Item]:
        path = downloads / entry.cached_name
        if not path.is_file():
            raise CrawlError(
                f"{entry.repository}: expected the downloaded archive {entry.cached_name} in the "
                "downloads folder, found none; fetch the archives of the manifest first"
            )
        with open(path, "rb") as handle:
            found = hashlib.file_digest(handle, "sha256").hexdigest()
        if found != entry.sha256:
            raise CrawlError(
                f"{entry.repository}: {entry.cached_name} has SHA-256 {found}, expected "
                f"{entry.sha256}; the download is damaged: fetch the archives again"
            )
        yield from archives.read(path, limits, name=entry.filename)

    return Repository(
        name=entry.repository,
        version=entry.version,
        source=f"{entry.registry}/{entry.filename}",
        role=entry.role,
        license=entry.license,
        stars=entry.stars,
        popularity=entry.popularity.value,
        popularity_percentile=manifest.popularity_percentiles()[entry.repository],
        commit_time=entry.commit_time,
        read=read,
    )


def _of_checkout(
    checkout: checkouts.Checkout, name: str, license_: str | None, limits: Limits, head: bool
) -> Repository:
    reader = checkouts.read_git if head else checkouts.read_folder
    return Repository(
        name=name,
        version=checkout.revision or "",
        source=f"git:{checkout.revision}" if head else "folder",
        role="code",
        license=license_,
        stars=None,
        popularity=None,
        popularity_percentile=None,
        commit_time=checkout.commit_time,
        read=lambda: reader(checkout, limits),
    )


def _folder_names(folder: str) -> list[tuple[str, checkouts.Checkout]]:
    """Repository names below the folder; the folder's own rest never shares a sub-folder's."""
    found = checkouts.find_in_folder(folder)
    top = Path(folder).expanduser().resolve()
    return [
        (f"folder/{one.name}" if one.root == top else f"folder/{top.name}/{one.name}", one)
        for one in found
    ]
