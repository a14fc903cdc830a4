"""Download pinned archives from the package registries this machine is configured for.

The package index is the one pip uses, the npm registry the one npm uses; Node is not needed. An
archive is streamed beside its place, checked against its pinned SHA-256 and renamed, so the
downloads folder only ever holds whole, right files, and an interrupted fetch continues.
Nothing is built and nothing in an archive is run.
"""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urldefrag, urljoin, urlsplit, urlunsplit
from urllib.request import url2pathname

import requests
from tqdm import tqdm

from assets.crawl.errors import CrawlError
from assets.crawl.manifest import Entry

PIP_DEFAULT_INDEX = "https://pypi.org/simple"
NPM_DEFAULT_REGISTRY = "https://registry.npmjs.org"

_SIMPLE_API = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, "
    "text/html;q=0.01"
)
_CHUNK = 1 << 18
_RETRIED_STATUS = (408, 425, 429, 500, 502, 503, 504)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Registries:
    """Where archives come from and how patiently.

    ``indexes`` are simple-API roots, ``find_links`` folders or ``file:`` URLs of folders, in the
    order they are asked; ``certificates`` is a CA bundle (null: the HTTP library's own choice).
    """

    indexes: tuple[str, ...] = (PIP_DEFAULT_INDEX,)
    find_links: tuple[str, ...] = ()
    npm: str = NPM_DEFAULT_REGISTRY
    certificates: str | None = None
    attempts: int = 4
    backoff_seconds: float = 0.5
    timeout_seconds: float = 30.0


def fetch(
    entries: Sequence[Entry],
    downloads: Path,
    registries: Registries | None = None,
    workers: int = 4,
    progress: bool | None = None,
) -> list[Path]:
    """The archives of ``entries`` in ``downloads``, named ``<sha256>-<filename>``, in order.

    What is there already and has the right hash is not fetched again. ``registries`` defaults to
    what pip and npm are configured for; ``progress`` null shows a bar on terminals. Raises
    ``CrawlError`` that names every archive that failed; the others are then in place and valid.
    """
    downloads.mkdir(parents=True, exist_ok=True)
    missing = [entry for entry in entries if not _is_cached(entry, downloads)]
    if missing:
        chosen = configured_registries() if registries is None else registries
        total = sum(entry.size_bytes for entry in missing)
        log.info("fetching %d archives, %.1f MB", len(missing), total / 1e6)
        failures: list[str] = []
        with (
            tqdm(total=total, unit="B", unit_scale=True, desc="crawl",
                 disable=None if progress is None else not progress) as bar,
            ThreadPoolExecutor(workers) as pool,
        ):  # fmt: skip
            jobs = [pool.submit(_Fetcher(chosen, downloads, bar).fetch, e) for e in missing]
            for job in jobs:
                try:
                    job.result()
                except CrawlError as error:
                    failures.append(str(error))
        if failures:
            raise CrawlError(
                f"{len(failures)} of {len(entries)} archives could not be had (the others are in "
                "place and stay valid):\n" + "\n".join(f"  {line}" for line in sorted(failures))
            )
    return [downloads / entry.cached_name for entry in entries]


def configured_registries() -> Registries:
    """What pip and npm are configured for: environment first, then their configuration files."""
    pip = _pip_config()
    main = pip.get("index-url", PIP_DEFAULT_INDEX)
    return Registries(
        indexes=(main, *pip.get("extra-index-url", "").split()),
        find_links=tuple(pip.get("find-links", "").split()),
        npm=_npm_registry().rstrip("/"),
        certificates=pip.get("cert"),
    )


@functools.cache
def _pip_config() -> Mapping[str, str]:
    """pip's effective options; ``PIP_*`` variables win over ``[install]`` over ``[global]``."""
    listed = _output([sys.executable, "-m", "pip", "config", "list"])
    found: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for line in listed.splitlines():
            key, equals, value = line.partition("=")
            if equals and key.startswith(f"{section}."):
                found[key.removeprefix(f"{section}.")] = _unquote_repr(value.strip())
    for option in ("index-url", "extra-index-url", "find-links", "cert"):  # also without pip
        variable = os.environ.get("PIP_" + option.upper().replace("-", "_"))
        if variable:
            found[option] = variable
    return found


def _npm_registry() -> str:
    for name in ("npm_config_registry", "NPM_CONFIG_REGISTRY"):
        if os.environ.get(name):
            return os.environ[name]
    rc = Path.home() / ".npmrc"
    for line in rc.read_text(encoding="utf-8").splitlines() if rc.is_file() else ():
        key, equals, value = line.partition("=")
        if equals and key.strip() == "registry":
            return os.path.expandvars(value.strip().strip("\"'"))
    npm = shutil.which("npm")
    said = _output([npm, "config", "get", "registry"]).strip() if npm else ""
    return said if said.startswith(("http://", "https://")) else NPM_DEFAULT_REGISTRY


