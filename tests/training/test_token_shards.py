"""Token shards: exact contents, independent of partitioning, torn ones refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training.config import ConfigError, ShardsConfig
from training.shards import open_shards, write_shards
from training.tokenizer import load_tokenizer

TEXTS = {
    "b": "print('b')\n" * 5,
    "a": "import os\n<|endoftext|> os.getcwd()\n",
    "c": "",
    "d": "x = 12345\n",
}


def _write(world: Any, root: Path, files: int) -> Path:
    documents = world.write_documents(root / f"docs-{files}", TEXTS, files)
    out = root / f"shards-{files}"
    write_shards(ShardsConfig(tokenizer=world.tokenizer, documents=documents, out=out))
    return out


def test_tokens_are_documents_by_id_each_with_its_end(world: Any, tmp_path: Path) -> None:
    shards = open_shards(_write(world, tmp_path, 1))
    tokenizer = load_tokenizer(world.tokenizer)
    end = shards.index.end_of_text
    assert shards.tokens.dtype == np.dtype("<u2")
    begin = 0
    for name, stop in zip(sorted(TEXTS), shards.document_ends, strict=True):
        ids = shards.tokens[begin:stop].tolist()
        assert ids[-1] == end and end not in ids[:-1]
        assert tokenizer.decode(ids[:-1], skip_special_tokens=False) == TEXTS[name]
        begin = int(stop)
    assert begin == shards.index.tokens == len(shards.tokens)
    assert shards.index.bytes == sum(len(text) for text in TEXTS.values())


def test_partitioning_does_not_matter(world: Any, tmp_path: Path) -> None:
    one, three = _write(world, tmp_path, 1), _write(world, tmp_path, 3)
    for name in ("tokens.bin", "documents.npy", "index.json"):
        assert (one / name).read_bytes() == (three / name).read_bytes()


def test_torn_shards_are_refused(world: Any, tmp_path: Path) -> None:
    out = _write(world, tmp_path, 1)
    tokens = (out / "tokens.bin").read_bytes()
    (out / "tokens.bin").write_bytes(tokens[:-2])
    with pytest.raises(ConfigError, match="torn"):
        open_shards(out)
    (out / "tokens.bin").write_bytes(tokens)
    ends = (out / "documents.npy").read_bytes()
    for torn in (b"", ends[:-8]):
        (out / "documents.npy").write_bytes(torn)
        with pytest.raises(ConfigError, match=r"documents\.npy: .* torn"):
            open_shards(out)
    (out / "documents.npy").unlink()
    with pytest.raises(ConfigError, match=r"documents\.npy: .* torn"):
        open_shards(out)
    (out / "documents.npy").write_bytes(ends)
    index = json.loads((out / "index.json").read_text())
    (out / "index.json").write_text(json.dumps({**index, "surprise": 1}))
    with pytest.raises(ConfigError, match="shards index"):
        open_shards(out)
    (out / "index.json").write_text(json.dumps({**index, "dtype": "<u9"}))
    with pytest.raises(ConfigError, match="shards index"):
        open_shards(out)
    (out / "index.json").unlink()
    with pytest.raises(ConfigError, match=r"index\.json"):
        open_shards(out)
    _write(world, tmp_path, 1)
    ends = (out / "documents.npy").read_bytes()
    (out / "documents.npy").write_bytes(ends[:70])
    with pytest.raises(ConfigError, match=r"documents\.npy: .*write them again"):
        open_shards(out)
    (out / "index.json").write_text(json.dumps({**index, "dtype": "octets"}))
    with pytest.raises(ConfigError, match=r"index\.json: expected a shards index"):
        open_shards(out)


def test_writing_again_spares_what_is_there_and_who_reads_it(world: Any, tmp_path: Path) -> None:
    out = _write(world, tmp_path, 1)
    before = open_shards(out)
    tokens = before.tokens.tolist()
    config = ShardsConfig(tokenizer=world.tokenizer, documents=tmp_path / "nowhere", out=out)
    with pytest.raises(ConfigError, match="nowhere"):
        write_shards(config)
    assert open_shards(out).tokens.tolist() == tokens  # nothing was lost
    write_shards(ShardsConfig(tokenizer=world.tokenizer, documents=world.heldout, out=out))
    assert open_shards(out).tokens.tolist() != tokens
    assert before.tokens.tolist() == tokens  # a run goes on with the shards that it opened
    assert sorted(path.name for path in out.iterdir()) == [
        "documents.npy",
        "index.json",
        "tokens.bin",
    ]


def test_shards_without_any_text_are_refused(world: Any, tmp_path: Path) -> None:
    for number, texts in enumerate(({}, {"a": "", "b": ""})):
        documents = world.write_documents(tmp_path / f"docs-{number}", texts)
        out = tmp_path / f"shards-{number}"
        write_shards(ShardsConfig(tokenizer=world.tokenizer, documents=documents, out=out))
        with pytest.raises(ConfigError, match="at least one document with text"):
            open_shards(out)


def test_what_grows_with_the_corpus_is_mapped_not_read(world: Any, tmp_path: Path) -> None:
    shards = open_shards(_write(world, tmp_path, 1))
    assert isinstance(shards.tokens, np.memmap) and isinstance(shards.document_ends, np.memmap)
