"""What a backend is, and which one a model's address asks for."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from evaluation.generation import Parameters
    from evaluation.models import LoadedModel

Kind = Literal["auto", "transformers", "vllm", "http"]


class Job(NamedTuple):
    """One answer to generate: the prompt (or, with Parameters.chat, the user's turn), its number.

    The sample number is part of the seed: samples of one prompt differ, and repeat.
    """

    prompt: str
    sample: int


class Backend(ABC):
    """name: shown in tables. digest: the model's identity. loaded: weights, if there are any."""

    name: str
    digest: str
    loaded: LoadedModel | None = None

    @abstractmethod
    def batches(self, jobs: Sequence[Job], parameters: Parameters) -> list[list[Job]]:
        """Group the jobs; the grouping depends on the jobs and parameters alone."""

    @abstractmethod
    def run(
        self, batches: Sequence[list[Job]], parameters: Parameters
    ) -> Iterator[tuple[list[Job], list[str]]]:
        """Decode batches and yield each with its texts as soon as it is done, in any order."""


def sample_seed(job: Job, seed: int) -> int:
    """The seed of one sample: 60 bits of prompt, sample number and the run's seed."""
    text = f"{seed}\0{job.sample}\0{job.prompt}".encode("utf-8", "surrogatepass")
    return int(hashlib.sha256(text).hexdigest()[:15], 16)


def open_backend(
    model: Path | str,
    *,
    kind: Kind = "auto",
    name: str | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    cache: Path | None = None,
    concurrency: int = 8,
    requests_per_minute: float | None = None,
) -> Backend:
    """Open a model: an http(s) address, a folder, a .gguf file, or an id on the hub.

    kind: "auto" takes the endpoint for an address and transformers for the rest. An address may end
    in `#MODEL`, the name that the endpoint knows the model by (default: the first it lists).
    Raises FileNotFoundError or ValueError saying what was expected.
    """
    address = str(model)
    if kind == "http" or (kind == "auto" and address.startswith(("http://", "https://"))):
        from evaluation.backends.http import HttpBackend

        return HttpBackend(
            address, name=name, concurrency=concurrency, requests_per_minute=requests_per_minute
        )
    if kind == "vllm":
        from evaluation.backends.vllm import VllmBackend

        return VllmBackend(address, name=name, batch_size=batch_size)
    from evaluation.backends.local import TransformersBackend
    from evaluation.models import load_model

    loaded = load_model(model, name=name, device=device, cache=cache)
    return TransformersBackend(loaded, batch_size=batch_size)
