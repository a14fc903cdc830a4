"""Pinned release archives: the facts of the starter crawl, and what they say about popularity.

Each archive is pinned by name, version and SHA-256, so a crawl is addressed by content before
anything is downloaded. Registries know no stars: the popularity percentile within a registry
stands in for them, under its own name (the paper ranks duplicates by stars, section 2.1.1).
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from assets.crawl.errors import CrawlError

STARTER = Path(__file__).with_name("starter.json")


class Popularity(BaseModel):
    """``value`` is a rank (low = popular) where ``kind`` says so, else a count of downloads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: str
    value: int | None

    @property
    def strength(self) -> int | None:
        """The value turned so that more is more popular; comparable within one kind only."""
        if self.value is None:
            return None
        return -self.value if "_rank_" in self.kind else self.value


class Entry(BaseModel):
    """One pinned archive; it is one repository of the crawl."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registry: Literal["pypi", "npm"]
    name: str
    version: str
    filename: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+\-]*$")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0, description="of the archive, as downloaded")
    license: str | None
    stars: int | None
    released: date
    popularity: Popularity
    tier: Literal["core", "extended"]
    role: Literal["code", "pages", "both"] = Field(
        description="pages: only its HTML is used, as web pages; both: code and pages"
    )

    @property
    def repository(self) -> str:
        """Name of the repository in every table, such as ``pypi/toolz@1.1.0``."""
        return f"{self.registry}/{self.name}@{self.version}"

    @property
    def commit_time(self) -> datetime:
        """The release date at midnight UTC: registries keep no commit time."""
        return datetime.combine(self.released, time(), tzinfo=UTC)

    @property
    def cached_name(self) -> str:
        """File name in the downloads folder: addressed by content, readable by people."""
        return f"{self.sha256}-{self.filename}"


@functools.cache
def starter() -> tuple[Entry, ...]:
    """Every entry of the starter manifest, by registry, name and version."""
    raw = json.loads(STARTER.read_text(encoding="utf-8"))
    entries = [Entry.model_validate(fact) for fact in raw["entries"]]
    return tuple(sorted(entries, key=lambda e: (e.registry, e.name, e.version)))


def load(
    tier: Literal["core", "extended"] = "core",
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    entries: Sequence[Entry] | None = None,
) -> list[Entry]:
    """The entries of a tier (``extended`` includes ``core``), in the order of their names.

    ``only`` keeps the named ones, whatever their tier, and ``without`` leaves the named ones out,
    by package name (all its versions) or by repository name; ``entries`` replaces the starter
    manifest. Raises ``CrawlError`` for a name that is not there.
    """
    known = list(starter() if entries is None else entries)
    names = {e.name for e in known} | {e.repository for e in known}
    for key, wanted in (("only", only), ("without", without)):
        for name in wanted:
            if name not in names:
                close = difflib.get_close_matches(name, sorted(names), n=3)
                raise CrawlError(
                    f"crawl.source.{key}: {name!r} is not in the manifest; expected a package name "
                    "or registry/name@version, close ones: "
                    f"{close or sorted({e.name for e in known})}"
                )
    if only:  # an archive that is asked for by name is meant, whatever its tier
        chosen = [e for e in known if e.name in only or e.repository in only]
    else:
        chosen = [e for e in known if tier == "extended" or e.tier == "core"]
    return [e for e in chosen if e.name not in without and e.repository not in without]


def popularity_percentiles(entries: Sequence[Entry] | None = None) -> dict[str, float | None]:
    """Repository name to popularity percentile (0-100, high = popular), null where unknown.

    The percentile rank of a project among the projects of its registry in the manifest: the share
    that is less popular, ties counted half. PyPI values are download ranks (low = popular), npm
    values are downloads a month (high = popular), so only ranks within a registry are comparable.
    Releases of one project share its value; the release date breaks that tie later.
    """
    known = starter() if entries is None else entries
    strengths: dict[str, dict[str, int]] = {}
    for entry in known:
        strength = entry.popularity.strength
        if strength is not None:
            strengths.setdefault(entry.registry, {})[entry.name] = strength
    result: dict[str, float | None] = {}
    for entry in known:
        peers = strengths.get(entry.registry, {})
        own = peers.get(entry.name)
        if own is None:
            result[entry.repository] = None
            continue
        less = sum(value < own for value in peers.values())
        same = sum(value == own for value in peers.values())
        result[entry.repository] = round(100 * (less + same / 2) / len(peers), 2)
    return result


def digest(entries: Sequence[Entry]) -> str:
    """Hash of the pinned facts: what a crawl of these entries is addressed by."""
    facts = sorted(entry.model_dump_json() for entry in entries)
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()
