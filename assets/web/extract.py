"""Web text: the readable text of every page of the raw web.

fastwarc reads the records, resiliparse finds the main content; where that is shorter than
``web.min_chars`` the whole page's text is taken instead, because heuristics for articles see
little in a reference page. The input is plain WARC, so a real crawl can stand in (paper 2.1.2).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assets.crawl.tables import SortedWriter
from assets.documents import (
    CHANGED,
    DECISION_SCHEMA,
    DOCUMENT_SCHEMA,
    DROPPED,
    content_digest,
    read_table,
)
from assets.recipe import Web

STAGE = "web_text"
VERSION = "1"

LANGUAGE = "text"
MAIN_CONTENT, WHOLE_PAGE = "main_content", "whole_page"
EMPTY_TEXT, UNDECODABLE, UNPARSABLE, MISSING_RECORD = (
    "empty_text", "undecodable", "unparsable", "missing_record",
)  # fmt: skip
#: More replacement characters than this share of a page, and it was not text in any encoding.
MAX_REPLACED_SHARE = 0.01
#: Deeper pages are hostile or broken (browsers cut at 512); their whole text is taken.
MAX_DEPTH = 512
MIN_WALKED_ELEMENTS = 5000

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Extraction:
    """Text of a page (empty when it has none) and how it was found, or why there is none."""

    text: str
    reason: str
    detail: str = ""


def run(out: Path, *, raw_web: Path, params: Web) -> None:
    """Fill ``out`` with the tables documents and decisions.

    ``raw_web`` holds the folder ``warc`` and the table ``pages`` of :mod:`assets.crawl.raw_web`.
    Each page of the index gets one decision: changed (``main_content`` or ``whole_page``) or
    dropped. A document keeps its page's ``doc_id``; its path is the URL, its source the WARC file.
    A record that cannot be read is a decision (``missing_record``), never an error.
    """
    index: dict[str, dict[str, Any]] = {
        row["record_id"]: row for row in read_table(raw_web / "pages").to_pylist()
    }
    reasons: Counter[str] = Counter()
    with (
        SortedWriter(out / "documents", DOCUMENT_SCHEMA, weight="size_bytes") as documents,
        SortedWriter(out / "decisions", DECISION_SCHEMA) as decisions,
    ):
        for record_id, page in records(raw_web / "warc"):
            row = index.pop(record_id, None)
            if row is None:
                continue  # not a page of this index: a record of a larger WARC
            found = extract(page, params.min_chars)
            if found.text:
                documents.write(_document(row, found.text))
            decisions.write(_decision(row, found))
            reasons[found.reason] += 1
        for row in index.values():
            decisions.write(
                _decision(row, Extraction("", MISSING_RECORD, f"not readable in {row['warc']}"))
            )
            reasons[MISSING_RECORD] += 1
    log.info("%d texts of %d pages: %s", documents.rows, decisions.rows,
             dict(sorted(reasons.items())))  # fmt: skip


def extract(page: bytes, min_chars: int) -> Extraction:
    """The readable text of one HTML page in whatever encoding it is.

    >>> extract(b"<html><body><p>Hello, reader.</p></body></html>", 200).text
    'Hello, reader.'
    """
    from resiliparse.extract.html2text import extract_plain_text
    from resiliparse.parse.html import HTMLTree

    html = decode(page)
    if html is None:
        return Extraction("", UNDECODABLE, f"max_replaced_share={MAX_REPLACED_SHARE}")
    try:
        tree = HTMLTree.parse(html)
        text, reason = "", MAIN_CONTENT
        if not _too_deep(tree):
            text = extract_plain_text(tree, main_content=True, alt_texts=False)
        if len(text) < min_chars:
            whole = extract_plain_text(tree, main_content=False, alt_texts=False)
            text, reason = (whole, WHOLE_PAGE) if len(whole) > len(text) else (text, reason)
    except (ValueError, RuntimeError) as error:
        return Extraction("", UNPARSABLE, str(error)[:200])
    text = text.replace("\0", "").strip()
    if not text:
        return Extraction("", EMPTY_TEXT)
    return Extraction(text, reason, f"chars={len(text)}")


def _too_deep(tree: Any) -> bool:
    """Whether elements nest so deep that the main-content search, quadratic in depth, would hang.

    Walking a tree costs more than extracting it, so only trees of unusual size are walked.
    """
    from resiliparse.parse.html import traverse_dom

    root = tree.body
    if root is None or len(root.get_elements_by_tag_name("*")) < MIN_WALKED_ELEMENTS:
        return False
    deepest = 0

    def enter(context: Any) -> None:
        nonlocal deepest
        deepest = max(deepest, context.depth)

    traverse_dom(root, enter, elements_only=True)
    return deepest > MAX_DEPTH


def decode(page: bytes) -> str | None:
    """The page as text: declared or detected encoding, then UTF-8, then Windows-1252.

    Null when all fail and more than 1 % of the characters would have to be replaced.
    """
    from resiliparse.parse.encoding import bytes_to_str, detect_encoding

    encoding = detect_encoding(page, from_html_meta=True) or "utf-8"
    try:
        html: str = bytes_to_str(page, encoding, errors="replace")
    except (LookupError, UnicodeError):
        html = page.decode("utf-8", "replace")
    replaced = html.count("\ufffd") + html.count("\0")
    return None if replaced > MAX_REPLACED_SHARE * len(html) else html


def records(folder: Path) -> Iterator[tuple[str, bytes]]:
    """(record id, HTTP body) of every response in the WARCs of ``folder``, by file name.

    A torn file yields what can be read of it and is reported in the log.
    """
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    for path in sorted(folder.glob("*.warc.gz")) + sorted(folder.glob("*.warc")):
        with open(path, "rb") as handle:
            try:
                for record in ArchiveIterator(handle, record_types=WarcRecordType.response):
                    yield record.headers["WARC-Record-ID"], record.reader.read()
            except OSError as error:
                log.warning("%s is damaged, the rest of it is not read: %s", path.name, error)


def _document(row: dict[str, Any], text: str) -> dict[str, object]:
    content = text.encode("utf-8", "replace")
    return {
        "doc_id": row["doc_id"],
        "content": content,
        "content_sha256": content_digest(content),
        "repository": row["repository"],
        "path": row["url"],
        "language": LANGUAGE,
        "doc_type": "text",
        "license": row["license"],
        "stars": row["stars"],
        "popularity_percentile": row["popularity_percentile"],
        "commit_time": row["commit_time"],
        "size_bytes": len(content),
        "source": row["warc"],
    }


def _decision(row: dict[str, Any], found: Extraction) -> dict[str, object]:
    return {
        "doc_id": row["doc_id"],
        "stage": STAGE,
        "verdict": CHANGED if found.text else DROPPED,
        "reason": found.reason,
        "detail": found.detail,
        "repository": row["repository"],
        "path": row["url"],
        "language": LANGUAGE,
        "size_bytes": row["size_bytes"],
    }
