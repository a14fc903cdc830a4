"""Bits per byte: what a language model pays for a text, comparable across tokenizers.

Each document is charged on its own, from the end-of-text token on, in windows that overlap by half
so that every token but those of the first window has at least half a context before it.
Works for any Hugging Face causal model and tokenizer.
Paper: section 6 (validation loss of the ablations), made independent of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class DocumentBits:
    """Cost of one document in bits, and its size in UTF-8 bytes."""

    bits: float
    bytes: int


@dataclass(frozen=True)
class _Window:
    document: int
    inputs: list[int]
    labels: list[int]
    skip: int  # leading labels that an earlier window has charged


def document_bits(
    model: PreTrainedModel | Any,
    tokenizer: PreTrainedTokenizerBase | Any,
    texts: Sequence[str],
    context_length: int,
    batch_size: int = 8,
) -> list[DocumentBits]:
    """Cost of each text, in the order given. `context_length` in tokens, at least 2."""
    import torch

    if context_length < 2:
        raise ValueError(f"context_length: expected at least 2, found {context_length}")
    first = context_token(tokenizer)
    windows: list[_Window] = []
    for number, text in enumerate(texts):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        windows.extend(_windows(number, [first, *ids], context_length))
    windows.sort(key=lambda window: (len(window.inputs), window.document))

    totals = [0.0] * len(texts)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    with torch.no_grad():  # inference_mode would poison the gathered pieces of a sharded model
        for begin in range(0, len(windows), batch_size):
            batch = windows[begin : begin + batch_size]
            width = max(len(window.inputs) for window in batch)
            # Padding on the right cannot be seen by the causal tokens before it, so no mask.
            inputs_BT = torch.tensor(
                [window.inputs + [first] * (width - len(window.inputs)) for window in batch],
                device=device,
            )
            logits_BTV = model(input_ids=inputs_BT, use_cache=False).logits
            for row, window in enumerate(batch):
                kept = slice(window.skip, len(window.labels))
                labels = torch.tensor(window.labels[kept], device=device)
                nats = torch.nn.functional.cross_entropy(
                    logits_BTV[row, kept].float(), labels, reduction="none"
                )
                totals[window.document] += float(nats.double().sum()) / math.log(2)
    model.train(was_training)
    return [
        DocumentBits(bits, len(text.encode("utf-8")))
        for bits, text in zip(totals, texts, strict=True)
    ]


def bits_per_byte(costs: Sequence[DocumentBits]) -> float:
    """Total bits over total bytes; ValueError when there are no bytes."""
    total_bytes = sum(cost.bytes for cost in costs)
    if total_bytes == 0:
        raise ValueError("bits per byte: expected at least one byte of text, found none")
    return math.fsum(cost.bits for cost in costs) / total_bytes


def context_token(tokenizer: PreTrainedTokenizerBase | Any) -> int:
    """The token that stands before a document: end of text, else the tokenizer's bos or eos."""
    number = tokenizer.get_vocab().get("<|endoftext|>")
    for candidate in (number, tokenizer.bos_token_id, tokenizer.eos_token_id):
        if candidate is not None:
            return int(candidate)
    raise ValueError("tokenizer: expected <|endoftext|>, a bos or an eos token, found none")


def _windows(document: int, ids: list[int], context_length: int) -> list[_Window]:
    stride = max(1, context_length // 2)
    windows: list[_Window] = []
    charged = 0
    start = 0
    while charged < len(ids) - 1:
        labels = ids[start + 1 : start + 1 + context_length]
        inputs = ids[start : start + len(labels)]
        windows.append(_Window(document, inputs, labels, charged - start))
        charged = start + len(labels)
        start += stride
    return windows
