"""Endpoints that fail on purpose: retries, back-off, limits, refusals, and resuming."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evaluation.backends.http import EndpointError, HttpBackend
from evaluation.generation import Parameters, generate

PROMPTS = [f"def f{number}(x):" for number in range(12)]


class Endpoint(ThreadingHTTPServer):
    """Answers with the prompt reversed; each prompt first meets the planned failures."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.failures: list[str] = []
        self.seen: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[str | None] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def do_GET(self) -> None:
        self._send(200, json.dumps({"data": [{"id": "tiny"}]}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["prompt"] if "prompt" in body else body["messages"][0]["content"]
        server = self.server
        with server.lock:
            attempt = server.seen[prompt]
            server.seen[prompt] += 1
            server.bodies.append(body)
            server.headers.append(self.headers.get("Authorization"))
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            failure = server.failures[attempt] if attempt < len(server.failures) else "none"
            self._fail_or_answer(failure, prompt, chat="messages" in body)
        finally:
            with server.lock:
                server.at_once -= 1

    def _fail_or_answer(self, failure: str, prompt: str, *, chat: bool) -> None:
        if failure == "drop":
            self.close_connection = True
        elif failure == "torn":
            self._send(200, '{"choices": [{"te')
        elif failure == "empty":
            self._send(200, '{"choices": []}')
        elif failure == "slow down":
            self._send(429, "too fast", {"Retry-After": "17"})
        elif failure == "forbidden":
            self._send(401, "no such key")
        elif failure == "broken":
            self._send(503, "restarting")
        else:
            text = prompt[::-1]
            choice = {"message": {"content": text}} if chat else {"text": text}
            self._send(200, json.dumps({"choices": [choice]}))

    def _send(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def backend_of(endpoint: Endpoint, slept: list[float], **options: Any) -> HttpBackend:
    return HttpBackend(endpoint.address, sleep=slept.append, **options)


@pytest.mark.parametrize("chat", [False, True])
def test_every_passing_failure_is_tried_again(
    endpoint: Endpoint, tmp_path: Path, chat: bool
) -> None:
    endpoint.failures = ["broken", "drop", "torn", "empty", "slow down"]
    slept: list[float] = []
    backend = backend_of(endpoint, slept, concurrency=4)
    assert backend.name == "tiny"
    parameters = Parameters(max_new_tokens=9, stop=("f",), chat=chat)
    found = generate(backend, PROMPTS, parameters, cache=tmp_path / "g.jsonl")
    # the stop string is cut off here, too: servers need not know it
    assert found == [[prompt[::-1].partition("f")[0]] for prompt in PROMPTS]
    assert set(endpoint.seen.values()) == {6}
    assert endpoint.most_at_once > 1
    assert len(slept) == 5 * len(PROMPTS)
    # 1, 2, 4, 8 s less up to a half, and what the server asked for
    bounds = [(0.5, 1), (1, 2), (2, 4), (4, 8), (17, 17)]
    assert all(any(low <= delay <= high for low, high in bounds) for delay in slept)
    assert slept.count(17.0) == len(PROMPTS)


def test_a_refusal_ends_the_run_and_what_is_finished_is_kept(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COOKBOOK_API_KEY", "secret-key")
    cache = tmp_path / "g.jsonl"
    backend = backend_of(endpoint, [], concurrency=1)
    generate(backend, PROMPTS[:5], Parameters(), cache=cache)
    endpoint.failures = ["forbidden"]
    with pytest.raises(EndpointError, match="401: no such key"):
        generate(backend, PROMPTS, Parameters(), cache=cache)
    endpoint.failures = []
    done = Counter(endpoint.seen)
    generate(backend, PROMPTS, Parameters(), cache=cache)
    assert all(endpoint.seen[prompt] == done[prompt] == 1 for prompt in PROMPTS[:5])
    assert set(endpoint.headers) == {"Bearer secret-key"}
    assert b"secret-key" not in cache.read_bytes()


def test_an_endpoint_that_stays_away_is_an_error_that_says_so(endpoint: Endpoint) -> None:
    endpoint.failures = ["broken"] * 100
    slept: list[float] = []
    backend = backend_of(endpoint, slept)
    (batch,) = backend.batches([(job := _job())], Parameters())
    with pytest.raises(EndpointError, match="no answer after 8 attempts, the last gave status 503"):
        list(backend.run([batch], Parameters()))
    assert endpoint.seen[job.prompt] == 8
    assert len(slept) == 7


def test_samples_have_seeds_of_their_own_that_repeat(endpoint: Endpoint, tmp_path: Path) -> None:
    backend = backend_of(endpoint, [])
    parameters = Parameters(temperature=0.8, samples=3)
    for name in ("a", "b"):
        generate(backend, PROMPTS[:2], parameters, cache=tmp_path / f"{name}.jsonl")
    seeds = Counter(body["seed"] for body in endpoint.bodies)
    assert len(seeds) == 6
    assert set(seeds.values()) == {2}


def test_the_rate_limit_spaces_requests(endpoint: Endpoint, tmp_path: Path) -> None:
    now = [100.0]
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    backend = HttpBackend(
        f"{endpoint.address}#tiny",
        concurrency=1,
        requests_per_minute=30,
        sleep=sleep,
        clock=lambda: now[0],
    )
    generate(backend, PROMPTS[:4], Parameters(), cache=tmp_path / "g.jsonl")
    assert slept == [2.0, 2.0, 2.0]
    with pytest.raises(ValueError, match="requests_per_minute"):
        HttpBackend(f"{endpoint.address}#tiny", requests_per_minute=0)


def test_an_address_that_is_none_is_refused_at_once() -> None:
    for address in ("localhost:8000", "http://", "ftp://host/v1"):
        with pytest.raises(ValueError, match="expected the address of an endpoint"):
            HttpBackend(address)


def _job() -> Any:
    from evaluation.backends import Job

    return Job("def f(x):", 0)
