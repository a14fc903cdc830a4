"""The tokenizer: lossless on anything, digits alone, no text becomes a special token."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.config import ConfigError, TokenizerConfig
from training.tokenizer import (
    SPECIAL_TOKENS,
    load_tokenizer,
    special_ids,
    tokenizer_digest,
    train_tokenizer,
)


def test_round_trips_any_text(world: Any) -> None:
    tokenizer = load_tokenizer(world.tokenizer)

    @settings(max_examples=150, deadline=None)
    @given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
    def check(text: str) -> None:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text

    check()
    for text in ("a\r\n\r\n\tb  \n", "\x00\x7f", "<|endoftext|>", "日本語 🙂", "   ", ""):
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        assert tokenizer.decode(ids, skip_special_tokens=False) == text


def test_digits_stand_alone(world: Any) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    tokens = tokenizer.encode("x = 20261121", add_special_tokens=False).tokens
    assert tokens[-8:] == list("20261121")


def test_text_never_becomes_a_special_token(world: Any) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    special = {tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    ids = tokenizer.encode(" ".join(SPECIAL_TOKENS), add_special_tokens=False).ids
    assert not special & set(ids)


def test_training_is_deterministic_and_partition_free(write_documents: Any, tmp_path: Path) -> None:
    texts = {f"d{number}": f"def f{number}(value):\n    return value\n" * 9 for number in range(20)}
    digests = []
    for files in (1, 4):
        out = tmp_path / f"tok-{files}"
        documents = write_documents(tmp_path / f"docs-{files}", texts, files)
        report = train_tokenizer(
            TokenizerConfig(documents=documents, vocab_size=384, max_bytes=2000, out=out)
        )
        digests.append(tokenizer_digest(out))
        assert report["vocab_size"] == 384
        assert report["digest"] == digests[-1]
    assert digests[0] == digests[1]


def test_small_text_leaves_reserved_entries(write_documents: Any, tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "docs", {"only": "abc abc"})
    config = TokenizerConfig(documents=documents, vocab_size=512, out=tmp_path / "tok")
    report = train_tokenizer(config)
    assert load_tokenizer(tmp_path / "tok").get_vocab_size() == 512
    assert isinstance(report["reserved_tokens"], int) and report["reserved_tokens"] > 200


def test_report_counts_per_language(world: Any) -> None:
    report = json.loads((world.tokenizer / "report.json").read_text())
    python = report["languages"]["Python"]
    assert python["bytes"] == report["bytes"] and python["documents"] == 4
    assert python["bytes_per_token"] == pytest.approx(python["bytes"] / python["tokens"], abs=1e-3)
    assert python["bytes_per_token"] > 1.5


def test_loads_in_transformers_with_equal_ids_and_chat_template(world: Any) -> None:
    from transformers import AutoTokenizer

    fast = load_tokenizer(world.tokenizer)
    loaded = AutoTokenizer.from_pretrained(world.tokenizer, local_files_only=True)
    text = "def f(x):\n    return x + 42\n"
    assert loaded(text, add_special_tokens=False)["input_ids"] == fast.encode(text).ids
    assert loaded.decode(fast.encode(text).ids) == text
    special = special_ids(fast, world.tokenizer)
    assert loaded.eos_token_id == special.end_of_text and loaded.pad_token_id == special.pad
    chat = loaded.apply_chat_template(
        [{"role": "user", "content": "Hi"}], add_generation_prompt=True, tokenize=False
    )
    assert chat == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path)
