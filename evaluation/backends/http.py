"""OpenAI-compatible endpoints: concurrent requests, retries with back-off, a rate limit.

One request is one sample, so that a run that is interrupted loses the requests in flight and
nothing else. What may pass (429, 5xx, a broken connection, a torn answer) is tried again, later
each time and never sooner than the server asks; what will not pass (a bad key, an unknown model)
ends the run with the server's own words. The key comes from COOKBOOK_API_KEY or OPENAI_API_KEY.
"""

from __future__ import annotations

import hashlib
import logging
import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Any

from evaluation.backends.base import Backend, Job, sample_seed
from evaluation.generation import Parameters

_log = logging.getLogger(__name__)
_ATTEMPTS = 8
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 1.0, 60.0
_MAY_PASS = {408, 409, 425, 429, 500, 502, 503, 504, 529}
_MAX_STOPS = 4  # more are refused by some servers; the rest is cut off here


class EndpointError(OSError):
    """The endpoint refused a request or stayed out of reach."""


class HttpBackend(Backend):
    """address: base URL such as http://host:8000/v1, with `#MODEL` when it serves several.

    concurrency: requests in flight. requests_per_minute: none sends as fast as answers come.
    sleep, clock: replaced in tests.
    """

    def __init__(
        self,
        address: str,
        *,
        name: str | None = None,
        concurrency: int = 8,
        requests_per_minute: float | None = None,
        timeout_seconds: float = 600.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, found {concurrency}")
        import requests

        url, _, served = address.partition("#")
        if not re.match(r"https?://[^/\s]", url):
            raise ValueError(
                f"expected the address of an endpoint, such as http://host:8000/v1, found {url!r}"
            )
        self._url = url.rstrip("/")
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._pace = _Pace(requests_per_minute, sleep, clock)
        self._concurrency = concurrency
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=concurrency)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        if key := os.environ.get("COOKBOOK_API_KEY") or os.environ.get("OPENAI_API_KEY"):
            self._session.headers["Authorization"] = f"Bearer {key}"
        self._model = served or self._first_model()
        self.name = name or self._model
        # an endpoint shows no weights: its address and the model's name are all the identity it has
        self.digest = hashlib.sha256(f"{self._url}\0{self._model}".encode()).hexdigest()

    def batches(self, jobs: Sequence[Job], parameters: Parameters) -> list[list[Job]]:
        return [[job] for job in jobs]

    def run(
        self, batches: Sequence[list[Job]], parameters: Parameters
    ) -> Iterator[tuple[list[Job], list[str]]]:
        waiting: dict[Future[str], list[Job]] = {}
        with ThreadPoolExecutor(self._concurrency, thread_name_prefix="endpoint") as pool:
            try:
                waiting |= {
                    pool.submit(self._answer, batch[0], parameters): batch for batch in batches
                }
                while waiting:
                    done, _ = wait(waiting, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield waiting.pop(future), [future.result()]
            finally:
                for future in waiting:
                    future.cancel()

    def _answer(self, job: Job, parameters: Parameters) -> str:
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": parameters.max_new_tokens,
            "temperature": parameters.temperature,
            "top_p": parameters.top_p,
            "seed": sample_seed(job, parameters.seed) % 2**31,
        }
        if parameters.stop:
            body["stop"] = list(parameters.stop[:_MAX_STOPS])
        if parameters.chat:
            body["messages"] = [{"role": "user", "content": job.prompt}]
            answer = self._request("POST", "/chat/completions", body, _chat_text)
        else:
            body["prompt"] = job.prompt
            answer = self._request("POST", "/completions", body, _base_text)
        return answer

    def _first_model(self) -> str:
        name = self._request("GET", "/models", None, lambda answer: answer["data"][0]["id"])
        return str(name)

    def _request(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        read: Callable[[Any], str],
    ) -> str:
        import requests

        found = "nothing"
        for attempt in range(_ATTEMPTS):
            self._pace.take()
            asked_seconds = 0.0
            try:
                response = self._session.request(
                    method, self._url + path, json=body, timeout=self._timeout_seconds
                )
                if response.status_code == 200:
                    return read(response.json())
                found = f"status {response.status_code}: {response.text[:300]}"
                if response.status_code not in _MAY_PASS:
                    raise EndpointError(f"{self._url}{path} refused the request with {found}")
                asked_seconds = _seconds(response.headers.get("Retry-After"))
            except (requests.ConnectionError, requests.Timeout) as error:
                found = f"{type(error).__name__}: {error}"
            except (
                requests.exceptions.ChunkedEncodingError,
                ValueError,
                KeyError,
                IndexError,
                TypeError,
            ) as error:
                found = f"an answer that is no completion ({type(error).__name__}: {error})"
            if attempt + 1 < _ATTEMPTS:
                delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2**attempt)
                # spread over half of the delay, so that requests refused together return apart
                delay = max(asked_seconds, delay * random.uniform(0.5, 1.0))
                _log.info("%s%s: %s; again in %.1f s", self._url, path, found[:120], delay)
                self._sleep(delay)
        raise EndpointError(
            f"{self._url}{path}: no answer after {_ATTEMPTS} attempts, the last gave {found}; what "
            "is finished is kept: run the same command again to continue"
        )


class _Pace:
    """Lets requests_per_minute requests through, evenly spaced."""

    def __init__(
        self,
        requests_per_minute: float | None,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        if requests_per_minute is not None and requests_per_minute <= 0:
            raise ValueError(f"requests_per_minute must be above 0, found {requests_per_minute}")
        self._gap_seconds = 60.0 / requests_per_minute if requests_per_minute else 0.0
        self._sleep, self._clock = sleep, clock
        self._next = 0.0
        self._lock = threading.Lock()

    def take(self) -> None:
        if not self._gap_seconds:
            return
        with self._lock:
            now = self._clock()
            start = max(now, self._next)
            self._next = start + self._gap_seconds
        if start > now:
            self._sleep(start - now)


def _chat_text(answer: Any) -> str:
    return _text(answer["choices"][0]["message"]["content"])


def _base_text(answer: Any) -> str:
    return _text(answer["choices"][0]["text"])


def _text(value: Any) -> str:
    if value is None:  # how some servers spell an empty answer
        return ""
    if not isinstance(value, str):
        raise TypeError(f"expected text, found {type(value).__name__}")
    return value


def _seconds(header: str | None) -> float:
    try:
        return min(_LONGEST_DELAY_SECONDS * 5, max(0.0, float(header or 0)))
    except ValueError:  # the other form is a date; back-off alone will do
        return 0.0
