"""Sources of one's own: folders on disk and git checkouts, read like archives.

A ``git`` source is what is committed (tracked files at HEAD, read as objects); a ``folder`` source
is what lies on disk (in a git checkout: without what git ignores). Links are never followed and
nothing of a repository is executed: no hook, filter, file-system monitor or remote helper.
Modification times are never used: they differ between two copies of the same code.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from assets.crawl.archives import Item, Limits, Member, Reason, Refused, safe_path
from assets.crawl.errors import CrawlError

_CHUNK = 1 << 20
_SAFE_CONFIG = ("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.untrackedCache=false",
                "core.excludesFile=/dev/null", "protocol.allow=never")  # fmt: skip
_SAFE_ENVIRONMENT = {
    "GIT_NO_LAZY_FETCH": "1",  # a partial clone must not call its remote for a missing object
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class Checkout:
    """One repository on disk.

    ``name`` is that of its folder; ``revision`` the commit at HEAD (null without git or without
    commits); ``skip`` holds sub-folders that are repositories of their own.
    """

    name: str
    root: Path
    revision: str | None
    commit_time: datetime | None
    skip: frozenset[str] = frozenset()


def find_in_folder(folder: str | Path) -> list[Checkout]:
    """The repositories of a folder source, by name.

    Each direct sub-folder that is a git checkout is one; what else the folder holds is one more,
    named after the folder. Raises ``CrawlError`` if the folder is missing.
    """
    root = _existing(folder, "crawl.source.folder")
    inner = sorted(
        entry.name
        for entry in os.scandir(root)
        if entry.is_dir(follow_symlinks=False) and (Path(entry.path) / ".git").exists()
    )
    found = [_checkout(root / name) for name in inner]
    rest = _checkout(root, frozenset(inner))
    if not inner or next(_paths(rest), None) is not None:
        found.append(rest)
    return sorted(found, key=lambda one: (one.name, one.root == root))


def open_git(path: str | Path) -> Checkout:
    """The git checkout at ``path``. Raises ``CrawlError`` if it is none or has no commit."""
    root = _existing(path, "crawl.source.git")
    if not (root / ".git").exists():
        raise CrawlError(
            f"crawl.source.git: expected a git checkout, found {root} without a .git; "
            "use crawl.source.folder for a plain folder"
        )
    checkout = _checkout(root)
    if checkout.revision is None:
        raise CrawlError(f"crawl.source.git: {root} has no commit yet; commit the files to crawl")
    return checkout


def read_folder(checkout: Checkout, limits: Limits) -> Iterator[Item]:
    """Files on disk, by path. Of the limits, only that of a single file holds here."""
    for raw in _paths(checkout):
        path = safe_path(raw)
        if isinstance(path, Refused):
            yield path
            continue
        yield _read_file(checkout.root / raw, path, limits)


def read_git(checkout: Checkout, limits: Limits) -> Iterator[Item]:
    """Tracked files at HEAD, by path, from the object store: uncommitted changes are not seen.

    Raises ``CrawlError`` when git cannot read the commit.
    """
    listing = _git(checkout.root, "ls-tree", "-r", "-z", "--long", "--full-tree", "HEAD")
    with subprocess.Popen(
        _command(checkout.root, "cat-file", "--batch"), env=_environment(checkout.root),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as objects:  # fmt: skip
        assert objects.stdin is not None and objects.stdout is not None
        for line in listing.split(b"\0")[:-1]:
            facts, _, raw = line.partition(b"\t")
            mode, _, object_id, declared = facts.split()
            path = safe_path(raw.decode("utf-8", "surrogateescape"))
            size = int(declared) if declared != b"-" else 0
            if isinstance(path, Refused):
                yield Refused(path.path, path.reason, path.detail, size)
            elif mode == b"120000":
                yield Refused(path, Reason.LINK, "symbolic link", size)
            elif mode == b"160000":
                yield Refused(path, Reason.SPECIAL_FILE, f"submodule at {object_id.decode()}")
            elif size > limits.member_bytes:
                yield _too_large(path, size, limits)
            else:
                objects.stdin.write(object_id + b"\n")
                objects.stdin.flush()
                header = objects.stdout.readline()
                if not header.endswith(b" blob %d\n" % size):
                    said = f"git has no such object: {header.decode().strip()}"
                    yield Refused(path, Reason.UNREADABLE_MEMBER, said, size)
                    continue
                data = objects.stdout.read(size)
                objects.stdout.read(1)
                yield Member(path, data)
        objects.stdin.close()


def folder_digest(checkout: Checkout, limits: Limits) -> str:
    """Hash over relative paths and contents on disk; files beyond the limit count by size."""
    total = hashlib.sha256()
    for item in read_folder(checkout, limits):
        if isinstance(item, Member):
            content = hashlib.sha256(item.data).hexdigest()
        else:
            content = f"{item.reason}:{item.size}:{item.detail}"
        total.update(f"{item.path}\0{content}\n".encode())
    return total.hexdigest()


def _checkout(root: Path, skip: frozenset[str] = frozenset()) -> Checkout:
    if not (root / ".git").exists():
        return Checkout(root.name, root, None, None, skip)
    # exit code 1 or 128 means "no commit yet" here; a broken repository fails again on listing
    head = _run(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if head.returncode:
        if not _run(root, "rev-parse", "--git-dir").returncode:
            return Checkout(root.name, root, None, None, skip)
        raise _git_error(root, head if head.stderr else _run(root, "rev-parse", "--git-dir"))
    revision = head.stdout.decode().strip()
    return Checkout(root.name, root, revision, _commit_time(root, revision), skip)


def _commit_time(root: Path, revision: str) -> datetime | None:
    """When the commit was made; null if the commit object holds no possible time."""
    for line in _git(root, "cat-file", "commit", revision).splitlines():
        if line.startswith(b"committer "):
            try:
                return datetime.fromtimestamp(int(line.split()[-2]), UTC)
            except (ValueError, IndexError, OverflowError, OSError):
                return None
    return None


def _paths(checkout: Checkout) -> Iterator[str]:
    """Relative paths of everything but folders, sorted by folder level; links are listed."""
    root, skip = checkout.root, checkout.skip
    if (root / ".git").exists():
        listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
        for raw in sorted(set(listed.split(b"\0")[:-1])):
            path = raw.decode("utf-8", "surrogateescape").rstrip("/")
            if path.split("/")[0] not in skip and os.path.lexists(root / path):
                yield path
        return
    pending = [""]
    while pending:
        prefix = pending.pop()
        folders: list[str] = []
        try:
            entries = sorted(os.scandir(root / prefix), key=lambda entry: entry.name)
        except PermissionError:
            yield prefix.rstrip("/")  # reading it says why it cannot be read
            continue
        for entry in entries:
            path = f"{prefix}{entry.name}"
            if entry.name == ".git" or path in skip:
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(f"{path}/")
            else:
                yield path
        pending += reversed(folders)


def _read_file(file: Path, path: str, limits: Limits) -> Item:
    try:
        # O_NOFOLLOW refuses a link, O_NONBLOCK keeps a pipe from waiting for its writer
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return Refused(path, Reason.LINK, "symbolic link")
        if error.errno == errno.ENXIO:
            return Refused(path, Reason.SPECIAL_FILE, "socket or device")
        return Refused(path, Reason.UNREADABLE_MEMBER, error.strerror or str(error))
    with os.fdopen(handle, "rb") as stream:
        facts = os.fstat(stream.fileno())
        if stat.S_ISDIR(facts.st_mode):
            return Refused(path, Reason.SPECIAL_FILE, "a repository of its own (submodule)")
        if not stat.S_ISREG(facts.st_mode):
            return Refused(path, Reason.SPECIAL_FILE, f"mode {facts.st_mode:o}")
        if facts.st_size > limits.member_bytes:
            return _too_large(path, facts.st_size, limits)
        data = stream.read(limits.member_bytes + 1)
    if len(data) > limits.member_bytes:  # it grew while it was read
        return _too_large(path, len(data), limits)
    return Member(path, data)


def _too_large(path: str, size: int, limits: Limits) -> Refused:
    return Refused(path, Reason.TOO_LARGE, f"max_member_bytes={limits.member_bytes}", size)


def _existing(path: str | Path, key: str) -> Path:
    root = Path(path).expanduser().resolve()
    if not root.is_dir():
        raise CrawlError(f"{key}: expected an existing folder, found none at {path}")
    return root


def _git(root: Path, *arguments: str) -> bytes:
    done = _run(root, *arguments)
    if done.returncode:
        raise _git_error(root, done)
    return done.stdout


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            _command(root, *arguments), env=_environment(root), stdin=subprocess.DEVNULL,
            capture_output=True, check=False,
        )  # fmt: skip
    except FileNotFoundError as error:
        raise CrawlError(
            f"{root} is a git checkout, but there is no git command; install git"
        ) from error


def _git_error(root: Path, done: subprocess.CompletedProcess[bytes]) -> CrawlError:
    said = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
    command = done.args[done.args.index("-C") + 2]
    return CrawlError(
        f"cannot read the git checkout {root}: git {command} said: {said}; "
        "repair it, or point crawl.source elsewhere"
    )


def _command(root: Path, *arguments: str) -> list[str]:
    config = [part for setting in _SAFE_CONFIG for part in ("-c", setting)]
    return ["git", "--no-pager", *config, "-C", str(root), *arguments]


def _environment(root: Path) -> dict[str, str]:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    # a broken .git must not make git look for a repository further up
    return inherited | _SAFE_ENVIRONMENT | {"GIT_CEILING_DIRECTORIES": str(root.parent)}
