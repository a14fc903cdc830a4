"""The raw crawl as a stage: rows conserved, refusals recorded, runs identical."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from assets.crawl import raw_code, registry
from assets.crawl.errors import CrawlError
from assets.documents import (
    DECISION_SCHEMA,
    DOCUMENT_SCHEMA,
    content_digest,
    document_id,
    read_table,
)
from assets.recipe import Crawl, Source
from assets.table_digest import table_digest

FILES = [
    ("alpha-1.0/a.py", b"print('a')\n"),
    ("alpha-1.0/README.md", "# Ünïcode\r\n".encode()),
    ("alpha-1.0/bom.txt", b"\xef\xbb\xbfhello"),
    ("alpha-1.0/empty.c", b""),
    ("alpha-1.0/image.png", b"\x89PNG\r\n\x1a\n\xff"),
    ("alpha-1.0/latin.txt", b"caf\xe9"),
    ("alpha-1.0/nul.c", b"int a;\0"),
    ("alpha-1.0/../../evil.py", b"evil"),
    ("alpha-1.0/../../evil.py", b"evil twice"),
    ("alpha-1.0/large.txt", b"x" * 3000),
]
PARAMS = Crawl(source=Source(manifest="starter"), max_member_bytes=2000)


@pytest.fixture
def downloads(tar_gz: Any, entry: Any, pin: Callable[..., Path]) -> Path:
    alpha = tar_gz(FILES)
    torn = tar_gz([("beta-1.0/b.go", b"package b\n"), ("beta-1.0/c.go", b"package c\n")])[:-4]
    pages = tar_gz([("p-1.0/page.html", b"<html>"), ("p-1.0/x.js", b"1")])
    return pin(
        [
            (entry(alpha), alpha),
            (entry(torn, name="beta", registry="npm", license=None, popularity={
                "kind": "npm_downloads_month_2026-11", "value": None}), torn),
            (entry(pages, name="pages", role="pages"), pages),
        ]
    )  # fmt: skip


def test_every_file_is_a_document_or_a_refusal(downloads: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    raw_code.run(out, archives=downloads, params=PARAMS)
    assert sorted(path.name for path in out.iterdir()) == ["decisions", "documents", "repositories"]
    documents, decisions = read_table(out / "documents"), read_table(out / "decisions")
    assert documents.schema.equals(DOCUMENT_SCHEMA)
    assert decisions.schema.equals(DECISION_SCHEMA)
    assert set(decisions["stage"].to_pylist()) == {"raw_code"}
    kept = {r["doc_id"] for r in decisions.to_pylist() if r["verdict"] == "kept"}
    assert kept == set(documents["doc_id"].to_pylist())
    assert len(set(decisions["doc_id"].to_pylist())) == decisions.num_rows

    dropped = [r for r in decisions.to_pylist() if r["verdict"] == "dropped"]
    assert Counter((r["path"], r["reason"]) for r in dropped) == {
        ("image.png", "not_utf8"): 1,
        ("latin.txt", "not_utf8"): 1,
        ("nul.c", "binary"): 1,
        ("alpha-1.0/../../evil.py", "path_traversal"): 2,
        ("large.txt", "too_large"): 1,
        ("beta-1.0.tar.gz", "unreadable_archive"): 1,
    }
    repositories = {r["repository"]: r for r in read_table(out / "repositories").to_pylist()}
    assert repositories["pypi/alpha@1.0"]["files"] == len(FILES)
    assert repositories["pypi/alpha@1.0"]["bytes"] == sum(len(data) for _, data in FILES)
    assert (
        repositories["pypi/pages@1.0"] | {"files": 2, "bytes": 7, "role": "pages"}
        == (repositories["pypi/pages@1.0"])
    )
    seen = sum(r["files"] for r in repositories.values() if r["role"] != "pages")
    assert seen == documents.num_rows + len(dropped)


def test_documents_hold_the_exact_bytes_and_the_facts(downloads: Path, tmp_path: Path) -> None:
    raw_code.run(tmp_path / "out", archives=downloads, params=PARAMS)
    rows = {r["path"]: r for r in read_table(tmp_path / "out" / "documents").to_pylist()}
    assert set(rows) == {"a.py", "README.md", "bom.txt", "empty.c", "b.go", "c.go"}
    for name, data in FILES[:4]:
        row = rows[name.removeprefix("alpha-1.0/")]
        assert row["content"].encode() == data
        assert row["content_sha256"] == content_digest(data)
        assert row["doc_id"] == document_id("pypi/alpha@1.0", row["path"], row["content_sha256"])
        assert row["size_bytes"] == len(data)
    assert rows["a.py"] | {
        "repository": "pypi/alpha@1.0", "language": "python", "doc_type": "code",
        "license": "MIT", "stars": None, "popularity_percentile": 50.0,
        "commit_time": datetime(2026, 1, 2, tzinfo=UTC), "source": "pypi/alpha-1.0.tar.gz",
    } == rows["a.py"]  # fmt: skip
    assert (rows["b.go"]["license"], rows["b.go"]["popularity_percentile"]) == (None, None)


def test_two_runs_are_identical(downloads: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        raw_code.run(tmp_path / name, archives=downloads, params=PARAMS)
    for table in ("documents", "decisions", "repositories"):
        one, two = (
            table_digest(sorted((tmp_path / n / table).glob("*.parquet"))) for n in ("one", "two")
        )
        assert one == two


def test_missing_archives_are_fetched(
    downloads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Any
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(registry._Fetcher, "fetch", lambda self, one: asked.append(one.repository))
    (gone,) = downloads.glob("*-pages-1.0.tar.gz")
    gone.unlink()
    with pytest.raises(CrawlError, match=r"pypi/pages@1\.0.*expected the downloaded archive"):
        raw_code.run(
            tmp_path / "out", archives=downloads, params=PARAMS, registries=registry.Registries()
        )
    assert asked == ["pypi/pages@1.0"]


def test_a_folder_of_ones_own_goes_through(tmp_path: Path) -> None:
    code = tmp_path / "mine"
    (code / "pkg").mkdir(parents=True)
    (code / "pkg" / "x.rs").write_text("fn main() {}\n")
    (code / "logo.png").write_bytes(b"\xff\xd8")
    params = Crawl(source=Source(folder=str(code), license="Apache-2.0"))
    raw_code.run(tmp_path / "out", archives=tmp_path / "downloads", params=params)
    (row,) = read_table(tmp_path / "out" / "documents").to_pylist()
    assert (row["repository"], row["path"], row["language"]) == ("folder/mine", "pkg/x.rs", "rust")
    assert (row["license"], row["commit_time"]) == ("Apache-2.0", None)
    assert str(tmp_path) not in str(row)


def test_a_source_without_text_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    params = Crawl(source=Source(folder=str(tmp_path / "empty")))
    with pytest.raises(CrawlError, match="found none"):
        raw_code.run(tmp_path / "out", archives=tmp_path, params=params)
    assert not (tmp_path / "out" / "documents").exists()
