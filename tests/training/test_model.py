"""The model: its loss is a sum over targets, and its sizes are those of the presets."""

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from training.config import ConfigError, ModelConfig
from training.data import IGNORED, Rows
from training.model import (
    TokenLoss,
    check_same_architecture,
    count_parameters,
    new_model,
)
from training.optimizer import new_optimizer
from training.packing import collate
from training.presets import PRESETS

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
    ids = np.random.default_rng(0).integers(4, 512, (2, 16))
    labels = np.roll(ids, -1, 1)
    labels[:, :5] = IGNORED
    batch = collate(Rows(ids, labels, np.tile(np.arange(16), (2, 1))))
    loss = TokenLoss(model)(**batch.arguments(torch.device("cpu")))
    logits = model(input_ids=batch.input_ids).logits
    expected = torch.nn.functional.cross_entropy(
        logits[:, 5:].reshape(-1, 512), batch.labels[:, 5:].reshape(-1), reduction="sum"
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_exactly_the_parameters_they_say(name: str) -> None:
    preset = PRESETS[name]
    with torch.device("meta"):
        model = new_model(
            preset.model,
            vocab_size=preset.vocab_size,
            context_length=preset.context_length,
            end_of_text=0,
            pad=1,
        )
    assert count_parameters(model) == preset.parameters
    tied = model.lm_head.weight is model.model.embed_tokens.weight
    assert tied == preset.model.tie_word_embeddings == (name in ("starter", "100m"))


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        ("starter", "starter"),
        ("single-gpu", "100m"),
        ("opencoder-1.5b", "1.5b"),
        ("opencoder-8b", "8b"),
    ],
)
def test_presets_are_the_architectures_of_the_recipes(recipe: str, name: str) -> None:
    folder = Path(__file__).resolve().parents[2] / "orchestration" / "recipes"
    text = yaml.safe_load((folder / f"{recipe}.yaml").read_text(encoding="utf-8"))
    assert ModelConfig(**text["model"]) == PRESETS[name].model
    assert text["tokenizer"]["vocab_size"] == PRESETS[name].vocab_size
    assert text["pretrain"]["context_length"] == PRESETS[name].context_length


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
