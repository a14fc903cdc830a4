"""The tokenizer: lossless on anything, digits alone, no text becomes a special token."""

import json
import random
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from training.config import ConfigError, TokenizerConfig
from training.runs import pretrain
from training.sampling import plan_budgets
from training.tokenizer import (
    SPECIAL_TOKENS,
    learn_bpe,
    load_tokenizer,
    special_ids,
    tokenizer_digest,
    train_tokenizer,
)


def test_round_trips_any_text_and_any_bytes(world: Any) -> None:
    tokenizer = load_tokenizer(world.tokenizer)

    def survives(text: str) -> bool:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        decoded: str = tokenizer.decode(ids, skip_special_tokens=False)
        return decoded == text

    @settings(max_examples=150, deadline=None)
    @given(st.text(st.characters(exclude_categories=("Cs",)), max_size=60))
    def text(text: str) -> None:
        assert survives(text)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=80))
    def data(data: bytes) -> None:
        # Bytes of any kind, as documents hold them: as text of a one-byte encoding, or what of
        # them is UTF-8.
        assert survives(data.decode("latin-1"))
        assert survives(data.decode("utf-8", errors="replace"))

    text()
    data()
    edges = (
        "a\r\n\r\n\tb  \n",
        "\x00\x7f",
        "<|endoftext|>",
        "日本語 🙂",
        "   ",
        "",
        "e\u0301\ufeff",
    )
    assert all(map(survives, edges))


def test_every_byte_has_a_token_of_its_own(world: Any) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    vocabulary = tokenizer.get_vocab()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    assert len(alphabet) == 256 and all(sign in vocabulary for sign in alphabet)
    # A character that no merge knows is spelt out in its four bytes.
    assert len(tokenizer.encode("\U0010fffd", add_special_tokens=False).ids) == 4


def test_white_space_is_cheap(world: Any) -> None:
    tokenizer = load_tokenizer(world.tokenizer)
    tokens = tokenizer.encode("x\n        return y", add_special_tokens=False).tokens
    assert len(tokens) <= 7  # the indentation is not spelt out


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


def test_a_piece_without_end_is_learnt_from_in_parts() -> None:
    """Whole, its time to learn grows with the square of its length."""
    genome = "".join(random.Random(0).choices("ACGT", k=10_000))
    tokenizer, _ = learn_bpe([genome, "-" * 10_000], 1024)
    assert max(map(len, tokenizer.get_vocab())) <= 1024  # of the dashes; whole, 4096 would be one
    assert tokenizer.decode(tokenizer.encode(genome[:5000]).ids) == genome[:5000]
    # What bounds the learning is no part of the tokenizer.
    assert "FixedLength" not in tokenizer.to_str()


def test_documents_without_any_text_are_refused(write_documents: Any, tmp_path: Path) -> None:
    documents = write_documents(tmp_path / "docs", {"a": "", "b": ""})
    config = TokenizerConfig(documents=documents, vocab_size=384, out=tmp_path / "tok")
    with pytest.raises(ConfigError, match="at least one document with text"):
        train_tokenizer(config)


def test_report_has_the_sample_and_bytes_per_token_of_each_language(
    write_documents: Any, tmp_path: Path
) -> None:
    texts = {
        f"{language}-{number}": (f"{word} item_{number} = value\n" * 40, language)
        for language, word, count in (("Python", "def", 30), ("Rust", "fn", 6), ("Perl", "sub", 1))
        for number in range(count)
    }
    documents = write_documents(tmp_path / "docs", {key: text for key, (text, _) in texts.items()})
    _set_languages(documents, {key: language for key, (_, language) in texts.items()})
    reports = {}
    for exponent in (1.0, 0.5):
        out = tmp_path / str(exponent)
        train_tokenizer(
            TokenizerConfig(
                documents=documents, vocab_size=384, max_bytes=9000,
                language_exponent=exponent, out=out,
            )
        )  # fmt: skip
        reports[exponent] = json.loads((out / "report.json").read_text())
    plain, lifted = (reports[exponent]["languages"] for exponent in (1.0, 0.5))
    available = {name: item["available_bytes"] for name, item in plain.items()}
    assert available == {
        name: sum(len(text) for text, language in texts.values() if language == name)
        for name in ("Perl", "Python", "Rust")
    }
    total = sum(available.values())
    for name, item in plain.items():
        assert item["bytes"] == pytest.approx(9000 * available[name] / total, abs=1)
        assert item["bytes_per_token"] > 1.5 and 0 < item["measured_bytes"] <= 200_000
    assert lifted["Rust"]["bytes"] > 1.5 * plain["Rust"]["bytes"]
    assert lifted["Perl"]["bytes"] == available["Perl"]  # all there is
    assert lifted["Perl"]["measured_on"] == "documents learnt from"
    assert lifted["Python"]["measured_on"] == "unseen documents"


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 10**9), min_size=1, max_size=9),
    st.integers(1, 10**9),
    st.sampled_from([0.0, 0.3, 0.7, 1.0]),
)
def test_budgets_are_used_up_and_never_exceeded(
    sizes: list[int], total: int, exponent: float
) -> None:
    available = {f"language {number}": size for number, size in enumerate(sizes)}
    budgets = plan_budgets(available, total, exponent)
    assert budgets.keys() == available.keys()
    assert all(0 <= budgets[name] <= available[name] for name in available)
    wanted = min(total, sum(sizes))
    assert wanted - len(available) <= sum(budgets.values()) <= wanted


def _set_languages(documents: Path, languages: dict[str, str]) -> None:
    (file,) = documents.glob("*.parquet")
    table = pq.read_table(file)
    column = pa.array([languages[key] for key in table["doc_id"].to_pylist()], pa.string())
    pq.write_table(table.set_column(2, "language", column), file)


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


def test_a_folder_without_tokenizer_is_refused(world: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing tokenizer\.json"):
        load_tokenizer(tmp_path)
    folder = tmp_path / "tokenizer"
    shutil.copytree(world.tokenizer, folder)
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ConfigError, match=r"tokenizer\.json: expected a tokenizer"):
        load_tokenizer(folder)


def test_a_folder_that_could_not_be_released_is_refused_before_training(
    world: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "tokenizer"
    shutil.copytree(world.tokenizer, folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(ConfigError, match=r"missing chat_template\.jinja"):
        pretrain(world.pretrain(tmp_path / "run", tokenizer=folder))
    assert not (tmp_path / "run" / "logs").exists()
