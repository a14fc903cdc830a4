"""Folders and git checkouts as sources: what is read, what is refused, what is never executed."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from assets.crawl import checkouts
from assets.crawl.archives import Item, Limits, Member, Refused
from assets.crawl.errors import CrawlError
from assets.crawl.sources import check_unchanged, repositories, source_fingerprint
from assets.recipe import Crawl, Source

LIMITS = Limits(member_bytes=1000)
WHEN = "2026-03-04T05:06:07+00:00"


def git(root: Path, *arguments: str) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")} | {
        "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_AUTHOR_DATE": WHEN, "GIT_COMMITTER_DATE": WHEN,
    }  # fmt: skip
    who = ["-c", "user.name=A", "-c", "user.email=a@example.invalid", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", *who, *arguments], cwd=root, env=environment, check=True, capture_output=True,
        text=True,
    ).stdout  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path, git_here: None) -> Path:
    root = tmp_path / "code" / "app"
    (root / "src").mkdir(parents=True)
    git(root, "init", "--quiet")
    (root / "src" / "main.py").write_text("print('committed')\n")
    (root / "big.txt").write_bytes(b"x" * 5000)
    (root / "link.py").symlink_to("/etc/passwd")
    (root / ".gitignore").write_text("secret.env\n")
    git(root, "add", ".")
    git(root, "commit", "--quiet", "-m", "one")
    (root / "secret.env").write_text("TOKEN=1")
    (root / "src" / "main.py").write_text("print('changed')\n")
    (root / "src" / "new.py").write_text("print('new')\n")
    return root


def contents(items: list[Item]) -> dict[str, bytes]:
    return {item.path: item.data for item in items if isinstance(item, Member)}


def refused(items: list[Item]) -> set[tuple[str, str]]:
    return {(item.path, str(item.reason)) for item in items if isinstance(item, Refused)}


def test_git_source_is_what_is_committed(checkout: Path) -> None:
    found = checkouts.open_git(checkout)
    items = list(checkouts.read_git(found, LIMITS))
    assert contents(items) == {
        ".gitignore": b"secret.env\n",
        "src/main.py": b"print('committed')\n",
    }
    assert refused(items) == {("big.txt", "too_large"), ("link.py", "link")}
    assert found.commit_time == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    assert found.revision == git(checkout, "rev-parse", "HEAD").strip()


def test_folder_source_is_what_lies_on_disk_without_what_git_ignores(checkout: Path) -> None:
    (found,) = checkouts.find_in_folder(checkout)
    items = list(checkouts.read_folder(found, LIMITS))
    assert contents(items) == {
        ".gitignore": b"secret.env\n",
        "src/main.py": b"print('changed')\n",
        "src/new.py": b"print('new')\n",
    }
    assert refused(items) == {("big.txt", "too_large"), ("link.py", "link")}
    assert found.commit_time == datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


def test_nothing_of_the_repository_is_executed(checkout: Path, tmp_path: Path) -> None:
    script = tmp_path / "attack.sh"
    script.write_text(f"#!/bin/sh\ntouch {tmp_path}/executed\ncat\n")
    script.chmod(0o755)
    for key in ("core.fsmonitor", "filter.evil.clean", "filter.evil.smudge", "diff.evil.textconv",
                "core.sshCommand", "core.pager", "gpg.program", "core.editor"):  # fmt: skip
        git(checkout, "config", key, str(script))
    git(checkout, "config", "log.showSignature", "true")
    (checkout / ".gitattributes").write_text("* filter=evil diff=evil\n")
    hooks = checkout / ".git" / "hooks"
    for hook in ("post-checkout", "pre-commit", "post-index-change", "fsmonitor-watchman"):
        (hooks / hook).write_text(script.read_text())
        (hooks / hook).chmod(0o755)
    found = checkouts.open_git(checkout)
    assert len(contents(list(checkouts.read_git(found, LIMITS)))) == 2
    (lying,) = checkouts.find_in_folder(checkout)
    assert len(contents(list(checkouts.read_folder(lying, LIMITS)))) == 4
    assert not (tmp_path / "executed").exists()


def test_plain_folder_follows_no_link_and_opens_no_pipe(tmp_path: Path) -> None:
    root = tmp_path / "plain"
    (root / "a" / ".git-like").mkdir(parents=True)
    (root / "a" / "x.py").write_text("x")
    (root / "a" / ".git-like" / "y.py").write_text("y")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "z.py").write_text("z")
    (root / "folder-link").symlink_to(tmp_path / "outside")
    (root / "loop").symlink_to(root)
    os.mkfifo(root / "pipe")
    (root / os.fsdecode(b"bad-\xff.py")).write_text("w")
    (found,) = checkouts.find_in_folder(root)
    items = list(checkouts.read_folder(found, LIMITS))
    assert contents(items) == {"a/x.py": b"x", "a/.git-like/y.py": b"y"}
    assert refused(items) == {
        ("folder-link", "link"), ("loop", "link"), ("pipe", "special_file"),
        ("bad-\\udcff.py", "bad_name"),
    }  # fmt: skip
    assert (found.commit_time, found.revision) == (None, None)


def test_sub_folders_that_are_checkouts_are_repositories_of_their_own(checkout: Path) -> None:
    folder = checkout.parent
    assert [one.name for one in checkouts.find_in_folder(folder)] == ["app"]
    (folder / "notes").mkdir()
    (folder / "notes" / "todo.py").write_text("pass")
    params = Crawl(source=Source(folder=str(folder), license="MIT"))
    found = repositories(params, folder)
    assert [one.name for one in found] == ["folder/code/app", "folder/code"]
    assert contents(list(found[1].read())) == {"notes/todo.py": b"pass"}
    assert {one.license for one in found} == {"MIT"}
    assert {one.role for one in found} == {"code"}
    assert all(str(folder) not in one.source for one in found)


def test_fingerprint_follows_content_and_nothing_else(checkout: Path, tmp_path: Path) -> None:
    folder, committed = (
        Crawl(source=Source(folder=str(checkout.parent))), Crawl(source=Source(git=str(checkout)))
    )  # fmt: skip
    first = source_fingerprint(folder), source_fingerprint(committed)
    os.utime(checkout / "src" / "main.py", (1, 1))
    assert (source_fingerprint(folder), source_fingerprint(committed)) == first
    copy = tmp_path / "elsewhere" / "code"
    subprocess.run(["cp", "-r", str(checkout.parent), str(copy.parent)], check=True)
    (copy.parent / "app").rename(tmp_path / "app")
    copy.mkdir(parents=True)
    (tmp_path / "app").rename(copy / "app")
    assert source_fingerprint(Crawl(source=Source(folder=str(copy)))) == first[0]

    (checkout / "src" / "main.py").write_text("print('again')\n")
    assert source_fingerprint(folder) != first[0]
    assert source_fingerprint(committed) == first[1], "uncommitted changes are not crawled"
    with pytest.raises(CrawlError, match="changed while it was crawled"):
        check_unchanged(folder, first[0])
    git(checkout, "commit", "--quiet", "-am", "two")
    assert source_fingerprint(committed) != first[1]


@pytest.mark.parametrize("key", ["folder", "git"])
def test_missing_sources_are_named(tmp_path: Path, key: str) -> None:
    params = Crawl(source=Source(**{key: str(tmp_path / "absent")}))
    with pytest.raises(CrawlError, match=rf"crawl\.source\.{key}.*absent"):
        repositories(params, tmp_path)


@pytest.mark.usefixtures("git_here")
def test_no_checkout_an_empty_one_and_a_broken_one(tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    with pytest.raises(CrawlError, match=r"expected a git checkout.*crawl\.source\.folder"):
        checkouts.open_git(plain)
    git(plain, "init", "--quiet")
    with pytest.raises(CrawlError, match="no commit yet"):
        checkouts.open_git(plain)
    broken = tmp_path / "broken"
    (broken / ".git").mkdir(parents=True)
    git(tmp_path, "init", "--quiet")  # a repository further up must not answer for it
    with pytest.raises(CrawlError, match=r"broken.*not a git repository"):
        checkouts.open_git(broken)


def test_a_member_count_limit_of_archives_does_not_cut_a_folder(tmp_path: Path) -> None:
    for i in range(30):
        (tmp_path / f"{i:02}.py").write_text("x")
    (found,) = checkouts.find_in_folder(tmp_path)
    few: Callable[..., list[Item]] = lambda: list(  # noqa: E731
        checkouts.read_folder(found, Limits(archive_bytes=10, members=5))
    )
    assert [item.path for item in few()] == [f"{i:02}.py" for i in range(30)]
