"""Raw web: the HTML pages inside crawled archives, as WARC files.

One WARC a repository, so that the web branch starts from the format of real web crawls and can be
pointed at one. The packages do not keep the addresses their pages came from: URLs are made up as
``https://<package>.<registry>.invalid/<path>``, so a host here is a package, not a site.
Nothing in a WARC depends on the clock or the machine (paper 2.1.2: code-related web data).
"""

from __future__ import annotations

import gzip
import hashlib
import io
import logging
import re
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from assets.crawl.archives import Member
from assets.crawl.raw_code import refusal
from assets.crawl.registry import Registries, fetch
from assets.crawl.sources import Repository, check_unchanged, pinned, repositories
from assets.crawl.tables import SortedWriter
from assets.documents import DECISION_SCHEMA, DROPPED, KEPT, document_id
from assets.recipe import Crawl

STAGE = "raw_web"
VERSION = "1"

#: Smaller pages are frames, redirects and test snippets.
MIN_PAGE_BYTES = 2000
LANGUAGE = "html"

#: The index of the pages: one row a WARC record. ``size_bytes`` is that of the page.
PAGE_SCHEMA = pa.schema(
    [
        ("doc_id", pa.string()),
        ("url", pa.string()),
        ("record_id", pa.string()),
        ("warc", pa.string()),
        ("repository", pa.string()),
        ("path", pa.string()),
        ("license", pa.string()),
        ("stars", pa.int64()),
        ("popularity_percentile", pa.float64()),
        ("commit_time", pa.timestamp("us", tz="UTC")),
        ("size_bytes", pa.int64()),
    ]
)

log = logging.getLogger(__name__)


def run(
    out: Path,
    *,
    archives: Path,
    params: Crawl,
    expected_fingerprint: str | None = None,
    registries: Registries | None = None,
) -> None:
    """Fill ``out`` with the folder ``warc`` and the tables ``pages`` and ``decisions``.

    Pages are ``.html`` and ``.htm`` files of repositories with the role ``pages`` or ``both``, in
    any encoding; each gets one decision (``too_small`` below 2 kB), as does every refusal of such
    an archive's pages. A source without such repositories gives no WARC and empty tables. Archives
    are fetched, and ``CrawlError`` is raised, as in the crawl of raw code.
    """
    fetch(pinned(params), archives, registries)
    folder = out / "warc"
    folder.mkdir(parents=True)
    with (
        SortedWriter(out / "pages", PAGE_SCHEMA) as pages,
        SortedWriter(out / "decisions", DECISION_SCHEMA) as decisions,
    ):
        for repository in repositories(params, archives):
            if not repository.has_pages:
                continue
            name = f"{_label(repository.name)}.warc.gz"
            with open(folder / name, "wb") as handle:
                for row, data in _pages(repository, name, decisions):
                    handle.write(warc_record(row, data))
                    pages.write(row)
            if (folder / name).stat().st_size == 0:
                (folder / name).unlink()
    check_unchanged(params, expected_fingerprint)
    log.info("%d pages of %d candidates", pages.rows, decisions.rows)


def is_page(path: str) -> bool:
    return path.lower().endswith((".html", ".htm"))


def made_up_url(repository: str, path: str) -> str:
    """A URL under a reserved domain that can never resolve.

    >>> made_up_url("npm/@capacitor/android@8.5.2", "docs/a b.html")
    'https://capacitor-android.npm.invalid/docs/a%20b.html'
    """
    registry, _, package = repository.partition("/")
    host = _label(package.rpartition("@")[0] or package)
    return f"https://{host}.{_label(registry)}.invalid/{quote(path)}"


def warc_record(row: dict[str, Any], page: bytes) -> bytes:
    """One gzipped WARC response record; equal input gives equal bytes."""
    plain = io.BytesIO()
    writer = WARCWriter(plain, gzip=False, warc_version="WARC/1.1")
    when = row["commit_time"] or datetime.fromtimestamp(0, UTC)
    record = writer.create_warc_record(
        row["url"],
        "response",
        payload=io.BytesIO(page),
        length=len(page),
        warc_headers_dict={
            "WARC-Record-ID": row["record_id"],
            "WARC-Date": when.strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
        http_headers=StatusAndHeaders(
            "200 OK",
            [("Content-Type", "text/html"), ("Content-Length", str(len(page)))],
            protocol="HTTP/1.1",
        ),
    )
    writer.write_record(record)
    # warcio's own gzip is fixed to the slowest level, which buys 1 % here
    return gzip.compress(plain.getvalue(), compresslevel=6, mtime=0)


def _pages(
    repository: Repository, warc: str, decisions: SortedWriter
) -> Iterator[tuple[dict[str, Any], bytes]]:
    refused_names: Counter[str] = Counter()
    for item in repository.read():
        if not isinstance(item, Member):
            # a refusal that does not name a page concerns other files, or the whole archive
            if is_page(item.path) or item.path == repository.source.rpartition("/")[2]:
                decisions.write(refusal(repository, item, STAGE, refused_names))
            continue
        if not is_page(item.path):
            continue
        content_sha256 = hashlib.sha256(item.data).hexdigest()
        doc_id = document_id(repository.name, item.path, content_sha256)
        url = made_up_url(repository.name, item.path)
        small = len(item.data) <= MIN_PAGE_BYTES
        decisions.write(
            {
                "doc_id": doc_id,
                "stage": STAGE,
                "verdict": DROPPED if small else KEPT,
                "reason": "too_small" if small else "",
                "detail": f"min_page_bytes={MIN_PAGE_BYTES}" if small else "",
                "repository": repository.name,
                "path": item.path,
                "language": LANGUAGE,
                "size_bytes": len(item.data),
            }
        )
        if small:
            continue
        yield (
            {
                "doc_id": doc_id,
                "url": url,
                "record_id": f"<{uuid.uuid5(uuid.NAMESPACE_URL, f'{url}#{doc_id}').urn}>",
                "warc": warc,
                "repository": repository.name,
                "path": item.path,
                "license": repository.license,
                "stars": repository.stars,
                "popularity_percentile": repository.popularity_percentile,
                "commit_time": repository.commit_time,
                "size_bytes": len(item.data),
            },
            item.data,
        )


def _label(name: str) -> str:
    """A DNS label or file name stem: lower-case letters, digits, dots and single dashes."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")
