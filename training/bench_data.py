"""Data for the speed benchmark: shards of random tokens, and shards of real source text.

Speed depends on the data only through the lengths of documents (attention inside each) and the
reading of the shards, so random tokens in documents of realistic lengths come close; real text is
this Python's own library, which every machine has, in a tokenizer learned from it.
Paper: none.
"""

from __future__ import annotations

import json
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np

from training.config import ConfigError
from training.data import Int64Array
from training.shards import ShardIndex, Shards, open_shards

_END_OF_TEXT = 0
# Our choice: a median of 665 tokens and a long tail; windows cut what is longer than the context.
_LOG_NORMAL = (6.5, 1.2)
_READ_BYTES = 6_000_000
_BYTES_PER_TOKEN = 6  # more than any tokenizer learned here needs


def synthetic_shards(folder: Path, tokens: int, vocab_size: int, seed: int = 0) -> Shards:
    """Random tokens in documents of log-normal length."""
    generator = np.random.default_rng(seed)

    def documents() -> Iterator[Int64Array]:
        written = 0
        while written < tokens:
            length = int(np.clip(generator.lognormal(*_LOG_NORMAL), 1, tokens - written))
            written += length
            yield generator.integers(1, vocab_size, length)

    return _write(folder, documents(), vocab_size)


def real_shards(folder: Path, tokens: int, vocab_size: int) -> Shards:
    """Python files of the standard library, in the order of their names, up to `tokens` tokens.

    The tokenizer is learned from the first quarter of them, with at most 8,192 entries.
    """
    from training.tokenizer import learn_bpe

    root = Path(sysconfig.get_path("stdlib"))
    texts: list[str] = []
    read_bytes = 0
    for file in sorted(root.rglob("*.py")):
        if read_bytes > min(_READ_BYTES, _BYTES_PER_TOKEN * tokens):
            break
        if "site-packages" in file.parts:
            continue
        texts.append(file.read_text(encoding="utf-8", errors="replace"))
        read_bytes += len(texts[-1])
    tokenizer, _ = learn_bpe(texts[: 1 + len(texts) // 4], min(vocab_size, 8192))

    def documents() -> Iterator[Int64Array]:
        written = 0
        for text in texts:
            if written >= tokens:
                return
            ids = np.array(tokenizer.encode(text, add_special_tokens=False).ids, dtype=np.int64)
            written += len(ids)
            yield ids

    return _write(folder, documents(), vocab_size)


def given_shards(folder: Path, vocab_size: int) -> Shards:
    """Shards on disk; ConfigError when their vocabulary is larger than the model's."""
    shards = open_shards(folder)
    if shards.index.vocab_size > vocab_size:
        raise ConfigError(
            f"shards: expected a vocabulary of at most {vocab_size} (the preset's), "
            f"found {shards.index.vocab_size} in {folder}"
        )
    return shards


def _write(folder: Path, documents: Iterator[Int64Array], vocab_size: int) -> Shards:
    folder.mkdir(parents=True)
    dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
    ends: list[int] = []
    total = 0
    with (folder / "tokens.bin").open("wb") as stream:
        for ids in documents:
            stream.write(np.append(ids, _END_OF_TEXT).astype(dtype).tobytes())
            total += len(ids) + 1
            ends.append(total)
    np.save(folder / "documents.npy", np.array(ends, dtype=np.int64), allow_pickle=False)
    index = ShardIndex(
        tokens=total,
        documents=len(ends),
        bytes=4 * total,
        dtype=dtype.str,
        vocab_size=vocab_size,
        end_of_text=_END_OF_TEXT,
        tokenizer_digest="benchmark",
        digest="benchmark",
    )
    (folder / "index.json").write_text(json.dumps(asdict(index)), encoding="utf-8")
    return open_shards(folder)
