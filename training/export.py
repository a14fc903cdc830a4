"""Export: a finished model as a Hugging Face folder that needs nothing of this project.

Weights as safetensors, config, generation config (an answer ends at either end token), the
tokenizer with its chat template. `AutoModelForCausalLM.from_pretrained` gives the same logits.
Paper: section 1 (open weights and intermediate checkpoints).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from training.tokenizer import TOKENIZER_FILES, SpecialIds

if TYPE_CHECKING:
    import torch
    from transformers.models.llama.modeling_llama import LlamaForCausalLM


def export_model(
    weights: Mapping[str, torch.Tensor],
    model: LlamaForCausalLM,
    tokenizer_folder: Path,
    special: SpecialIds,
    folder: Path,
) -> None:
    """Write `folder` (replaced when it exists), complete before it takes its name.

    `weights` are whole tensors by parameter name; a shared one stands under its first name only.
    """
    from safetensors.torch import save_file

    temporary = folder.with_name(f".tmp-{folder.name}")
    for path in (temporary, folder):
        if path.exists():
            shutil.rmtree(path)
    temporary.mkdir(parents=True)
    save_file(dict(weights), temporary / "model.safetensors", metadata={"format": "pt"})
    describe_model(model, tokenizer_folder, special, temporary)
    temporary.rename(folder)


def describe_model(
    model: LlamaForCausalLM, tokenizer_folder: Path, special: SpecialIds, folder: Path
) -> None:
    """Write what makes a folder with model.safetensors loadable: configs, tokenizer, template."""
    from transformers import GenerationConfig

    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    GenerationConfig(
        bos_token_id=special.end_of_text,
        eos_token_id=[special.end_of_text, special.im_end],
        pad_token_id=special.pad,
    ).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, folder / name)
