"""Configuration of the training commands.

One frozen dataclass a command; the defaults are the paper's figures where it gives them.
Bad combinations fail when the object is made, also in Python code.
Paper: sections 3.2 and 4.3 (the hyper-parameters that the fields carry).
"""

# ruff: noqa: RUF009 (setting() only makes a dataclass field)
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from training.strict import (
    Checked,
    ConfigError,
    InvalidValue,
    check_inputs,
    describe,
    digest,
    identity,
    load_config,
    setting,
)

AttentionChoice = Literal[
    "flash_attention_2", "flash_attention_3", "flash_attention_4", "varlen", "sdpa", "eager"
]

__all__ = [
    "AttentionChoice",
    "BenchConfig",
    "ConfigError",
    "InvalidValue",
    "ModelConfig",
    "PretrainConfig",
    "SftConfig",
    "ShardsConfig",
    "SourceConfig",
    "TokenizerConfig",
    "check_inputs",
    "describe",
    "digest",
    "identity",
    "load_config",
]


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig(Checked):
    """`tokenizer`: byte-level BPE from a folder of parquet documents."""

    documents: Path = setting("parquet file or folder with columns doc_id, content, language")
    out: Path = setting("folder to write the tokenizer to", identity=False)
    vocab_size: int = setting(
        "entries, special tokens included (paper: 96,640)", minimum=384, multiple_of=128
    )
    max_bytes: int = setting(
        "bytes of text to learn from, shared out to the languages by what there is of each",
        3_000_000,
        minimum=1,
    )
    language_exponent: float = setting(
        "a language's share is its bytes to this power; below 1 lifts small languages",
        1.0,
        minimum=0,
        maximum=1,
    )


