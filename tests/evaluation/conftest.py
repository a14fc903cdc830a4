"""A tiny random Llama, made once per test run; files of benchmarks; a sandbox."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from assets.sandbox import settle_level
from evaluation.benchmarks.data import SETTING
from evaluation.sandbox import Sandbox, SandboxError, ensure_level

SHARED = Path(__file__).resolve().parents[3] / "shared" / "benchmarks"
TEMPLATE = (
    "{% for message in messages %}<|user|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as training would leave it (random weights, about 100k parameters)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([Path(__file__).read_text()] * 3, trainer)
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|endoftext|>", pad_token="<|endoftext|>"
    )
    wrapped.chat_template = TEMPLATE
    wrapped.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(wrapped),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        eos_token_id=wrapped.eos_token_id,
        bos_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture
def benchmark_files(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of benchmark files, set as the setting; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip("the benchmark files are not beside the checkout (../shared/benchmarks)")
    monkeypatch.setenv(SETTING, str(SHARED))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return SHARED


@pytest.fixture(scope="session", autouse=True)
def level_of_this_machine() -> None:
    """The level that COOKBOOK_SANDBOX names; else strict, or user where strict does not hold."""
    with contextlib.suppress(SandboxError):
        settle_level()


@pytest.fixture
def sandbox_here() -> None:
    """Skips where programs cannot be isolated."""
    try:
        ensure_level()
    except SandboxError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    """A sandbox of the level that COOKBOOK_SANDBOX names, else strict; a skip where none holds."""
    try:
        with Sandbox(workers=2) as ready:
            yield ready
    except SandboxError as error:
        pytest.skip(str(error))
