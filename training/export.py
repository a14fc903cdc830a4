"""Export: a finished model as a Hugging Face folder that needs nothing of this project.

Weights as safetensors, config, generation config (an answer ends at either end token), the
tokenizer with its chat template. `AutoModelForCausalLM.from_pretrained` gives the same logits.
Paper: section 1 (open weights and intermediate checkpoints).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from training.tokenizer import SpecialIds

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def export_model(
    model: LlamaForCausalLM, tokenizer_folder: Path, special: SpecialIds, folder: Path
) -> None:
    """Write `folder` (replaced when it exists), complete before it takes its name."""
    from transformers import GenerationConfig

    temporary = folder.with_name(f".tmp-{folder.name}")
    for path in (temporary, folder):
        if path.exists():
            shutil.rmtree(path)
    model.generation_config = GenerationConfig(
        bos_token_id=special.end_of_text,
        eos_token_id=[special.end_of_text, special.im_end],
        pad_token_id=special.pad,
    )
    model.save_pretrained(temporary)
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_folder / name, temporary / name)
    temporary.rename(folder)