@dataclass(frozen=True, kw_only=True)
class ShardsConfig(Checked):
    """`shards`: tokenise a folder of parquet documents into memory-mapped shards."""

    tokenizer: Path = setting("tokenizer folder")
    documents: Path = setting("parquet file or folder with columns doc_id, content")
    out: Path = setting("folder to write the shards to", identity=False)


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Checked):
    """Llama architecture; the names are those of transformers' LlamaConfig. Defaults: 1.5B."""

    hidden_size: int = setting("model width", 2240, minimum=2)
    intermediate_size: int = setting("inner width of the gated MLP", 6144, minimum=1)
    num_hidden_layers: int = setting("transformer blocks", 24, minimum=1)
    num_attention_heads: int = setting("query heads", 14, minimum=1)
    num_key_value_heads: int = setting("key/value heads (divides the query heads)", 14, minimum=1)
    head_dim: int | None = setting(
        "width of one head (hidden_size / heads when absent)", None, minimum=2, multiple_of=2
    )
    rope_theta: float = setting("base of the rotary positions", 10_000.0, above=0)
    rms_norm_eps: float = setting("epsilon of RMSNorm", 1e-5, above=0)
    tie_word_embeddings: bool = setting("share input and output embeddings", False)
    initializer_range: float = setting("standard deviation of the initial weights", 0.02, above=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_attention_heads % self.num_key_value_heads:
            raise InvalidValue(
                "num_key_value_heads",
                f"a divisor of num_attention_heads ({self.num_attention_heads})",
                self.num_key_value_heads,
            )
        if self.head_dim is None and self.hidden_size % (2 * self.num_attention_heads):
            raise InvalidValue(
                "hidden_size",
                f"a multiple of 2 x num_attention_heads ({2 * self.num_attention_heads}), "
                "or an explicit head_dim",
                self.hidden_size,
            )


@dataclass(frozen=True, kw_only=True)
class SourceConfig(Checked):
    """One ingredient of the data mix."""

    name: str = setting("name under which the drawn tokens are reported")
    path: Path = setting(
        "token shards folder (pretrain, anneal), or parquet examples with columns example_id, "
        "instruction, output (sft)"
    )
    weight: float = setting("share of the drawn sequences, relative to the others", 1.0, above=0)


@dataclass(frozen=True, kw_only=True)
class _RunConfig(Checked):
    """What pretraining, annealing and instruction tuning have in common."""

    sources: tuple[SourceConfig, ...] = setting("ingredients of the data mix")
    out: Path = setting("folder of the run; the same command resumes in it", identity=False)
    batch_size: int = setting("sequences (sft: examples) in an optimizer step", minimum=1)
    micro_batch_size: int = setting(
        "sequences in one forward pass; less memory, same result", minimum=1, identity=False
    )
    seed: int = setting("seeds weights and data order", 0, minimum=0, maximum=2**63 - 1)
    optimizer: Literal["adamw", "muon"] = setting(
        "adamw, or muon for hidden matrices (learns more from few tokens)", "adamw"
    )
    grad_clip: float = setting("largest gradient norm", 1.0, above=0)
    precision: Literal["auto", "fp32", "bf16", "fp8"] = setting(
        "arithmetic: auto is bf16 on a GPU that has it, fp32 on a CPU; fp8 needs torchao", "auto"
    )
    attention: Literal["auto", AttentionChoice] = setting(
        "kernel: auto takes the first that passes a probe", "auto", identity=False
    )
    loss: Literal["auto", "liger", "chunked", "plain"] = setting(
        "output head and loss: auto is liger where it runs, else chunked", "auto", identity=False
    )
    compile: Literal["auto", "always", "never"] = setting(
        "torch.compile for each block: auto is on a GPU only", "auto", identity=False
    )
    parallel: Literal["auto", "ddp", "fsdp"] = setting(
        "more than one process: auto is fsdp on GPUs with adamw, else ddp", "auto", identity=False
    )
    activation_checkpointing: bool = setting(
        "compute each block twice and keep less of it", False, identity=False
    )
    spike_sigmas: float | None = setting(
        "skip a step whose loss or gradient norm is this many spreads above the median of the "
        "steps before it; null: skip only what is not finite",
        6.0,
        above=0,
    )
    spike_window: int = setting("steps that the median is taken over", 128, minimum=4)
    checkpoint_every_steps: int = setting(
        "steps between checkpoints", 100, minimum=1, identity=False
    )
    keep_last_checkpoints: int = setting(
        "most recent checkpoints to keep during the run", 2, minimum=1, identity=False
    )
    keep_every_steps: int | None = setting(
        "keep the checkpoint of every n-th step for good, to branch from or to release",
        None,
        minimum=1,
    )
    heldout: Path | None = setting(
        "parquet documents to measure bits per byte on, before and after", None
    )
    heldout_every_steps: int | None = setting(
        "measure bits per byte during the run too, each so many steps", None, minimum=1
    )
    heldout_max_bytes: int = setting(
        "bytes of held-out text to use: documents in the order of their doc_id's hash",
        262_144,
        minimum=1,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.sources:
            raise InvalidValue("sources", "at least one source", [])
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise InvalidValue("sources", "a different name for each source", names)
        if self.heldout_every_steps is not None and self.heldout is None:
            raise InvalidValue("heldout", "documents for heldout_every_steps", None)


@dataclass(frozen=True, kw_only=True)
class PretrainConfig(_RunConfig):
    """`pretrain` and `anneal`: next-token training on token shards (WSD schedule)."""

    context_length: int = setting("tokens in a sequence (paper: 4096 / 8192)", minimum=2)
    steps: int = setting("optimizer steps", minimum=1)
    lr_peak: float = setting("learning rate of the stable phase", 3e-4, above=0)
    lr_end: float = setting("learning rate at the end of an exponential decay", 1e-5, above=0)
    warmup_steps: int = setting("steps of linear warm-up", 0, minimum=0)
    decay: Literal["constant", "exponential"] = setting(
        "after the warm-up: stay at lr_peak, or fall to lr_end over the whole run", "constant"
    )
    weight_decay: float = setting("weight decay, for matrices only", 0.1, minimum=0)
    betas: tuple[float, float] = setting("AdamW's moment decays", (0.9, 0.95), minimum=0, below=1)
    model: ModelConfig | None = setting("architecture; absent when init_from gives it", None)
    tokenizer: Path | None = setting("tokenizer folder; absent when init_from gives it", None)
    init_from: Path | None = setting(
        "finished run, or any checkpoint (RUN/checkpoints/step-N), to branch from: weights, "
        "optimizer state, tokenizer, and the place in the sources it has in common",
        None,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.init_from is None and self.model is None:
            raise InvalidValue("model", "an architecture, or init_from to take one from", None)
        if self.init_from is None and self.tokenizer is None:
            raise InvalidValue("tokenizer", "a tokenizer folder, or init_from", None)
        if self.warmup_steps > self.steps:
            raise InvalidValue("warmup_steps", f"at most steps ({self.steps})", self.warmup_steps)
        if self.decay == "exponential" and self.lr_end > self.lr_peak:
            raise InvalidValue("lr_end", f"at most lr_peak ({self.lr_peak})", self.lr_end)


@dataclass(frozen=True, kw_only=True)
class SftConfig(_RunConfig):
    """`sft`: instruction tuning of a finished run, loss on the answers only."""

    init_from: Path = setting("finished run, or a checkpoint, whose model is tuned")
    order: Literal["shuffled", "progressive"] = setting(
        "shuffled: all sources mixed; progressive: from the first source to the last, the share of "
        "each rising and falling smoothly",
        "shuffled",
    )
    max_length: int = setting(
        "tokens in a packed row and in an example; at most the context of init_from", minimum=8
    )
    epochs: int = setting("passes over all examples (paper: 1 then 3)", 1, minimum=1)
    lr: float = setting("peak learning rate (paper: 2e-5 then 5e-5)", 2e-5, above=0)
    warmup_steps: int = setting("steps of linear warm-up (paper: 100)", 0, minimum=0)
    weight_decay: float = setting("weight decay, for matrices only", 0.0, minimum=0)
    betas: tuple[float, float] = setting("AdamW's moment decays", (0.9, 0.999), minimum=0, below=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order == "progressive" and len(self.sources) < 2:
            raise InvalidValue("order", "two sources or more to progress between", self.order)
        for index, source in enumerate(self.sources):
            if source.weight != 1.0:
                raise InvalidValue(
                    f"sources[{index}].weight",
                    "no weight (sft passes over every example of every source once an epoch)",
                    source.weight,
                )


@dataclass(frozen=True, kw_only=True)
class BenchConfig(Checked):
    """`bench`: training speed of an architecture on this machine."""

    preset: Literal["starter", "100m", "1.5b", "8b"] = setting("architecture", "1.5b")
    num_hidden_layers: int | None = setting(
        "fewer blocks than the preset has, to fit one device (the table says so)", None, minimum=1
    )
    context_length: int | None = setting(
        "tokens in a sequence; null: the preset's", None, minimum=8
    )
    batch_size: int | None = setting("sequences in a step; null: the preset's", None, minimum=1)
    micro_batch_size: int | None = setting(
        "sequences in a forward pass, halved when memory runs out; null: the preset's",
        None,
        minimum=1,
    )
    warmup_steps: int = setting("steps before the clock starts (compilation)", 3, minimum=1)
    steps: int = setting("steps on the clock", 8, minimum=1)
    data: tuple[Literal["synthetic", "real"], ...] = setting(
        "synthetic: random tokens; real: `shards`, or this Python's library", ("synthetic", "real")
    )
    shards: Path | None = setting("token shards to use as real data", None)
    attention: tuple[AttentionChoice, ...] = setting(
        "backends to compare; empty: all (those that cannot run are listed with the reason)", ()
    )
    variants: tuple[Literal["compile", "loss", "checkpointing", "fp8", "trainer"], ...] = setting(
        "what else to compare with the best backend: compile off, plain loss, activation "
        "checkpointing, fp8, an eager Hugging Face Trainer",
        ("compile", "loss", "trainer"),
    )
    precision: Literal["auto", "fp32", "bf16", "fp8"] = setting("as in a run", "auto")
    compile: Literal["auto", "always", "never"] = setting("as in a run", "auto")
    out: Path | None = setting("JSON file for the rows, written as they come", None)
