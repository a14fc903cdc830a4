"""The model: a Llama from transformers, and its loss.

The loss is a sum over target tokens, so the caller can divide by the tokens of the whole step and
the result does not depend on how rows are split. Only target tokens pass the output head.
Paper: section 3.1, table 4 (architecture).

Shapes: B rows, T tokens, D width, K target tokens.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from torch import nn

from training.config import ConfigError, ModelConfig
from training.loss import ChunkedLoss, LossFunction

if TYPE_CHECKING:
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

MODEL_CONFIG_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "rms_norm_eps",
    "tie_word_embeddings",
    "initializer_range",
)


def new_model(
    config: ModelConfig, *, vocab_size: int, context_length: int, end_of_text: int, pad: int
) -> LlamaForCausalLM:
    """A Llama with weights drawn from torch's global generator (seed it first)."""
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    llama = LlamaConfig(
        vocab_size=vocab_size,
        hidden_size=config.hidden_size,
        intermediate_size=config.intermediate_size,
        num_hidden_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        num_key_value_heads=config.num_key_value_heads,
        head_dim=config.head_dim,
        max_position_embeddings=context_length,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        rms_norm_eps=config.rms_norm_eps,
        tie_word_embeddings=config.tie_word_embeddings,
        initializer_range=config.initializer_range,
        bos_token_id=end_of_text,
        eos_token_id=end_of_text,
        pad_token_id=pad,
        attn_implementation="sdpa",
        dtype=torch.float32,
    )
    # The padding row of the embedding stays an ordinary row: it is never read with a loss.
    return LlamaForCausalLM(llama)


def load_model(folder: Path) -> LlamaForCausalLM:
    """The fp32 model of a Hugging Face folder; ConfigError when there is none."""
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    if not (folder / "config.json").is_file():
        raise ConfigError(f"{folder}: expected a model folder with config.json, found none")
    try:
        model = LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="sdpa", local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ConfigError(f"{folder}: expected a whole Llama model, found: {error}") from error
    model.train()
    return model


def check_same_architecture(found: LlamaConfig, expected: ModelConfig, where: Path) -> None:
    """ConfigError when `model` in a config contradicts the model that the run starts from."""
    wanted: dict[str, Any] = {name: getattr(expected, name) for name in MODEL_CONFIG_FIELDS}
    if wanted["head_dim"] is None:
        wanted["head_dim"] = expected.hidden_size // expected.num_attention_heads
    have: dict[str, Any] = {name: getattr(found, name) for name in MODEL_CONFIG_FIELDS}
    wanted["rope_theta"] = expected.rope_theta
    have["rope_theta"] = found.rope_parameters["rope_theta"]
    for name, value in wanted.items():
        if have[name] != value:
            raise ConfigError(
                f"model.{name}: expected {have[name]} (the model of init_from, {where}), "
                f"found {value}; remove `model` or start from another run"
            )


class TokenLoss(nn.Module):
    """Sum of the negative log-likelihood (nats) of the target tokens of packed rows.

    `as_one_row` hands the rows to the model as a single one of B*T tokens. To a kernel that goes by
    cu_seqlens that is the same, and it saves transposed copies of queries and keys.
    """

    def __init__(
        self,
        causal_lm: LlamaForCausalLM,
        loss_function: LossFunction | None = None,
        *,
        as_one_row: bool = False,
    ) -> None:
        super().__init__()
        self.causal_lm = causal_lm
        self._loss_function = loss_function or ChunkedLoss()
        self._as_one_row = as_one_row

    def forward(
        self,
        input_ids: torch.Tensor,
        labels: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cu_seqlens: torch.Tensor | None = None,
        max_seqlen: int | None = None,
        targets: torch.Tensor | None = None,
        **options: Any,
    ) -> Any:
        """Arguments as in PackedBatch; without `targets` every token must have a label.

        Without `labels` it is the model itself: a sharded one answers only through this module.
        """
        if labels is None:
            return self.causal_lm(input_ids=input_ids, position_ids=position_ids, **options)
        if self._as_one_row:
            input_ids = input_ids.view(1, -1)
            position_ids = None if position_ids is None else position_ids.view(1, -1)
        # No attention_mask: restarting positions alone separate the packed documents; an all-ones
        # mask would switch that detection off and let them see each other.
        hidden_BTD = self.causal_lm.model(
            input_ids=input_ids,
            position_ids=position_ids,
            use_cache=False,
            cu_seqlens=cu_seqlens,
            max_seqlen=max_seqlen,
        ).last_hidden_state
        hidden_KD, labels_K = hidden_BTD.flatten(0, 1), labels.flatten()
        if targets is not None:
            hidden_KD, labels_K = hidden_KD[targets], labels_K[targets]
        return self._loss_function(hidden_KD, self.causal_lm.lm_head.weight, labels_K)


def count_parameters(model: nn.Module) -> int:
    """Trainable parameters, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def use_all_cores() -> int:
    """Set torch's threads from OMP_NUM_THREADS, else to the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if hasattr(os, "sched_getaffinity"):
        usable = len(os.sched_getaffinity(0))
    else:
        usable = os.cpu_count() or 1
    threads = int(wanted) if wanted.isdigit() and int(wanted) > 0 else usable
    torch.set_num_threads(threads)
    return threads
