"""vLLM, where it is installed: the engine batches and caches by itself, on its GPUs.

Samples are handed over in groups of 256, which is what an interrupted run may lose. Greedy answers
can differ in the last place from transformers', as its kernels add in another order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.backends.base import Backend, Job, sample_seed
from evaluation.generation import Parameters
from evaluation.models import local_folder, model_digest

_GROUP = 256


class VllmBackend(Backend):
    """model: a Hugging Face folder or an id on the hub. Raises ValueError without vLLM."""

    def __init__(
        self, model: str, *, name: str | None = None, batch_size: int | None = None
    ) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise ValueError(
                "the vllm backend needs the package vllm (pip install vllm); without it use "
                "--backend transformers, or start a vLLM server and give its address as --model"
            ) from error
        folder = local_folder(Path(model))
        self.digest = model_digest(folder)
        self.name = name or folder.resolve().name
        self._engine = LLM(model=str(folder))
        self._group = batch_size or _GROUP

    def batches(self, jobs: Sequence[Job], parameters: Parameters) -> list[list[Job]]:
        ordered = sorted(jobs, key=lambda job: (-len(job.prompt), job))
        return [
            ordered[start : start + self._group] for start in range(0, len(ordered), self._group)
        ]

    def run(
        self, batches: Sequence[list[Job]], parameters: Parameters
    ) -> Iterator[tuple[list[Job], list[str]]]:
        from vllm import SamplingParams

        for batch in batches:
            settings = [
                SamplingParams(
                    max_tokens=parameters.max_new_tokens,
                    temperature=parameters.temperature,
                    top_p=parameters.top_p,
                    stop=list(parameters.stop),
                    seed=sample_seed(job, parameters.seed) % 2**31,
                )
                for job in batch
            ]
            if parameters.chat:
                turns = [[{"role": "user", "content": job.prompt}] for job in batch]
                outputs = self._engine.chat(turns, settings, use_tqdm=False)
            else:
                outputs = self._engine.generate(
                    [job.prompt for job in batch], settings, use_tqdm=False
                )
            yield batch, [output.outputs[0].text for output in outputs]