def _output(command: list[str]) -> str:
    """What a configuration command prints; empty when the tool is absent or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        log.warning("%s did not answer (%s); its defaults are used", command[0], error)
        return ""
    return done.stdout if done.returncode == 0 else ""


def _unquote_repr(value: str) -> str:
    plain = value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"" else value
    return plain.replace("\\n", " ")


def _is_cached(entry: Entry, downloads: Path) -> bool:
    path = downloads / entry.cached_name
    if not path.is_file():
        return False
    with open(path, "rb") as handle:
        if hashlib.file_digest(handle, "sha256").hexdigest() == entry.sha256:
            return True
    log.warning("%s is damaged in the downloads folder; fetched again", entry.cached_name)
    return False


class _Fetcher:
    """Fetches archives on one thread; errors are ``CrawlError`` and name the package."""

    _local = threading.local()

    def __init__(self, registries: Registries, downloads: Path, bar: Any) -> None:
        self.registries, self.downloads, self.bar = registries, downloads, bar

    def fetch(self, entry: Entry) -> None:
        if entry.registry == "npm":
            self._download(entry, self._npm_url(entry))
            return
        for folder in self.registries.find_links:
            local = _local_path(folder)
            if local is not None and (local / entry.filename).is_file():
                with open(local / entry.filename, "rb") as handle:
                    found = hashlib.file_digest(handle, "sha256").hexdigest()
                if found == entry.sha256:  # another build under the same name: ask the index
                    return self._place(entry, iter([(local / entry.filename).read_bytes()]), folder)
        self._download(entry, self._index_url(entry))

    def _index_url(self, entry: Entry) -> str:
        """Address of the file on the first index that lists it."""
        project = re.sub(r"[-_.]+", "-", entry.name).lower()
        asked: list[str] = []
        for index in self.registries.indexes:
            page = f"{index.rstrip('/')}/{project}/"
            local = _local_path(page)
            if local is not None:
                listing = local / "index.html"
                asked.append(f"{_shown(page)}: no such folder")
                if not listing.is_file():
                    continue
                links = _html_links(listing.read_text(encoding="utf-8"), listing.as_uri())
            else:
                answer = self._get(entry, page, {"Accept": _SIMPLE_API})
                if answer.status_code == 404:
                    asked.append(f"{_shown(page)}: no such package (404)")
                    continue
                self._expect_ok(entry, answer, page)
                links = _listed_files(entry, answer)
            if entry.filename in links:
                return links[entry.filename]
            asked.append(f"{_shown(page)}: {len(links)} files, none of that name")
        raise CrawlError(
            f"{entry.repository}: expected the file {entry.filename} on the package index, found "
            f"{'; '.join(asked)}; check the index that pip is configured for"
        )

    def _npm_url(self, entry: Entry) -> str:
        page = f"{self.registries.npm}/{quote(entry.name, safe='@')}"
        answer = self._get(
            entry, page, {"Accept": "application/vnd.npm.install-v1+json, application/json;q=0.5"}
        )
        if answer.status_code == 404:
            raise CrawlError(
                f"{entry.repository}: expected the package on {_shown(page)}, found none (404); "
                "check the registry that npm is configured for"
            )
        self._expect_ok(entry, answer, page)
        versions = _json(entry, answer).get("versions", {})
        tarball = versions.get(entry.version, {}).get("dist", {}).get("tarball")
        if not isinstance(tarball, str):
            raise CrawlError(
                f"{entry.repository}: expected version {entry.version} on {_shown(page)}, found "
                f"{len(versions)} other versions; check the registry that npm is configured for"
            )
        return urljoin(page, tarball)

    def _download(self, entry: Entry, url: str) -> None:
        local = _local_path(url)
        if local is not None:
            if not local.is_file():
                raise CrawlError(f"{entry.repository}: {_shown(url)} is listed, but not there")
            self._place(entry, iter([local.read_bytes()]), url)
            return
        for attempt in range(1, self.registries.attempts + 1):
            answer = self._get(entry, url, {"Accept-Encoding": "identity"}, stream=True)
            with answer:
                self._expect_ok(entry, answer, url)
                try:
                    self._place(entry, answer.iter_content(_CHUNK), url)
                    return
                except requests.RequestException as error:  # the connection broke half-way
                    if attempt == self.registries.attempts:
                        raise _no_network(entry, url, error) from error
            time.sleep(self.registries.backoff_seconds * 2**attempt)

    def _place(self, entry: Entry, chunks: Iterator[bytes], url: str) -> None:
        """Write beside the final place, check size and hash, rename."""
        total, checksum = 0, hashlib.sha256()
        handle, name = tempfile.mkstemp(prefix=".part-", dir=self.downloads)
        try:
            with os.fdopen(handle, "wb") as target:
                for chunk in chunks:
                    total += len(chunk)
                    if total > entry.size_bytes:
                        break
                    checksum.update(chunk)
                    target.write(chunk)
                    self.bar.update(len(chunk))
            if total != entry.size_bytes or checksum.hexdigest() != entry.sha256:
                more = "more than " if total > entry.size_bytes else ""
                raise CrawlError(
                    f"{entry.repository}: expected {entry.size_bytes} bytes with SHA-256 "
                    f"{entry.sha256}, found {more}{min(total, entry.size_bytes)} bytes with "
                    f"{checksum.hexdigest()} at {_shown(url)}; the file is not the pinned release: "
                    "do not use it, check the index or mirror that serves it"
                )
            Path(name).chmod(0o644)
            Path(name).replace(self.downloads / entry.cached_name)
        finally:
            Path(name).unlink(missing_ok=True)

    def _get(
        self, entry: Entry, url: str, headers: Mapping[str, str], stream: bool = False
    ) -> requests.Response:
        last: Exception | str = ""
        for attempt in range(1, self.registries.attempts + 1):
            try:
                answer = self._session().get(
                    url, headers=headers, stream=stream, timeout=self.registries.timeout_seconds
                )
            except (requests.ConnectionError, requests.Timeout,
                    requests.exceptions.ChunkedEncodingError) as error:  # fmt: skip
                last = error
            except requests.RequestException as error:
                raise _no_network(entry, url, error) from error
            else:
                if answer.status_code not in _RETRIED_STATUS:
                    return answer
                last = f"HTTP status {answer.status_code}"
                answer.close()
            if attempt < self.registries.attempts:
                time.sleep(self.registries.backoff_seconds * 2 ** (attempt - 1))
        raise _no_network(entry, url, last)

    def _session(self) -> requests.Session:
        """One session a thread: connections are reused, nothing is shared."""
        session = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = requests.Session()
            if self.registries.certificates is not None:
                session.verify = self.registries.certificates
        return session

    def _expect_ok(self, entry: Entry, answer: requests.Response, url: str) -> None:
        if not answer.ok:
            raise CrawlError(
                f"{entry.repository}: expected {_shown(url)} to answer 200, found "
                f"{answer.status_code} {answer.reason}; check the address and your rights there"
            )


def _no_network(entry: Entry, url: str, reason: Exception | str) -> CrawlError:
    shown = _CREDENTIALS.sub("//", str(reason))
    return CrawlError(
        f"{entry.repository}: expected an answer from {_shown(url)}, found none ({shown}); check "
        "the network, the proxy and the registry address, then run again"
    )


_CREDENTIALS = re.compile(r"//[^/@\s]*@")


def _shown(url: str) -> str:
    """A URL fit for a message: without credentials."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _local_path(url: str) -> Path | None:
    """The folder or file of a ``file:`` URL or plain path; null for anything on the network."""
    if url.startswith("file:"):
        return Path(url2pathname(urlsplit(url).path))
    return None if "://" in url else Path(url)


