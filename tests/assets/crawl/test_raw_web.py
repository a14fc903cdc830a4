"""Pages into WARC: which, under what address, and byte for byte the same every time."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from assets.crawl import raw_web
from assets.documents import read_table
from assets.recipe import Crawl, Source

PAGE = b"<html><body><p>" + b"caf\xe9 " * 600 + b"</p></body></html>"
PARAMS = Crawl(source=Source(manifest="starter"), max_member_bytes=100_000)


@pytest.fixture
def downloads(tar_gz: Any, entry: Any, pin: Callable[..., Path]) -> Path:
    docs = tar_gz(
        [
            ("docs-1.0/a b/index.html", PAGE),
            ("docs-1.0/OLD.HTM", PAGE.upper()),
            ("docs-1.0/small.html", b"<p>frame</p>"),
            ("docs-1.0/big.html", b"<p>" * 50_000),
            ("docs-1.0/code.py", b"print()"),
            ("docs-1.0/../out.txt", b"not a page"),
        ]
    )
    code = tar_gz([("code-1.0/page.html", PAGE)])
    return pin(
        [
            (entry(docs, name="Docs_x", role="both", filename="docs.tar.gz"), docs),
            (entry(code, name="code", role="code"), code),
        ]
    )


def test_pages_of_page_repositories_become_records(downloads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    raw_web.run(out, archives=downloads, params=PARAMS)
    (warc,) = (out / "warc").iterdir()
    assert warc.name == "pypi-docs-x-1.0.warc.gz"
    with open(warc, "rb") as handle:
        records = {
            record.rec_headers.get_header("WARC-Target-URI"): (
                record.rec_type,
                record.rec_headers.get_header("WARC-Date"),
                record.rec_headers.get_header("WARC-Record-ID"),
                record.content_stream().read(),
            )
            for record in ArchiveIterator(handle, check_digests="raise")
        }
    pages = {row["url"]: row for row in read_table(out / "pages").to_pylist()}
    url = "https://docs-x.pypi.invalid/a%20b/index.html"
    assert set(records) == set(pages) == {url, "https://docs-x.pypi.invalid/OLD.HTM"}
    kind, date, record_id, body = records[url]
    assert (kind, date, body) == ("response", "2026-01-02T00:00:00Z", PAGE)
    assert pages[url]["record_id"] == record_id
    assert (pages[url]["path"], pages[url]["size_bytes"]) == ("a b/index.html", len(PAGE))
    verdicts = {r["path"]: (r["verdict"], r["reason"])
                for r in read_table(out / "decisions").to_pylist()}  # fmt: skip
    assert verdicts == {
        "a b/index.html": ("kept", ""),
        "OLD.HTM": ("kept", ""),
        "small.html": ("dropped", "too_small"),
        "big.html": ("dropped", "too_large"),
    }
    import gzip

    assert socket.gethostname().encode() not in gzip.decompress(warc.read_bytes())


def test_two_runs_write_the_same_bytes(downloads: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        raw_web.run(tmp_path / name, archives=downloads, params=PARAMS)
    files = [
        {str(p.relative_to(tmp_path / n)): p.read_bytes() for p in (tmp_path / n).rglob("*.*")}
        for n in ("one", "two")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 3


def test_a_source_without_pages_gives_empty_tables(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "page.html").write_bytes(PAGE)
    params = Crawl(source=Source(folder=str(tmp_path / "mine")))
    raw_web.run(tmp_path / "out", archives=tmp_path, params=params)
    assert read_table(tmp_path / "out" / "pages").num_rows == 0
    assert list((tmp_path / "out" / "warc").iterdir()) == []


def test_made_up_addresses_never_resolve() -> None:
    assert raw_web.made_up_url("npm/@a/b@1", "x/ü.html") == "https://a-b.npm.invalid/x/%C3%BC.html"
