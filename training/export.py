"""Export: a finished model as a Hugging Face folder that needs nothing of this project.

Weights as safetensors, config, generation config (an answer ends at either end token), the
tokenizer with its chat template. `AutoModelForCausalLM.from_pretrained` gives the same logits.
Paper: section 1 (open weights and intermediate checkpoints).
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from training.config import ConfigError
from training.folder import sync
from training.tokenizer import TOKENIZER_FILES, SpecialIds, load_tokenizer, special_ids

if TYPE_CHECKING:
    import torch
    from transformers.models.llama.modeling_llama import LlamaForCausalLM


@dataclass(frozen=True)
class TokenizerFiles:
    """A tokenizer as it is when a run begins; its folder may change or go before the run ends."""

    contents: Mapping[str, bytes]
    special: SpecialIds


def read_tokenizer_files(folder: Path) -> TokenizerFiles:
    """The files of a tokenizer folder; ConfigError when one is missing."""
    special = special_ids(load_tokenizer(folder), folder)
    try:
        contents = {name: (folder / name).read_bytes() for name in TOKENIZER_FILES}
    except OSError as error:
        raise ConfigError(
            f"{folder}: expected a tokenizer with {', '.join(TOKENIZER_FILES)}, found: {error}"
        ) from error
    return TokenizerFiles(contents, special)


def export_model(
    weights: Mapping[str, torch.Tensor],
    model: LlamaForCausalLM,
    tokenizer: TokenizerFiles,
    folder: Path,
) -> None:
    """Write `folder` (replaced when it exists), complete and on the disk before it takes its name.

    `weights` are whole tensors by parameter name; a shared one stands under its first name only.
    """
    from safetensors.torch import save_file

    temporary = folder.with_name(f".tmp-{folder.name}")
    for path in (temporary, folder):
        if path.exists():
            shutil.rmtree(path)
    temporary.mkdir(parents=True)
    save_file(dict(weights), temporary / "model.safetensors", metadata={"format": "pt"})
    describe_model(model, tokenizer, temporary)
    for file in temporary.iterdir():
        sync(file)
    sync(temporary)
    temporary.rename(folder)
    sync(folder.parent)


def describe_model(model: LlamaForCausalLM, tokenizer: TokenizerFiles, folder: Path) -> None:
    """Write what makes a folder with model.safetensors loadable: configs, tokenizer, template."""
    from transformers import GenerationConfig

    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    GenerationConfig(
        bos_token_id=tokenizer.special.end_of_text,
        eos_token_id=[tokenizer.special.end_of_text, tokenizer.special.im_end],
        pad_token_id=tokenizer.special.pad,
    ).save_pretrained(folder)
    for name, content in tokenizer.contents.items():
        (folder / name).write_bytes(content)
