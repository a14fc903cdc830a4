"""Bits that a model spends on a continuation given its prompt: a smooth score for small models.

Prompt and continuation are tokenised together, as the model saw text in training. A token that
straddles the border is charged by its share of bytes on the continuation's side. Bits per byte do
not depend on the tokenizer, so models with different vocabularies compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log
from typing import Any

from evaluation.models import LoadedModel
from evaluation.parallel import each_batch
from evaluation.progress import track


@dataclass(frozen=True)
class ContinuationBits:
    """Cost of one continuation: bits (sum of -log2 p over its share of tokens), UTF-8 bytes."""

    bits: float
    bytes: int


def continuation_bits(
    loaded: LoadedModel, pairs: Sequence[tuple[str, str]], *, batch_size: int | None = None
) -> list[ContinuationBits]:
    """Score (prompt, continuation) pairs, in order.

    A text longer than the model's context loses the beginning of its prompt; a continuation that is
    alone longer is read in half-overlapping windows. Raises ValueError when one is empty.
    """
    rows: list[tuple[list[int], list[float]]] = []
    owners: list[int] = []
    for owner, (prompt, continuation) in enumerate(pairs):
        windows = _windows(*_encode(loaded, prompt, continuation), loaded.context_length)
        rows += windows
        owners += [owner] * len(windows)
    order = sorted(range(len(rows)), key=lambda index: (-len(rows[index][0]), index))
    size = batch_size or (64 if loaded.device.type == "cuda" else 8)
    batches = [order[start : start + size] for start in range(0, len(order), size)]

    def cost(batch: list[int]) -> list[float]:
        return _batch_bits(loaded, [rows[index] for index in batch])

    bits = [0.0] * len(pairs)
    costs = zip(batches, each_batch(loaded, batches, cost), strict=True)
    for batch, values in track(costs, len(batches), "bits of continuations"):
        for index, value in zip(batch, values, strict=True):
            bits[owners[index]] += value
    return [
        ContinuationBits(value, len(continuation.encode()))
        for value, (_, continuation) in zip(bits, pairs, strict=True)
    ]


def token_byte_lengths(tokenizer: Any, text: str) -> tuple[list[int], list[int]]:
    """Token ids of the text (no special tokens) and how many of its UTF-8 bytes each one covers.

    Raises ValueError when the tokenizer changes the text so that its tokens do not add up to it.
    """
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ids: list[int] = list(encoded["input_ids"])
    total = len(text.encode())
    # byte-level vocabularies spell every byte as one character: the exact case
    names = tokenizer.convert_ids_to_tokens(ids)
    lengths = [len(name) for name in names]
    if sum(lengths) == total:
        return ids, lengths
    # else characters: what lies between the ends of two tokens belongs to the later one
    byte_at = [0]
    for character in text:
        byte_at.append(byte_at[-1] + len(character.encode()))
    lengths, reached = [], 0
    for position, (_, end) in enumerate(encoded["offset_mapping"]):
        end = len(text) if position == len(ids) - 1 else max(end, reached)
        lengths.append(byte_at[end] - byte_at[reached])
        reached = end
    if sum(lengths) != total:
        raise ValueError(
            f"the tokenizer covers {sum(lengths)} of {total} bytes of {text[:60]!r}; "
            "bits per byte need a tokenizer that keeps the text as it is"
        )
    return ids, lengths


def _batch_bits(loaded: LoadedModel, rows: list[tuple[list[int], list[float]]]) -> list[float]:
    import torch

    width = max(len(tokens) for tokens, _ in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    shares = torch.zeros((len(rows), width), dtype=torch.float64)
    for place, (tokens, share) in enumerate(rows):
        ids[place, : len(tokens)] = torch.tensor(tokens)
        mask[place, : len(tokens)] = 1
        shares[place, : len(share)] = torch.tensor(share, dtype=torch.float64)
    ids, mask = ids.to(loaded.device), mask.to(loaded.device)
    with torch.inference_mode():
        logits = loaded.model(input_ids=ids, attention_mask=mask, use_cache=False).logits
        nats = torch.nn.functional.cross_entropy(
            logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten(), reduction="none"
        )
    spent = nats.view(len(rows), -1).double().cpu() * shares[:, 1:]
    return [float(value) / log(2) for value in spent.sum(dim=1)]


def _encode(loaded: LoadedModel, prompt: str, continuation: str) -> tuple[list[int], list[float]]:
    if not continuation:
        raise ValueError(f"empty continuation after the prompt {prompt[:60]!r}")
    ids, lengths = token_byte_lengths(loaded.tokenizer, prompt + continuation)
    border = len(prompt.encode())
    shares, start = [], 0
    for length in lengths:
        inside = max(0, start + length - max(border, start))
        # a token without bytes of its own (rest of a split character) belongs where it stands
        shares.append(inside / length if length else float(start >= border))
        start += length
    first = loaded.tokenizer.bos_token_id
    if first is None:
        first = loaded.tokenizer.eos_token_id
    if first is not None:  # something to predict the first token from
        ids, shares = [first, *ids], [0.0, *shares]
    if shares[0]:
        raise ValueError(
            f"nothing stands before the continuation {continuation[:60]!r}: the tokenizer of "
            f"{loaded.name} has neither a beginning nor an end token, and the prompt is empty"
        )
    return ids, shares


def _windows(
    ids: list[int], shares: list[float], context_length: int
) -> list[tuple[list[int], list[float]]]:
    """Cut a text to windows of the context; every charged token is charged in one of them."""
    cut = max(0, len(ids) - context_length)
    if not any(shares[: cut + 1]):
        return [(ids[cut:], shares[cut:])]
    first = next(index for index, share in enumerate(shares) if share)
    start = max(0, first - context_length // 2)
    windows, done = [], start
    while done < len(ids):
        end = min(len(ids), start + context_length)
        charged = [0.0] * (done - start) + shares[done:end]
        windows.append((ids[start:end], charged))
        done, start = end, end - context_length // 2
    return windows