def _json(entry: Entry, answer: requests.Response) -> dict[str, Any]:
    try:
        parsed = answer.json()
    except requests.JSONDecodeError as error:
        raise CrawlError(
            f"{entry.repository}: expected JSON from {_shown(answer.url)}, found "
            f"{answer.headers.get('Content-Type', 'no content type')} that does not parse ({error})"
        ) from error
    if not isinstance(parsed, dict):
        raise CrawlError(
            f"{entry.repository}: expected a JSON object from {_shown(answer.url)}, "
            f"found {type(parsed).__name__}"
        )
    return parsed


def _listed_files(entry: Entry, answer: requests.Response) -> dict[str, str]:
    """File name to URL, from the JSON or the HTML form of the simple API."""
    if "json" in answer.headers.get("Content-Type", ""):
        files = _json(entry, answer).get("files", [])
        return {file["filename"]: urljoin(answer.url, file["url"]) for file in files}
    return _html_links(answer.text, answer.url)


def _html_links(page: str, base: str) -> dict[str, str]:
    parser = _Links(base)
    parser.feed(page)
    return parser.files


class _Links(HTMLParser):
    def __init__(self, base: str) -> None:
        super().__init__()
        self.base, self.files = base, dict[str, str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        href = dict(attrs).get("href")
        if href is None:
            return
        if tag == "base":
            self.base = urljoin(self.base, href)
        elif tag == "a":
            url = urldefrag(urljoin(self.base, href)).url
            self.files[unquote(urlsplit(url).path.rsplit("/", 1)[-1])] = url
