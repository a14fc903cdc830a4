"""Bits per byte: every token charged once, with padding and windows that change nothing."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from training.bits_per_byte import DocumentBits, bits_per_byte, context_token, document_bits
from training.model import load_model


def _loaded(run: Path) -> tuple[object, object]:
    from transformers import AutoTokenizer

    return load_model(run / "model"), AutoTokenizer.from_pretrained(run / "model")


TEXTS = ["def f(x):\n    return x\n", "", "import json\n" * 12, "é🙂<|endoftext|>", "x"]


def test_short_texts_cost_their_log_likelihood(finished_run: Path) -> None:
    model, tokenizer = _loaded(finished_run)
    costs = document_bits(model, tokenizer, TEXTS, context_length=512)
    for text, cost in zip(TEXTS, costs, strict=True):
        ids = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert context_token(tokenizer) not in ids
        full = torch.tensor([[context_token(tokenizer), *ids]])
        with torch.no_grad():
            scores = model(input_ids=full).logits[0, :-1].log_softmax(-1)
        nats = -sum(float(scores[place, number]) for place, number in enumerate(ids))
        assert cost.bytes == len(text.encode())
        assert cost.bits == pytest.approx(nats / math.log(2), abs=1e-3)


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_batching_does_not_change_the_cost(finished_run: Path, batch_size: int) -> None:
    model, tokenizer = _loaded(finished_run)
    expected = document_bits(model, tokenizer, TEXTS, 16, batch_size=2)
    found = document_bits(model, tokenizer, TEXTS, 16, batch_size=batch_size)
    assert [cost.bits for cost in found] == pytest.approx([c.bits for c in expected], abs=1e-3)
    assert model.training  # left as it was


def test_windows_charge_each_token_once(world: Any, finished_run: Path) -> None:
    model, tokenizer = _loaded(finished_run)
    with torch.no_grad():  # a uniform model costs log2(V) per token, whatever the windows
        for parameter in model.parameters():
            parameter.zero_()
    text = "value = other + 1\n" * 30
    tokens = len(tokenizer(text, add_special_tokens=False)["input_ids"])
    for context in (2, 3, 7, 16, 1000):
        (cost,) = document_bits(model, tokenizer, [text], context)
        assert cost.bits == pytest.approx(tokens * math.log2(512), rel=1e-5)


def test_total_over_total() -> None:
    assert bits_per_byte([DocumentBits(8.0, 4), DocumentBits(0.0, 0), DocumentBits(2.0, 1)]) == 2.0
    with pytest.raises(ValueError, match="at least one byte"):
        bits_per_byte([])
