"""Token shards: a corpus as one memory-mapped array of token ids.

Documents in the order of their doc_id, `<|endoftext|>` after each, so that the same documents give
the same bytes whatever files they came in. index.json is written last and proves completeness;
shards that are there already stay until the new ones are whole, and for runs that have them open.
Layout: tokens.bin (little-endian uint16 or uint32), documents.npy (int64 end offsets), index.json.
Paper: section 3.2 (the data side of pretraining).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.config import ConfigError, ShardsConfig
from training.documents import Row, iter_rows
from training.tokenizer import load_tokenizer, special_ids, tokenizer_digest

_BATCH_DOCUMENTS = 256
_TOKENS_FILE = "tokens.bin"
_ENDS_FILE = "documents.npy"


@dataclass(frozen=True)
class ShardIndex:
    """Facts about a shards folder; `digest` is the sha-256 of tokens.bin."""

    tokens: int
    documents: int
    bytes: int
    dtype: str
    vocab_size: int
    end_of_text: int
    tokenizer_digest: str
    digest: str


@dataclass(frozen=True)
class Shards:
    """An opened shards folder, memory-mapped: tokens (N,), document end offsets (D,) int64."""

    path: Path
    index: ShardIndex
    tokens: npt.NDArray[np.generic]
    document_ends: npt.NDArray[np.int64]


def write_shards(config: ShardsConfig) -> ShardIndex:
    """Tokenise the documents of `config` into `config.out` and return the index."""
    tokenizer = load_tokenizer(config.tokenizer)
    end_of_text = special_ids(tokenizer, config.tokenizer).end_of_text
    vocab_size = tokenizer.get_vocab_size()
    dtype = np.dtype("<u2" if vocab_size <= 1 << 16 else "<u4")
    config.out.mkdir(parents=True, exist_ok=True)
    index_file, tokens_file, ends_file = (
        config.out / name for name in ("index.json", _TOKENS_FILE, _ENDS_FILE)
    )
    new_tokens, new_ends = (config.out / f".tmp-{file.name}" for file in (tokens_file, ends_file))

    ends = array("q")
    total_tokens = total_bytes = 0
    content_hash = hashlib.sha256()
    with new_tokens.open("wb") as stream:
        for rows in _batches(iter_rows(config.documents, ["doc_id", "content"])):
            texts = [content for _, content in rows]
            for text, encoding in zip(
                texts, tokenizer.encode_batch(texts, add_special_tokens=False), strict=True
            ):
                data = np.array([*encoding.ids, end_of_text], dtype=dtype).tobytes()
                stream.write(data)
                content_hash.update(data)
                total_bytes += len(text.encode("utf-8"))
                total_tokens += len(encoding.ids) + 1
                ends.append(total_tokens)
    np.save(new_ends, np.frombuffer(ends, dtype=np.int64), allow_pickle=False)
    index = ShardIndex(
        tokens=total_tokens,
        documents=len(ends),
        bytes=total_bytes,
        dtype=dtype.str,
        vocab_size=vocab_size,
        end_of_text=end_of_text,
        tokenizer_digest=tokenizer_digest(config.tokenizer),
        digest=content_hash.hexdigest(),
    )
    index_file.unlink(missing_ok=True)
    new_tokens.replace(tokens_file)
    new_ends.replace(ends_file)
    index_file.write_text(json.dumps(asdict(index), indent=2) + "\n", encoding="utf-8")
    return index


def open_shards(path: Path) -> Shards:
    """Open a shards folder; ConfigError when it is incomplete, torn or empty."""
    index_file = path / "index.json"
    if not index_file.is_file():
        raise ConfigError(
            f"{path}: expected token shards with index.json, found none; "
            "write them with `python -m training shards`"
        )
    try:
        index = ShardIndex(**json.loads(index_file.read_text(encoding="utf-8")))
        dtype = np.dtype(index.dtype)
        expected_bytes = index.tokens * dtype.itemsize
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{index_file}: expected a shards index, found: {error}") from error
    tokens_file, ends_file = path / _TOKENS_FILE, path / _ENDS_FILE
    found_bytes = tokens_file.stat().st_size if tokens_file.is_file() else 0
    if found_bytes != expected_bytes:
        raise ConfigError(
            f"{tokens_file}: expected {expected_bytes} bytes, found {found_bytes}; "
            "the shards are torn, write them again"
        )
    if index.bytes == 0:
        raise ConfigError(f"{path}: expected at least one document with text, found none")
    tokens = np.memmap(tokens_file, dtype=dtype, mode="r", shape=(index.tokens,))
    try:
        ends = np.load(ends_file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(
            f"{ends_file}: expected the ends of {index.documents} documents, found: {error}; "
            "the shards are torn, write them again"
        ) from error
    return Shards(path, index, tokens, ends)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(itertools.islice(rows, _BATCH_DOCUMENTS)):
        yield batch
