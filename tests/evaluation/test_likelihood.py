"""Bits of continuations against a direct computation on a tiny random model."""

from __future__ import annotations

from math import log2
from pathlib import Path

import pytest

from evaluation.likelihood import _windows, continuation_bits, token_byte_lengths
from evaluation.models import LoadedModel, load_model


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> LoadedModel:
    return load_model(tiny_model, device="cpu")


def direct_bits(loaded: LoadedModel, text: str, border: int) -> float:
    """One text at a time, one token at a time, straddling tokens by byte share."""
    import torch

    ids = loaded.tokenizer(text, add_special_tokens=False)["input_ids"]
    lengths = [len(token) for token in loaded.tokenizer.convert_ids_to_tokens(ids)]
    assert sum(lengths) == len(text.encode())
    total, start = 0.0, 0
    for place, (token, length) in enumerate(zip(ids, lengths, strict=True)):
        context = torch.tensor([[loaded.tokenizer.eos_token_id, *ids[:place]]])
        with torch.no_grad():
            share = torch.softmax(loaded.model(context).logits[0, -1].double(), dim=-1)[token]
        inside = max(0, min(start + length, len(text.encode())) - max(start, border))
        total += -log2(float(share)) * inside / length
        start += length
    return total


def test_batched_bits_equal_the_direct_computation(loaded: LoadedModel) -> None:
    pairs = [
        ("def f(x):\n", "    return x\n"),
        ("from __future__ import annotations\n\nx", " = 'é' + \"日本\"\n"),
        ("", "import pytest"),
        ("def tiny", "_model(tmp_path_factory)"),
    ]
    found = continuation_bits(loaded, pairs, batch_size=3)
    for (prompt, continuation), cost in zip(pairs, found, strict=True):
        assert cost.bytes == len(continuation.encode())
        expected = direct_bits(loaded, prompt + continuation, len(prompt.encode()))
        assert cost.bits == pytest.approx(expected, rel=1e-4)


def test_a_straddling_token_is_charged_by_its_share(loaded: LoadedModel) -> None:
    text = "from __future__ import annotations"
    ids, lengths = token_byte_lengths(loaded.tokenizer, text)
    place = max(range(1, len(ids)), key=lambda index: lengths[index])
    start = sum(lengths[:place])
    assert lengths[place] >= 2
    whole = continuation_bits(loaded, [(text[:start], text[start:])])[0].bits
    without = continuation_bits(
        loaded, [(text[: start + lengths[place]], text[start + lengths[place] :])]
    )[0].bits
    cut = continuation_bits(loaded, [(text[: start + 1], text[start + 1 :])])[0].bits
    share = (lengths[place] - 1) / lengths[place]
    assert cut == pytest.approx(without + (whole - without) * share, rel=1e-5)


def test_long_prompts_lose_their_beginning_and_empty_continuations_are_refused(
    loaded: LoadedModel,
) -> None:
    end = "return value\n"
    long, longer = ["pqzk " * 2000, "wvyj " + "pqzk " * 2000]
    first, second = continuation_bits(loaded, [(long, end), (longer, end)])
    assert first.bits == pytest.approx(second.bits, rel=1e-6)
    with pytest.raises(ValueError, match="empty continuation"):
        continuation_bits(loaded, [("x", "")])


@pytest.mark.parametrize("prompt_tokens", [1, 5, 9, 40])
@pytest.mark.parametrize("solution_tokens", [1, 3, 4, 8, 9, 33])
def test_windows_charge_every_token_of_the_solution_once(
    prompt_tokens: int, solution_tokens: int
) -> None:
    ids = list(range(prompt_tokens + solution_tokens))
    shares = [0.0] * prompt_tokens + [1.0] * solution_tokens
    charged: list[int] = []
    for window, cost in _windows(ids, shares, 8):
        assert len(window) == len(cost) <= 8 and not cost[0]
        charged += [token for token, share in zip(window, cost, strict=True) if share]
    assert charged == ids[prompt_tokens:]


def test_a_solution_longer_than_the_context_costs_about_its_pieces(loaded: LoadedModel) -> None:
    piece = "value = compute(value, 17)\n"
    (short,) = continuation_bits(loaded, [("x\n", piece * 20)])
    (long,) = continuation_bits(loaded, [("x\n", piece * 400)])
    assert long.bytes == 20 * short.bytes
    assert long.bits == pytest.approx(20 * short.bits, rel=0.2)
