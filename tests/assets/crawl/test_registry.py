"""Fetching against an index on 127.0.0.1: both forms of the simple API, npm, and every failure."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from assets.crawl import registry
from assets.crawl.errors import CrawlError
from assets.crawl.manifest import Entry
from assets.crawl.registry import Registries, fetch

MakeEntry = Callable[..., Entry]


@dataclass
class Index:
    """Answers by path: (status, content type, body); ``asked`` holds every request."""

    url: str = ""
    answers: dict[str, list[tuple[int, str, bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def put(self, path: str, body: bytes | str, kind: str = "text/html", status: int = 200) -> None:
        data = body.encode() if isinstance(body, str) else body
        self.answers.setdefault(path, []).append((status, kind, data))

    def registries(self, **facts: object) -> Registries:
        options: dict[str, object] = {
            "indexes": (f"{self.url}/simple",), "npm": f"{self.url}/npm", "attempts": 2,
            "backoff_seconds": 0.0, "timeout_seconds": 5.0,
        }  # fmt: skip
        return Registries(**(options | facts))  # type: ignore[arg-type]


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    state = Index()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked.append((self.path, self.headers.get("Accept", "")))
            answers = state.answers.get(self.path, [(404, "text/plain", b"no")])
            status, kind, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_html_index_with_relative_links(index: Index, entry: MakeEntry, tmp_path: Path) -> None:
    one = entry(b"archive", name="Al_pha.Beta", filename="alpha_beta-1.0.tar.gz")
    index.put(
        "/simple/al-pha-beta/",
        '<a href="../../files/alpha_beta-0.9.tar.gz#sha256=00">alpha_beta-0.9.tar.gz</a>'
        f'<a href="../../files/alpha_beta-1.0.tar.gz#sha256={one.sha256}">alpha_beta-1.0</a>',
    )
    index.put("/files/alpha_beta-1.0.tar.gz", b"archive", "application/gzip")
    assert fetch([one], tmp_path, index.registries()) == [tmp_path / one.cached_name]
    assert (tmp_path / one.cached_name).read_bytes() == b"archive"
    assert [path.name for path in tmp_path.iterdir()] == [one.cached_name]


def test_json_index(index: Index, entry: MakeEntry, tmp_path: Path) -> None:
    one = entry(b"archive")
    listing = {"files": [{"filename": one.filename, "url": f"{index.url}/f/x", "hashes": {}}]}
    index.put("/simple/alpha/", json.dumps(listing), "application/vnd.pypi.simple.v1+json")
    index.put("/f/x", b"archive")
    fetch([one], tmp_path, index.registries())
    assert (tmp_path / one.cached_name).is_file()
    assert "application/vnd.pypi.simple.v1+json" in index.asked[0][1]


def test_npm_scoped_package(index: Index, entry: MakeEntry, tmp_path: Path) -> None:
    one = entry(b"tgz", registry="npm", name="@scope/pkg", filename="scope-pkg-1.0.tgz")
    packument = {"versions": {"1.0": {"dist": {"tarball": f"{index.url}/t.tgz"}}}}
    index.put("/npm/@scope%2Fpkg", json.dumps(packument), "application/json")
    index.put("/t.tgz", b"tgz")
    fetch([one], tmp_path, index.registries())
    assert (tmp_path / one.cached_name).read_bytes() == b"tgz"


def test_cached_archives_ask_nobody_and_damaged_ones_are_replaced(
    index: Index, entry: MakeEntry, tmp_path: Path
) -> None:
    one = entry(b"archive")
    (tmp_path / one.cached_name).write_bytes(b"archive")
    fetch([one], tmp_path, index.registries())
    assert index.asked == []

    (tmp_path / one.cached_name).write_bytes(b"damaged")
    index.put("/simple/alpha/", f'<a href="/f/{one.filename}">x</a>')
    index.put(f"/f/{one.filename}", b"archive")
    fetch([one], tmp_path, index.registries())
    assert (tmp_path / one.cached_name).read_bytes() == b"archive"


def test_all_failures_are_reported_together_and_the_rest_stays(
    index: Index, entry: MakeEntry, tmp_path: Path
) -> None:
    good = entry(b"good", name="good")
    wrong = entry(b"expected", name="wrong")
    longer = entry(b"short", name="longer")
    absent = entry(b"a", name="absent")
    unlisted = entry(b"b", name="unlisted")
    no_version = entry(b"c", name="old", registry="npm")
    broken = entry(b"d", name="broken")
    for one, body in ((good, b"good"), (wrong, b"tampered"), (longer, b"x" * 100_000)):
        index.put(f"/simple/{one.name}/", f'<a href="/f/{one.filename}">x</a>')
        index.put(f"/f/{one.filename}", body)
    index.put("/simple/unlisted/", '<a href="/f/unlisted-0.1.tar.gz">x</a>')
    index.put("/npm/old", json.dumps({"versions": {"0.1": {}}}), "application/json")
    index.put("/simple/broken/", "{not json", "application/json")
    entries = [wrong, longer, absent, unlisted, no_version, broken, good]
    with pytest.raises(CrawlError) as failure:
        fetch(entries, tmp_path, index.registries())
    said = str(failure.value)
    assert said.startswith("6 of 7 archives could not be had")
    lines = {line.split(":")[0].strip(): line for line in said.splitlines()[1:]}
    assert f"SHA-256 {wrong.sha256}" in lines["pypi/wrong@1.0"]
    assert "more than 5 bytes" in lines["pypi/longer@1.0"]
    assert "no such package (404)" in lines["pypi/absent@1.0"]
    assert "1 files, none of that name" in lines["pypi/unlisted@1.0"]
    assert "expected version 1.0" in lines["npm/old@1.0"]
    assert "expected JSON" in lines["pypi/broken@1.0"]
    assert [path.name for path in tmp_path.iterdir()] == [good.cached_name]


def test_no_network_names_the_package_and_hides_credentials(
    entry: MakeEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    closed = Registries((f"http://me:secret@127.0.0.1:{port}/simple",), attempts=2,
                        backoff_seconds=0.0)  # fmt: skip
    with pytest.raises(CrawlError, match=r"pypi/alpha@1\.0.*check the network") as failure:
        fetch([entry(b"archive")], tmp_path, closed)
    assert "secret" not in str(failure.value)
    assert list(tmp_path.iterdir()) == []


def test_a_busy_server_is_asked_again(index: Index, entry: MakeEntry, tmp_path: Path) -> None:
    one = entry(b"archive")
    index.put("/simple/alpha/", "busy", status=503)
    index.put("/simple/alpha/", f'<a href="/f/{one.filename}">x</a>')
    index.put(f"/f/{one.filename}", b"archive")
    fetch([one], tmp_path, index.registries())
    assert (tmp_path / one.cached_name).is_file()

    forbidden = entry(b"other", name="beta")
    index.put("/simple/beta/", "no", status=403)
    with pytest.raises(CrawlError, match=r"pypi/beta@1\.0.*403"):
        fetch([forbidden], tmp_path, index.registries())
    assert sum(path == "/simple/beta/" for path, _ in index.asked) == 1


def test_further_indexes_and_local_folders_are_asked_in_turn(
    index: Index, entry: MakeEntry, tmp_path: Path
) -> None:
    one, two, three = entry(b"1", name="one"), entry(b"2", name="two"), entry(b"3", name="three")
    index.put("/more/one/", f'<a href="/f/{one.filename}">x</a>')
    index.put(f"/f/{one.filename}", b"1")
    wheels, local = tmp_path / "wheels", tmp_path / "local" / "three"
    wheels.mkdir()
    local.mkdir(parents=True)
    (wheels / two.filename).write_bytes(b"2")
    (local / "index.html").write_text(f'<a href="{three.filename}">x</a>')
    (local / three.filename).write_bytes(b"3")
    registries = index.registries(
        indexes=(f"{index.url}/simple", f"{index.url}/more", local.parent.as_uri()),
        find_links=(wheels.as_uri(),),
    )
    downloads = tmp_path / "downloads"
    paths = fetch([one, two, three], downloads, registries)
    assert [path.read_bytes() for path in paths] == [b"1", b"2", b"3"]


def test_configuration_comes_from_pip_and_npm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listed = (
        "global.index-url='https://global.invalid/simple'\n"
        "global.extra-index-url='https://a.invalid/simple\\nhttps://b.invalid/simple'\n"
        "install.index-url='https://install.invalid/simple'\n"
    )
    monkeypatch.setattr(registry, "_output", lambda _: listed)
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "npm_config_registry",
                 "NPM_CONFIG_REGISTRY"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".npmrc").write_text("audit=false\nregistry = https://npm.invalid/\n")
    registry._pip_config.cache_clear()
    found = registry.configured_registries()
    assert found.indexes == (
        "https://install.invalid/simple", "https://a.invalid/simple", "https://b.invalid/simple",
    )  # fmt: skip
    assert found.npm == "https://npm.invalid"

    monkeypatch.setenv("PIP_INDEX_URL", "https://env.invalid/simple")
    monkeypatch.setenv("npm_config_registry", "https://env-npm.invalid/")
    registry._pip_config.cache_clear()
    found = registry.configured_registries()
    assert (found.indexes[0], found.npm) == (
        "https://env.invalid/simple",
        "https://env-npm.invalid",
    )
    registry._pip_config.cache_clear()
