"""Transformers models: batched, KV cache, length-sorted, on CPU and CUDA.

Prompts are sorted by length into fixed batches, padded on the left, and decoded by a loop of our
own so that finished rows leave the batch and sampling draws from one generator per sample (seeded
by prompt, sample number and seed: independent of batching).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from evaluation.backends.base import Backend, Job, sample_seed
from evaluation.generation import Parameters
from evaluation.models import LoadedModel
from evaluation.parallel import as_done

_TAIL_TOKENS = 32
_log = logging.getLogger(__name__)


class TransformersBackend(Backend):
    """batch_size: rows decoded together (default up to 32 on CPU, 128 on CUDA)."""

    def __init__(self, loaded: LoadedModel, *, batch_size: int | None = None) -> None:
        self.loaded: LoadedModel = loaded
        self.name, self.digest = loaded.name, loaded.digest
        self._batch_size = batch_size

    def batches(self, jobs: Sequence[Job], parameters: Parameters) -> list[list[Job]]:
        lengths = {
            prompt: len(self._encode(prompt, parameters))
            for prompt in dict.fromkeys(job.prompt for job in jobs)
        }
        room = self._room(parameters)
        if longer := sum(length > room for length in lengths.values()):
            _log.warning(
                "%s has a context of %d tokens: %d of %d prompts lose their beginning, as more "
                "than %d tokens leave no room for an answer of %d",
                self.name, self.loaded.context_length, longer, len(lengths), room,
                parameters.max_new_tokens,
            )  # fmt: skip
        ordered = sorted(jobs, key=lambda job: (-lengths[job.prompt], job))
        # two batches at least, so that a second core has work; a rule no machine's size changes
        cuda = self.loaded.device.type == "cuda"
        usual = 128 if cuda else min(32, max(1, -(-len(ordered) // 2)))
        size = self._batch_size or usual
        return [ordered[start : start + size] for start in range(0, len(ordered), size)]

    def run(
        self, batches: Sequence[list[Job]], parameters: Parameters
    ) -> Iterator[tuple[list[Job], list[str]]]:
        def decode(batch: list[Job]) -> list[str]:
            room = self._room(parameters)
            rows = [self._encode(job.prompt, parameters)[-room:] for job in batch]
            return _decode_batch(self.loaded, rows, batch, parameters)

        return as_done(self.loaded, batches, decode)

    def _encode(self, prompt: str, parameters: Parameters) -> list[int]:
        text = chat_prompt(self.loaded, prompt) if parameters.chat else prompt
        # a chat template already holds the special tokens that open a text
        encoded = self.loaded.tokenizer(text, add_special_tokens=not parameters.chat)
        ids: list[int] = encoded["input_ids"]
        return ids

    def _room(self, parameters: Parameters) -> int:
        """Tokens of a prompt that are kept, from its end: half of the context at least."""
        context = self.loaded.context_length
        return max(1, context - min(parameters.max_new_tokens, context // 2))


def chat_prompt(loaded: LoadedModel, instruction: str) -> str:
    """One user turn in the model's own chat template, up to where the answer begins.

    Raises ValueError for a tokenizer without a template: a base model cannot be scored as chat.
    """
    if not getattr(loaded.tokenizer, "chat_template", None):
        raise ValueError(
            f"{loaded.name} has no chat template in its tokenizer files; score it without chat, or "
            "save a chat_template with the tokenizer"
        )
    return str(
        loaded.tokenizer.apply_chat_template(
            [{"role": "user", "content": instruction}], tokenize=False, add_generation_prompt=True
        )
    )


def _decode_batch(
    loaded: LoadedModel,
    rows: list[list[int]],
    jobs: Sequence[Job],
    parameters: Parameters,
) -> list[str]:
    import torch
    from transformers import DynamicCache

    model, tokenizer, device = loaded.model, loaded.tokenizer, loaded.device
    ends = _end_tokens(loaded)
    width = max(1, max(len(row) for row in rows))
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0
    ids = torch.full((len(rows), width), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    for position, row in enumerate(rows):
        if row:
            ids[position, width - len(row) :] = torch.tensor(row)
            mask[position, width - len(row) :] = 1
        else:  # nothing to condition on: start from the padding token itself
            mask[position, -1] = 1
    ids, mask = ids.to(device), mask.to(device)
    generators = [_generator(*job, parameters.seed) for job in jobs]
    produced: list[list[int]] = [[] for _ in rows]
    active = list(range(len(rows)))
    cache = DynamicCache()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with torch.inference_mode():
        for _ in range(parameters.max_new_tokens):
            output = model(
                input_ids=ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            )
            logits = output.logits[:, -1].float()
            chosen = _choose(logits, [generators[index] for index in active], parameters)
            for index, token in zip(active, chosen, strict=True):
                produced[index].append(token)
            tails = tokenizer.batch_decode(
                [produced[index][-_TAIL_TOKENS:] for index in active], skip_special_tokens=True
            )
            going = [
                place
                for place, (index, tail) in enumerate(zip(active, tails, strict=True))
                if produced[index][-1] not in ends
                and len(rows[index]) + len(produced[index]) < loaded.context_length
                and not any(word in tail for word in parameters.stop)
            ]
            if not going:
                break
            next_ids = torch.tensor([[chosen[place]] for place in going], device=device)
            if len(going) < len(active):
                keep = torch.tensor(going, device=device)
                cache.batch_select_indices(keep)
                mask, positions = mask[keep], positions[keep]
                active = [active[place] for place in going]
            ids = next_ids
            mask = torch.cat([mask, torch.ones_like(next_ids)], dim=1)
            positions = positions[:, -1:] + 1
    texts: list[str] = tokenizer.batch_decode(
        [[token for token in row if token not in ends] for row in produced],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return texts


def _choose(logits: Any, generators: list[Any], parameters: Parameters) -> list[int]:
    import torch

    if parameters.temperature == 0:
        return [int(token) for token in logits.argmax(dim=-1).tolist()]
    shares = torch.softmax(logits / parameters.temperature, dim=-1).cpu()
    if parameters.top_p < 1:
        ordered, order = shares.sort(dim=-1, descending=True)
        outside = ordered.cumsum(dim=-1) - ordered >= parameters.top_p
        shares = shares.scatter(1, order, ordered.masked_fill(outside, 0.0))
    return [
        int(torch.multinomial(row, 1, generator=generator))
        for row, generator in zip(shares, generators, strict=True)
    ]


def _generator(prompt: str, sample: int, seed: int) -> Any:
    import torch

    return torch.Generator().manual_seed(sample_seed(Job(prompt, sample), seed))


def _end_tokens(loaded: LoadedModel) -> set[int]:
    ends: set[int] = set()
    for source in (getattr(loaded.model, "generation_config", None), loaded.tokenizer):
        value = getattr(source, "eos_token_id", None)
        if isinstance(value, int):
            ends.add(value)
        elif value is not None:
            ends.update(int(item) for item in value)
    return ends
