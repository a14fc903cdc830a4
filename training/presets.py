"""Named architectures: the four sizes that recipes, the benchmark and tests talk about.

Paper: table 4 (1.5B and 8B, untied embeddings); the two small ones are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

from training.config import ModelConfig


@dataclass(frozen=True)
class Preset:
    """An architecture with its vocabulary, context (tokens) and exact number of parameters."""

    model: ModelConfig
    vocab_size: int
    context_length: int
    parameters: int


PRESETS: dict[str, Preset] = {
    "starter": Preset(
        ModelConfig(
            hidden_size=128,
            intermediate_size=352,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=4,
            head_dim=32,
            tie_word_embeddings=True,
        ),
        vocab_size=2048,
        context_length=256,
        parameters=1_066_112,
    ),
    "100m": Preset(
        ModelConfig(
            hidden_size=768,
            intermediate_size=2048,
            num_hidden_layers=12,
            num_attention_heads=12,
            num_key_value_heads=12,
            head_dim=64,
            tie_word_embeddings=True,
        ),
        vocab_size=32_000,
        context_length=2048,
        parameters=109_529_856,
    ),
    "1.5b": Preset(
        ModelConfig(head_dim=160),
        vocab_size=96_640,
        context_length=4096,
        parameters=1_905_650_880,
    ),
    "8b": Preset(
        ModelConfig(
            hidden_size=4096,
            intermediate_size=14_336,
            num_hidden_layers=32,
            num_attention_heads=32,
            num_key_value_heads=8,
            head_dim=128,
            rope_theta=500_000.0,
        ),
        vocab_size=96_640,
        context_length=8192,
        parameters=7_771_262_976,
    ),
}
