"""Raw code: every file of every crawled repository, as documents.

Archives, folders and checkouts are read member by member; each becomes a document or a refusal,
so rows seen = documents + dropped. Nothing is executed, imported or unpacked to disk.
This is the raw crawl that RefineCode starts from (paper 2.1.1).
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

import pyarrow as pa

from assets.crawl.archives import Item, Member, Reason, Refused
from assets.crawl.errors import CrawlError
from assets.crawl.registry import Registries, fetch
from assets.crawl.sources import Repository, check_unchanged, pinned, repositories
from assets.crawl.tables import SortedWriter
from assets.documents import (
    DECISION_SCHEMA,
    DOCUMENT_SCHEMA,
    DROPPED,
    KEPT,
    document_id,
    write_table,
)
from assets.languages import detect
from assets.recipe import Crawl

STAGE = "raw_code"
VERSION = "1"

#: One row a repository; ``files`` and ``bytes`` count every member seen, refused ones included.
REPOSITORY_SCHEMA = pa.schema(
    [
        ("repository", pa.string()),
        ("version", pa.string()),
        ("source", pa.string()),
        ("role", pa.string()),
        ("license", pa.string()),
        ("released", pa.timestamp("us", tz="UTC")),
        ("popularity", pa.int64()),
        ("popularity_percentile", pa.float64()),
        ("stars", pa.int64()),
        ("files", pa.int64()),
        ("bytes", pa.int64()),
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
    """Fill ``out`` with the tables documents, decisions and repositories.

    ``archives`` is the downloads folder; what the manifest pins and is not there yet is fetched
    into it from ``registries`` (null: those that pip and npm are configured for). A repository with
    the role ``pages`` gives no documents and no decisions, only its row in repositories. Raises
    ``CrawlError`` when archives cannot be had, when a source holds no text, and, with
    ``expected_fingerprint``, when a folder or checkout changed while it was read.
    """
    fetch(pinned(params), archives, registries)
    found = repositories(params, archives)
    facts: list[dict[str, object]] = []
    refusals: Counter[str] = Counter()
    with (
        SortedWriter(out / "documents", DOCUMENT_SCHEMA, weight="size_bytes") as documents,
        SortedWriter(out / "decisions", DECISION_SCHEMA) as decisions,
    ):
        for repository in found:
            files, size = 0, 0
            refused_names: Counter[str] = Counter()
            for item in repository.read():
                item = as_text(item)
                files += 1
                size += len(item.data) if isinstance(item, Member) else item.size
                if not repository.has_code:
                    continue
                if isinstance(item, Member):
                    row = document(repository, item)
                    documents.write(row)
                    decisions.write(_decision(row, KEPT, "", ""))
                else:
                    decisions.write(refusal(repository, item, STAGE, refused_names))
                    refusals[str(item.reason)] += 1
            facts.append(_repository_row(repository, files, size))
            log.info("%s: %d files, %d bytes", repository.name, files, size)
        if not documents.rows:
            raise CrawlError(
                f"crawl.source {params.source.model_dump(exclude_defaults=True)}: expected text "
                f"files in {len(found)} repositories, found none; point it at other code"
            )
    check_unchanged(params, expected_fingerprint)
    table = pa.Table.from_pylist(facts, schema=REPOSITORY_SCHEMA)
    write_table(out / "repositories", table, sort_by="repository")
    log.info("%d repositories, %d documents, refused: %s", len(found), documents.rows,
             dict(sorted(refusals.items())))  # fmt: skip


def as_text(item: Item) -> Item:
    """The member itself if its bytes are UTF-8 text, else its refusal."""
    if isinstance(item, Refused):
        return item
    try:
        item.data.decode("utf-8")
    except UnicodeDecodeError as error:
        return Refused(item.path, Reason.NOT_UTF8, f"at byte {error.start}", len(item.data))
    if (at := item.data.find(b"\0")) >= 0:
        return Refused(item.path, Reason.BINARY, f"NUL at byte {at}", len(item.data))
    return item


def document(repository: Repository, member: Member) -> dict[str, object]:
    """The row of ``DOCUMENT_SCHEMA`` for one file; ``content`` stays UTF-8 bytes."""
    content_sha256 = hashlib.sha256(member.data).hexdigest()
    detection = detect(member.path)
    return {
        "doc_id": document_id(repository.name, member.path, content_sha256),
        "content": member.data,
        "content_sha256": content_sha256,
        "repository": repository.name,
        "path": member.path,
        "language": detection.language,
        "doc_type": detection.doc_type,
        "license": repository.license,
        "stars": repository.stars,
        "popularity_percentile": repository.popularity_percentile,
        "commit_time": repository.commit_time,
        "size_bytes": len(member.data),
        "source": repository.source,
    }


def refusal(
    repository: Repository, item: Refused, stage: str, seen: Counter[str]
) -> dict[str, object]:
    """The decision row of a refused member.

    There is no content to hash: the id hashes repository, path and reason, and which of several
    equal ones it is (``seen`` counts them within the repository).
    """
    key = f"{item.path}\0{item.reason}"
    seen[key] += 1
    row = {
        "doc_id": document_id(repository.name, item.path, f"{item.reason}#{seen[key]}"),
        "repository": repository.name,
        "path": item.path,
        "language": detect(item.path).language,
        "size_bytes": item.size,
    }
    return _decision(row, DROPPED, item.reason, item.detail, stage)


def _decision(
    row: dict[str, object], verdict: str, reason: str, detail: str, stage: str = STAGE
) -> dict[str, object]:
    names = ("doc_id", "repository", "path", "language", "size_bytes")
    return {name: row[name] for name in names} | {
        "stage": stage, "verdict": verdict, "reason": str(reason), "detail": detail,
    }  # fmt: skip


def _repository_row(repository: Repository, files: int, size: int) -> dict[str, object]:
    return {
        "repository": repository.name,
        "version": repository.version,
        "source": repository.source,
        "role": repository.role,
        "license": repository.license,
        "released": repository.commit_time,
        "popularity": repository.popularity,
        "popularity_percentile": repository.popularity_percentile,
        "stars": repository.stars,
        "files": files,
        "bytes": size,
    }
