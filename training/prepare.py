"""From a config to everything a run needs: data, model, optimizer, schedule, identity.

All that can be refused is refused here, before the first step: shards of another tokenizer, an
architecture that contradicts the run it starts from, examples that do not fit.
Paper: section 3.2 (annealing branches from a stable checkpoint); section 4.3 (SFT).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from training import checkpoint as checkpoints
from training.config import ConfigError, PretrainConfig, SftConfig, identity
from training.data import Batches, PackedBatches, Source
from training.documents import content_digest, file_digest
from training.folder import read_json
from training.model import check_same_architecture, load_model, new_model
from training.optimizer import new_optimizer
from training.schedule import Schedule, exponential_decay, warmup_cosine, warmup_stable
from training.sft import SftBatches, load_examples
from training.shards import open_shards
from training.tokenizer import load_tokenizer, special_ids, tokenizer_digest

if TYPE_CHECKING:
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

log = logging.getLogger(__name__)

RunConfig = PretrainConfig | SftConfig


@dataclass(frozen=True)
class Origin:
    """Where a run starts from: a finished run, or a checkpoint of one.

    `model_folder` is in Hugging Face form, tokenizer included. `tokens_read` says how much of each
    source of this name and digest had been read by then.
    """

    model_folder: Path
    optimizer: Path
    state: Mapping[str, Any]
    tokens_read: Mapping[str, tuple[str, int]]


@dataclass(frozen=True)
class Prepared:
    """Everything a loop needs, resolved from a config."""

    name: str
    identity: dict[str, Any]
    tokenizer: Path
    context_length: int
    make_model: Callable[[], LlamaForCausalLM]
    make_optimizer: Callable[[LlamaForCausalLM], torch.optim.Optimizer]
    tokens_read_before: Mapping[str, int]
    batches: Batches
    schedule: Schedule
    origin: Origin | None
    extra_summary: Mapping[str, Any]


def prepare_pretrain(config: PretrainConfig, name: str) -> Prepared:
    """Resolve `pretrain` or `anneal`; ConfigError names what does not fit together."""
    origin = open_origin(config.init_from) if config.init_from else None
    tokenizer_folder = config.tokenizer or (origin.model_folder if origin else None)
    if tokenizer_folder is None:  # excluded by the config
        raise ConfigError("tokenizer: expected a tokenizer folder, found nothing")
    tokenizer = load_tokenizer(tokenizer_folder)
    special = special_ids(tokenizer, tokenizer_folder)
    tokens_digest = tokenizer_digest(tokenizer_folder)
    _check_tokenizer(origin, tokens_digest, tokenizer_folder)
    _check_optimizer(origin, config.optimizer)

    sources: list[Source] = []
    read_before: dict[str, int] = {}
    contents = {"tokenizer": tokens_digest, **_shared_contents(config, origin)}
    for number, item in enumerate(config.sources):
        shards = open_shards(item.path)
        if shards.index.tokenizer_digest != tokens_digest:
            raise ConfigError(
                f"sources[{number}] ({item.path}): expected shards of the tokenizer "
                f"{tokens_digest[:12]} ({tokenizer_folder}), found those of "
                f"{shards.index.tokenizer_digest[:12]}; write the shards again"
            )
        digest, tokens = origin.tokens_read.get(item.name, ("", 0)) if origin else ("", 0)
        read_before[item.name] = tokens if digest == shards.index.digest else 0
        sources.append(Source(item.name, shards, item.weight, read_before[item.name]))
        contents[f"sources/{item.name}"] = shards.index.digest
    batches = PackedBatches(
        sources,
        context_length=config.context_length,
        batch_size=config.batch_size,
        steps=config.steps,
        seed=config.seed,
    )

    def make_model() -> LlamaForCausalLM:
        torch.manual_seed(config.seed)
        if origin is not None:
            model = load_model(origin.model_folder)
            if config.model is not None:
                check_same_architecture(model.config, config.model, origin.model_folder)
            model.config.max_position_embeddings = config.context_length
            return model
        if config.model is None:  # excluded by the config
            raise ConfigError("model: expected an architecture, found nothing")
        return new_model(
            config.model,
            vocab_size=tokenizer.get_vocab_size(),
            context_length=config.context_length,
            end_of_text=special.end_of_text,
            pad=special.pad,
        )

    def make_optimizer(model: LlamaForCausalLM) -> torch.optim.Optimizer:
        optimizer = new_optimizer(
            model,
            lr=config.lr_peak,
            betas=config.betas,
            weight_decay=config.weight_decay,
            name=config.optimizer,
        )
        if origin is not None:
            checkpoints.load_optimizer(model, optimizer, origin.optimizer)
        return optimizer

    if config.decay == "exponential":
        schedule = exponential_decay(
            config.lr_peak, config.lr_end, config.steps, config.warmup_steps
        )
    else:
        schedule = warmup_stable(config.lr_peak, config.warmup_steps)
    return Prepared(
        name=name,
        identity=identity(config, contents),
        tokenizer=tokenizer_folder,
        context_length=config.context_length,
        make_model=make_model,
        make_optimizer=make_optimizer,
        tokens_read_before=read_before,
        batches=batches,
        schedule=schedule,
        origin=origin,
        extra_summary={},
    )


def prepare_sft(config: SftConfig) -> Prepared:
    """Resolve `sft`; ConfigError names what does not fit together."""
    origin = open_origin(config.init_from)
    folder = origin.model_folder
    model_config = read_json(folder / "config.json", "the config of a model")
    longest = int(model_config["max_position_embeddings"])
    if config.max_length > longest:
        raise ConfigError(
            f"max_length: expected at most the context of init_from ({longest} tokens), "
            f"found {config.max_length}"
        )
    tokenizer = load_tokenizer(folder)
    special = special_ids(tokenizer, folder)
    contents = {"tokenizer": tokenizer_digest(folder), **_shared_contents(config, origin)}
    for item in config.sources:
        contents[f"sources/{item.name}"] = content_digest(item.path)
    loaded = load_examples(config.sources, tokenizer, special, config.max_length)
    batches = SftBatches(
        loaded.examples,
        order=config.order,
        max_length=config.max_length,
        batch_size=config.batch_size,
        epochs=config.epochs,
        seed=config.seed,
        pad=special.pad,
    )
    if config.warmup_steps > batches.steps:
        log.warning(
            "warmup_steps %d, but the examples make %d steps: the rate ends at %.3g, not at %.3g",
            config.warmup_steps,
            batches.steps,
            config.lr * batches.steps / config.warmup_steps,
            config.lr,
        )

    def make_model() -> LlamaForCausalLM:
        torch.manual_seed(config.seed)
        return load_model(folder)

    return Prepared(
        name="sft",
        identity=identity(config, contents),
        tokenizer=folder,
        context_length=longest,
        make_model=make_model,
        make_optimizer=lambda model: new_optimizer(
            model,
            lr=config.lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            name=config.optimizer,
        ),
        tokens_read_before={},
        batches=batches,
        schedule=warmup_cosine(config.lr, batches.steps, config.warmup_steps),
        origin=origin,
        extra_summary={
            "examples": len(loaded.examples),
            "truncated_examples": loaded.truncated,
            "dropped_examples": loaded.dropped,
        },
    )


def open_origin(path: Path) -> Origin:
    """Resolve `init_from`: a finished run's folder, or one of its checkpoints/step-* folders."""
    if (path / "summary.json").is_file():
        state = checkpoints.read_trainer_state(path)
        optimizer = path / "trainer_state" / "optimizer.safetensors"
        return Origin(path / "model", optimizer, state, tokens_read(state, state))
    if (path / "state.json").is_file() and (path / "model.safetensors").is_file():
        state = checkpoints.read_checkpoint(path).state
        read = tokens_read({**state, **state["facts"]}, state["loop"])
        return Origin(path, path / "optimizer.safetensors", state["facts"], read)
    raise ConfigError(
        f"init_from: expected a finished run (summary.json, model/, trainer_state/) "
        f"or a checkpoint folder (step-XXXXXX), found neither at {path}{_hint(path)}"
    )


