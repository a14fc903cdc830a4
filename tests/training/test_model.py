"""The model: packed documents are separate, and the loss is a sum over targets."""

import copy

import numpy as np
import pytest
import torch

from training.config import ConfigError, ModelConfig
from training.data import IGNORED
from training.model import (
    TokenLoss,
    check_same_architecture,
    count_parameters,
    new_model,
)
from training.optimizer import new_optimizer

MODEL = ModelConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    tie_word_embeddings=True,
)


def _model(config: ModelConfig = MODEL, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return new_model(config, vocab_size=512, context_length=64, end_of_text=0, pad=1)


def test_packed_equals_separate() -> None:
    model = _model()
    generator = torch.Generator().manual_seed(1)
    lengths = (20, 12, 1, 31)
    parts = [torch.randint(4, 512, (1, length), generator=generator) for length in lengths]
    packed = torch.cat(parts, dim=1)
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    with torch.no_grad():
        together = model(
            input_ids=packed.repeat(2, 1), position_ids=positions.repeat(2, 1), use_cache=False
        ).logits
        alone = torch.cat([model(input_ids=part, use_cache=False).logits for part in parts], dim=1)
        leaking = model(input_ids=packed, use_cache=False).logits
    assert (together[0] - alone[0]).abs().max() < 1e-4
    assert (together[1] - alone[0]).abs().max() < 1e-4
    assert (leaking - alone).abs().max() > 1e-2  # the test would notice a leak


def test_the_loss_never_passes_an_attention_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    seen: list[dict[str, object]] = []
    forward = model.model.forward

    def spy(**arguments: object) -> object:
        seen.append(arguments)
        return forward(**arguments)

    monkeypatch.setattr(model.model, "forward", spy)
    ids = torch.arange(4, 12)[None]
    TokenLoss(model)(ids, ids, torch.arange(8)[None])
    assert seen and all(arguments.get("attention_mask") is None for arguments in seen)


def test_loss_is_the_sum_over_targets() -> None:
    model = _model()
    ids = torch.tensor(np.random.default_rng(0).integers(4, 512, (2, 16)))
    labels = torch.roll(ids, -1, 1)
    labels[:, :5] = IGNORED
    loss = TokenLoss(model)(ids, labels, torch.arange(16).expand(2, 16))
    logits = model(input_ids=ids).logits
    expected = torch.nn.functional.cross_entropy(
        logits[:, 5:].reshape(-1, 512), labels[:, 5:].reshape(-1), reduction="sum"
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_architecture_fields_reach_the_model() -> None:
    config = ModelConfig(
        hidden_size=24,
        intermediate_size=40,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        rope_theta=5e5,
    )
    model = _model(config)
    head = 512 * 24
    layer = 24 * 32 + 2 * 24 * 16 + 32 * 24 + 3 * 24 * 40 + 2 * 24
    assert count_parameters(model) == 2 * head + 3 * layer + 24
    check_same_architecture(model.config, config, config)
    with pytest.raises(ConfigError, match=r"model\.rope_theta: expected 500000"):
        check_same_architecture(
            model.config, ModelConfig(**{**config.__dict__, "rope_theta": 1e4}), config
        )


def test_decay_spares_vectors_and_initialisation_follows_the_seed() -> None:
    model, same, other = _model(), _model(), _model(seed=1)
    groups = new_optimizer(model, lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1).param_groups
    assert {group["weight_decay"] for group in groups} == {0.1, 0.0}
    assert all(p.ndim == 1 for p in groups[1]["params"]) and len(groups[1]["params"]) == 5
    weights = [copy.deepcopy(dict(item.named_parameters())) for item in (model, same, other)]
    name = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(weights[0][name], weights[1][name])
    assert not torch.equal(weights[0][name], weights[2][name])
