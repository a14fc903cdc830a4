"""Generate answers with a transformers model: batched, KV cache, resumable.

Prompts are sorted by length into fixed batches, padded on the left, and decoded by a loop of our
own so that finished rows leave the batch and sampling draws from one generator per sample (seeded
by prompt, sample number and seed: independent of batching). A batch is cached as a whole, so that
an interrupted run continues with the same batches and therefore the same numbers. Paper section 5.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from evaluation.models import LoadedModel
from evaluation.parallel import each_batch
from evaluation.progress import track
from evaluation.records import RecordFile

_TAIL_TOKENS = 32
_KEY = ("model", "prompt", "parameters", "sample")


@dataclass(frozen=True)
class Parameters:
    """How answers are generated; part of the cache key.

    temperature 0 is greedy. samples: answers per prompt (1 when greedy). stop: the answer ends
    before the first of these strings. seed: of sampling.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    stop: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or self.samples < 1:
            raise ValueError("max_new_tokens and samples must be at least 1")
        if self.temperature < 0 or not 0 < self.top_p <= 1:
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
    loaded: LoadedModel,
    prompts: Sequence[str],
    parameters: Parameters,
    *,
    cache: Path,
    batch_size: int | None = None,
    special_tokens: bool = True,
) -> list[list[str]]:
    """Return `parameters.samples` answers for each prompt, in prompt order.

    cache: a JSON-lines file; answers found there are not generated again. batch_size: rows decoded
    together (default 32 on CPU, 128 on CUDA). special_tokens: False for prompts that a chat
    template already completed. A prompt that does not fit the context keeps its end.
    """
    records = RecordFile(cache, _KEY)
    digest = parameters.digest()
    jobs = [
        (prompt, sample)
        for prompt in dict.fromkeys(prompts)
        for sample in range(parameters.samples)
    ]
    room = max(1, loaded.context_length - parameters.max_new_tokens)
    encoded = {
        prompt: loaded.tokenizer(prompt, add_special_tokens=special_tokens)["input_ids"][-room:]
        for prompt in dict.fromkeys(prompts)
    }
    jobs.sort(key=lambda job: (-len(encoded[job[0]]), job))
    # at least two batches, so that a second core has work; a rule that no machine's size changes
    usual = 128 if loaded.device.type == "cuda" else min(32, max(1, -(-len(jobs) // 2)))
    size = batch_size or usual
    batches = [jobs[start : start + size] for start in range(0, len(jobs), size)]

    def known(job: tuple[str, int]) -> dict[str, Any] | None:
        prompt, sample = job
        return records.get(
            model=loaded.digest, prompt=_hash(prompt), parameters=digest, sample=sample
        )

    missing = [batch for batch in batches if not all(known(job) for job in batch)]

    def decode(batch: list[tuple[str, int]]) -> list[str]:
        return _decode_batch(loaded, [encoded[prompt] for prompt, _ in batch], batch, parameters)

    decoded = zip(missing, each_batch(loaded, missing, decode), strict=True)
    for batch, texts in track(decoded, len(missing), f"generate ({size} a batch)"):
        records.append(
            {
                "model": loaded.digest,
                "prompt": _hash(prompt),
                "parameters": digest,
                "sample": sample,
                "text": text,
            }
            for (prompt, sample), text in zip(batch, texts, strict=True)
        )
    answers = {job: known(job) for job in jobs}
    return [
        [str((answers[prompt, sample] or {})["text"]) for sample in range(parameters.samples)]
        for prompt in prompts
    ]


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


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The part of the text before the first stop string.

    >>> cut_at_stop("return 1\\ndef f():", ["\\ndef "])
    'return 1'
    """
    ends = [position for word in stop if (position := text.find(word)) >= 0]
    return text[: min(ends)] if ends else text


def _decode_batch(
    loaded: LoadedModel,
    rows: list[list[int]],
    jobs: Sequence[tuple[str, int]],
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
    texts = tokenizer.batch_decode(
        [[token for token in row if token not in ends] for row in produced],
        skip_special_tokens=True,
        clean_up_tokenization_spaces=False,
    )
    return [cut_at_stop(text, parameters.stop) for text in texts]


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

    value = int(_hash(f"{seed}\0{sample}\0{prompt}")[:15], 16)
    return torch.Generator().manual_seed(value)


def _end_tokens(loaded: LoadedModel) -> set[int]:
    ends: set[int] = set()
    for source in (getattr(loaded.model, "generation_config", None), loaded.tokenizer):
        value = getattr(source, "eos_token_id", None)
        if isinstance(value, int):
            ends.add(value)
        elif value is not None:
            ends.update(int(item) for item in value)
    return ends


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