def _hint(path: Path) -> str:
    """What was probably meant by a path that is no origin, as the end of a message."""
    there = sorted(map(str, [*path.glob("checkpoints/step-*"), *path.glob("step-*")]))
    if there:
        return f"; it has {', '.join(there[-3:])}"
    if (path.parent / "summary.json").is_file():
        return f"; it belongs to the run {path.parent}: give that"
    if (path / "config.json").is_file():
        return (
            ", but a Hugging Face model: only runs of this program can be continued (its tokenizer "
            "and architecture may be others); `python -m evaluation` scores any model"
        )
    return ""


def tokens_read(state: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Tokens of each source that a run and the runs before it have read: name -> (digest, n)."""
    contents = state["identity"]["contents"]
    before = state["tokens_read_before"]
    return {
        name: (contents[f"sources/{name}"], before.get(name, 0) + tokens)
        for name, tokens in counts["tokens_per_source"].items()
    }


def _shared_contents(config: RunConfig, origin: Origin | None) -> dict[str, str]:
    contents: dict[str, str] = {}
    if config.heldout is not None:
        contents["heldout"] = content_digest(config.heldout)
    if origin is not None:
        contents["init_from"] = file_digest(origin.model_folder / "model.safetensors")
    return contents


def _check_optimizer(origin: Origin | None, name: str) -> None:
    if origin is not None and origin.state["optimizer"] != name:
        raise ConfigError(
            f"optimizer: expected {origin.state['optimizer']} (the state of init_from), "
            f"found {name}; branch with the same optimizer"
        )


def _check_tokenizer(origin: Origin | None, found: str, folder: Path) -> None:
    if origin is None:
        return
    expected = origin.state["tokenizer_digest"]
    if found != expected:
        raise ConfigError(
            f"tokenizer: expected the one of init_from ({expected[:12]}), "
            f"found {found[:12]} ({folder}); remove `tokenizer` or start from another run"
        )
