"""From WARC to text: main content, fallback, encodings, and pages that give nothing."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from assets.crawl.raw_web import PAGE_SCHEMA, warc_record
from assets.documents import DOCUMENT_SCHEMA, content_digest, read_table, write_table
from assets.recipe import Web
from assets.table_digest import table_digest
from assets.web import extract

PARAMS = Web(min_chars=50)
ARTICLE = "The quick brown fox jumps over the lazy dog near the river bank. " * 8
NAVIGATION = "<nav><ul><li><a href='/'>Home</a></li><li><a href='/x'>About</a></li></ul></nav>"
PAGES = {
    "article": f"<html><body>{NAVIGATION}<main><article><h1>Fox</h1><p>{ARTICLE}</p></article>"
               "</main><footer>All rights reserved</footer></body></html>".encode(),
    "reference": b"<html><body><nav><ul><li>Class list</li><li>Method list</li></ul></nav>"
                 b"<footer>Deprecated since version nine, use the other one</footer></body></html>",
    "empty": b"<html><head><title></title></head><body><script>x = 1</script></body></html>",
    "binary": bytes(range(256)) * 40,
    "latin": b"<html><head><meta charset='iso-8859-1'></head><body><p>" + b"caf\xe9 " * 60
             + b"</p></body></html>",
}  # fmt: skip


def page_row(name: str, warc: str = "a.warc.gz") -> dict[str, Any]:
    return {
        "doc_id": content_digest(name), "url": f"https://docs.pypi.invalid/{name}.html",
        "record_id": f"<urn:uuid:{name}>", "warc": warc, "repository": "pypi/docs@1",
        "path": f"{name}.html", "license": "MIT", "stars": None, "popularity_percentile": 40.0,
        "commit_time": datetime(2026, 1, 2, tzinfo=UTC), "size_bytes": len(PAGES[name]),
    }  # fmt: skip


@pytest.fixture
def raw_web(tmp_path: Path) -> Path:
    root = tmp_path / "raw_web"
    (root / "warc").mkdir(parents=True)
    rows = [page_row(name) for name in PAGES]
    (root / "warc" / "a.warc.gz").write_bytes(
        b"".join(warc_record(row, PAGES[row["path"].removesuffix(".html")]) for row in rows)
    )
    write_table(root / "pages", pa.Table.from_pylist(rows, schema=PAGE_SCHEMA))
    return root


def test_each_page_gets_one_decision_and_its_text(raw_web: Path, tmp_path: Path) -> None:
    extract.run(tmp_path / "out", raw_web=raw_web, params=PARAMS)
    decisions = {
        r["path"].rsplit("/")[-1]: (r["verdict"], r["reason"])
        for r in read_table(tmp_path / "out" / "decisions").to_pylist()
    }
    assert decisions == {
        "article.html": ("changed", "main_content"),
        "reference.html": ("changed", "whole_page"),
        "empty.html": ("dropped", "empty_text"),
        "binary.html": ("dropped", "undecodable"),
        "latin.html": ("changed", "main_content"),
    }
    table = read_table(tmp_path / "out" / "documents")
    assert table.schema.equals(DOCUMENT_SCHEMA)
    texts = {row["path"].rsplit("/")[-1]: row for row in table.to_pylist()}
    assert "quick brown fox" in texts["article.html"]["content"]
    assert "Home" not in texts["article.html"]["content"]
    assert "Class list" in texts["reference.html"]["content"]
    assert "café café" in texts["latin.html"]["content"]
    row = texts["article.html"]
    assert row["doc_id"] == content_digest("article")
    assert row["content_sha256"] == content_digest(row["content"])
    assert (row["language"], row["doc_type"], row["source"]) == ("text", "text", "a.warc.gz")


def test_two_runs_are_identical(raw_web: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        extract.run(tmp_path / name, raw_web=raw_web, params=PARAMS)
    for table in ("documents", "decisions"):
        one, two = (
            table_digest(sorted((tmp_path / n / table).glob("*.parquet"))) for n in ("one", "two")
        )
        assert one == two


def test_a_torn_or_foreign_warc_is_recorded_not_raised(raw_web: Path, tmp_path: Path) -> None:
    path = raw_web / "warc" / "a.warc.gz"
    whole = path.read_bytes()
    foreign = page_row("article") | {"record_id": "<urn:uuid:stranger>"}
    path.write_bytes(warc_record(foreign, b"<p>not in the index</p>") + whole[: len(whole) // 2])
    (raw_web / "warc" / "b.warc.gz").write_bytes(gzip.compress(b"this is no WARC"))
    extract.run(tmp_path / "out", raw_web=raw_web, params=PARAMS)
    decisions = read_table(tmp_path / "out" / "decisions").to_pylist()
    documents = read_table(tmp_path / "out" / "documents").num_rows
    assert len(decisions) == len(PAGES)
    assert {r["reason"] for r in decisions} >= {"main_content", "missing_record"}
    assert documents == sum(r["verdict"] == "changed" for r in decisions)


def test_very_deep_pages_are_read_without_the_quadratic_search() -> None:
    page = b"<div>" * 20_000 + ARTICLE.encode()
    assert extract.extract(page, 50).reason == "whole_page"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "shift_jis", "koi8-r"])
def test_encodings_are_found(encoding: str) -> None:
    words = {"shift_jis": "日本語の文章です。", "koi8-r": "Съешь ещё этих булок. "}
    text = words.get(encoding, "Ein schöner Tag für alle. ") * 30
    found = extract.decode(f"<html><body><p>{text}</p></body></html>".encode(encoding))
    assert found is not None and text.strip() in found
