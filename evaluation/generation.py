"""Generate answers with any backend, once: every finished sample is a line in a cache.

The cache key is the model's digest, the prompt, the parameters and the sample number, so that an
interrupted run continues and nothing finished is generated again. What is decoded together (a
backend's batch) is stored together, so that a continued run gives the same numbers as one that was
never interrupted. Paper section 5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.backends.base import Backend, Job
from evaluation.progress import track
from evaluation.records import RecordFile

_KEY = ("model", "prompt", "parameters", "sample")


@dataclass(frozen=True)
class Parameters:
    """How answers are generated; part of the cache key.

    temperature 0 is greedy. samples: answers per prompt (1 when greedy). stop: the answer ends
    before the first of these strings. seed: of sampling. chat: the prompt is a user's turn.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    stop: tuple[str, ...] = ()
    seed: int = 0
    chat: bool = False

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.samples < 1:
            raise ValueError("max_new_tokens and samples must be at least 1")
        if not self.temperature >= 0 or not 0 < self.top_p <= 1:
            raise ValueError("temperature must be at least 0 and top_p within (0, 1]")
        if self.temperature == 0 and self.samples > 1:
            raise ValueError(
                f"{self.samples} samples at temperature 0 would all be the same answer: "
                "set a temperature above 0 or samples=1"
            )

    def digest(self) -> str:
        """Hash of everything that changes an answer, sample number aside."""
        facts = {name: value for name, value in asdict(self).items() if name != "samples"}
        return _hash(json.dumps(facts, sort_keys=True))


def generate(
    backend: Backend, prompts: Sequence[str], parameters: Parameters, *, cache: Path
) -> list[list[str]]:
    """Return `parameters.samples` answers for each prompt, in prompt order.

    cache: a JSON-lines file; answers found there are not generated again.
    """
    records = RecordFile(cache, _KEY)
    digest = parameters.digest()

    def key(job: Job) -> dict[str, Any]:
        return {
            "model": backend.digest,
            "prompt": _hash(job.prompt),
            "parameters": digest,
            "sample": job.sample,
        }

    jobs = [
        Job(prompt, sample)
        for prompt in dict.fromkeys(prompts)
        for sample in range(parameters.samples)
    ]
    missing = [
        batch
        for batch in backend.batches(jobs, parameters)
        if any(records.get(**key(job)) is None for job in batch)
    ]
    done = backend.run(missing, parameters)
    for batch, texts in track(done, len(missing), f"generate with {backend.name}"):
        records.append(
            key(job) | {"text": cut_at_stop(text, parameters.stop)}
            for job, text in zip(batch, texts, strict=True)
        )
    return [
        [str((records.get(**key(Job(prompt, sample))) or {})["text"])
         for sample in range(parameters.samples)]
        for prompt in prompts
    ]  # fmt: skip


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The part of the text before the first stop string.

    >>> cut_at_stop("return 1\\ndef f():", ["\\ndef "])
    'return 1'
    """
    ends = [position for word in stop if (position := text.find(word)) >= 0]
    return text[: min(ends)] if ends else text


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
