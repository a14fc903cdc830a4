"""A tiny world for the training tests: real source text, tokenizer, shards, held-out text."""

import inspect
import json
import multiprocessing
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from training.config import (
    ModelConfig,
    PretrainConfig,
    ShardsConfig,
    SourceConfig,
    TokenizerConfig,
)
from training.shards import write_shards
from training.tokenizer import train_tokenizer

MODEL = ModelConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=2,
    num_attention_heads=2,
    num_key_value_heads=1,
    tie_word_embeddings=True,
)


def _write_documents(folder: Path, documents: Mapping[str, str], files: int = 1) -> Path:
    """Parquet documents, dealt to `files` files."""
    folder.mkdir(parents=True, exist_ok=True)
    items = list(documents.items())
    for number in range(files):
        part = items[number::files]
        table = pa.table(
            {
                "doc_id": pa.array([key for key, _ in part], pa.string()),
                "content": pa.array([text for _, text in part], pa.string()),
                "language": pa.array(["Python"] * len(part), pa.string()),
            }
        )
        pq.write_table(table, folder / f"part-{number}.parquet")
    return folder


def _write_examples(folder: Path, examples: Sequence[tuple[str, str]]) -> Path:
    """Parquet instruction examples."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.table(
        {
            "example_id": [f"example-{number:03d}" for number in range(len(examples))],
            "instruction": [question for question, _ in examples],
            "output": [answer for _, answer in examples],
        }
    )
    pq.write_table(table, folder / "examples.parquet")
    return folder


@dataclass(frozen=True)
class World:
    documents: Path
    heldout: Path
    tokenizer: Path
    shards: Path
    examples: Path
    write_documents = staticmethod(_write_documents)
    write_examples = staticmethod(_write_examples)

    def pretrain(self, out: Path, **changes: Any) -> PretrainConfig:
        values: dict[str, Any] = {
            "model": MODEL,
            "tokenizer": self.tokenizer,
            "sources": (SourceConfig(name="code", path=self.shards),),
            "context_length": 32,
            "batch_size": 4,
            "micro_batch_size": 4,
            "steps": 12,
            "lr_peak": 3e-3,
            "warmup_steps": 2,
            "checkpoint_every_steps": 5,
            "out": out,
        }
        return PretrainConfig(**{**values, **changes})


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models: one thread in this process and in those that it starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        yield


@pytest.fixture(scope="session")
def run_processes(one_thread: None) -> Callable[..., list[int | None]]:
    """Run pieces of code side by side, each in a process of its own; returns their exit codes.

    The processes are forked from a server that has imported torch once: they start in no time.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        [
            "training.runs",
            "accelerate",
            "transformers.models.llama.modeling_llama",
            "torch._dynamo",  # an optimizer's first step imports it
            "matplotlib.backends.backend_agg",
        ]
    )

    def run(*codes: str) -> list[int | None]:
        processes = [context.Process(target=exec, args=(code, {}), daemon=True) for code in codes]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        return [process.exitcode for process in processes]

    return run


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    root = tmp_path_factory.mktemp("training-world")
    sources = {
        f"doc-{number}": inspect.getsource(module)[:6000]
        for number, module in enumerate((json, textwrap, json.decoder, json.encoder, json.scanner))
    }
    heldout = _write_documents(root / "heldout", {"held-0": sources.pop("doc-4")[:1500]})
    documents = _write_documents(root / "documents", sources)
    train_tokenizer(
        TokenizerConfig(documents=documents, vocab_size=512, max_bytes=30_000, out=root / "tok")
    )
    write_shards(ShardsConfig(tokenizer=root / "tok", documents=documents, out=root / "shards"))
    examples = _write_examples(
        root / "examples",
        [
            (f"Return {number} twice.", f"def f():\n    return {number * 2}\n")
            for number in range(9)
        ],
    )
    return World(documents, heldout, root / "tok", root / "shards", examples)


@pytest.fixture(scope="session")
def finished_run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished pretraining run with held-out figures."""
    from training.runs import pretrain

    out = tmp_path_factory.mktemp("finished") / "run"
    pretrain(world.pretrain(out, heldout=world.heldout))
    return out


@pytest.fixture
def write_yaml(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "config.yaml"
        file.write_text(textwrap.dedent(text), encoding="utf-8")
        return file

    return write


@pytest.fixture(scope="session")
def write_documents() -> Callable[..., Path]:
    return _write_documents
