"""Export: a folder that transformers loads by itself, with the logits of the model in memory."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from training.checkpoint import named_weights
from training.config import ModelConfig
from training.export import export_model, read_tokenizer_files
from training.model import new_model

TIED = ModelConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    tie_word_embeddings=True,
)
#: As the paper's models: untied, with a head width of its own.
UNTIED = replace(TIED, tie_word_embeddings=False, head_dim=12, rope_theta=5e5)


@pytest.mark.parametrize("config", [TIED, UNTIED], ids=["tied", "untied"])
def test_loaded_logits_equal_those_in_memory(world: Any, tmp_path: Path, config: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    files = read_tokenizer_files(world.tokenizer)
    special = files.special
    torch.manual_seed(3)
    model = new_model(
        config, vocab_size=512, context_length=64, end_of_text=special.end_of_text, pad=special.pad
    ).eval()
    folder = tmp_path / "model"
    export_model(named_weights(model), model, files, folder)
    export_model(named_weights(model), model, files, folder)  # replaces it

    loaded = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    ids = tokenizer("import json\n" * 9, return_tensors="pt", add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        difference = (loaded(input_ids=ids).logits - model(input_ids=ids).logits).abs().max()
    assert float(difference) < 1e-5
    assert loaded.config.tie_word_embeddings == config.tie_word_embeddings
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["LlamaForCausalLM"]

    ends = [tokenizer.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|im_end|>")]
    assert loaded.generation_config.eos_token_id == ends
    assert tokenizer.pad_token_id == loaded.generation_config.pad_token_id == special.pad
    chat = tokenizer.apply_chat_template([{"role": "user", "content": "Hi"}], tokenize=False)
    assert chat == "<|im_start|>user\nHi<|im_end|>\n"
    assert sorted(path.name for path in folder.iterdir()) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
