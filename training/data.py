"""Which tokens a training step sees: a pure function of (seed, step).

Slot n of the run draws a source by weight and the next window of that source's permutation; both
have a closed form, so step s is found in O(1) and world size or restarts cannot change it.
Windows are packed documents: position ids restart at each document and no attention mask is made.
Paper: section 3.2; section 2.2 for the mix weights of annealing.

Shapes: B rows, T tokens (context length).
"""

from __future__ import annotations

import functools
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from training.config import ConfigError
from training.shards import Shards

log = logging.getLogger(__name__)

IGNORED = -100
_BLOCK_SLOTS = 1024
_FEISTEL_ROUNDS = 6
_MASK_64 = (1 << 64) - 1

Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Rows:
    """Rows of a forward pass: int64 arrays (B, T); labels of IGNORED carry no loss."""

    inputs: Int64Array
    labels: Int64Array
    positions: Int64Array


@dataclass(frozen=True)
class Plan:
    """What a step will do, known before any row is read."""

    rows: int
    target_tokens: int
    source_tokens: dict[str, int]


class Batches(Protocol):
    """The data of a run, addressed by step."""

    @property
    def steps(self) -> int: ...

    @property
    def bytes_per_token(self) -> float:
        """Bytes of text behind one target token, on average."""
        ...

    def describe(self) -> str:
        """How much data a run reads, in a few words."""
        ...

    def plan(self, step: int) -> Plan: ...

    def rows(self, step: int, indices: Sequence[int]) -> Rows:
        """The rows of a step by index; an empty list gives one row without any loss."""
        ...


@dataclass(frozen=True)
class Source:
    """An opened source of the mix; `tokens_read` of it belong to the run that this one continues.

    Its windows go on after those tokens, so annealing does not begin with the text that
    pretraining began with. Another seed or context makes other windows, which may overlap it.
    """

    name: str
    shards: Shards
    weight: float
    tokens_read: int = 0


class PackedBatches:
    """Batches of fixed windows over token shards."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        context_length: int,
        batch_size: int,
        steps: int,
        seed: int,
    ) -> None:
        self.steps = steps
        self._sources = sources
        self._context = context_length
        self._batch = batch_size
        self._seed = seed
        self._mix = SourceMix([source.weight for source in sources], seed)
        total = sum(source.weight for source in sources)
        self.bytes_per_token = sum(
            source.weight / total * source.shards.index.bytes / source.shards.index.tokens
            for source in sources
        )
        for source in sources:
            if source.shards.index.tokens < context_length:
                log.warning(
                    "source %s has %d tokens, less than one window of %d: windows repeat it",
                    source.name,
                    source.shards.index.tokens,
                    context_length,
                )

    def describe(self) -> str:
        tokens = self._batch * self._context
        total = sum(source.weight for source in self._sources)
        passes = ", ".join(
            f"{source.name} {share * self.steps * tokens / source.shards.index.tokens:.3g}"
            for source in self._sources
            for share in [source.weight / total]
        )
        return f"{tokens:,} tokens a step; passes over the sources: {passes}"

    def plan(self, step: int) -> Plan:
        drawn = {source.name: 0 for source in self._sources}
        for slot in self._slots(step):
            drawn[self._sources[self._mix.draw(slot)[0]].name] += self._context
        return Plan(self._batch, self._batch * self._context, drawn)

    def rows(self, step: int, indices: Sequence[int]) -> Rows:
        slots = self._slots(step)
        if not indices:
            row = self._row(slots[0])
            return Rows(row.inputs, np.full_like(row.labels, IGNORED), row.positions)
        parts = [self._row(slots[index]) for index in indices]
        return Rows(
            np.concatenate([part.inputs for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.positions for part in parts]),
        )

    def _slots(self, step: int) -> range:
        return range(step * self._batch, (step + 1) * self._batch)

    def _row(self, slot: int) -> Rows:
        which, draw = self._mix.draw(slot)
        source = self._sources[which]
        index = source.shards.index
        windows = max(1, index.tokens // self._context)
        epoch, ordinal = divmod(draw + source.tokens_read // self._context, windows)
        window = permuted(ordinal, windows, self._seed, f"{source.name}/{epoch}")
        # The tokens that do not fill a window get their turn by a shift that changes each epoch.
        slack = max(0, index.tokens - windows * self._context)
        shift = _key(self._seed, f"{source.name}/{epoch}/shift") % (slack + 1)
        return read_window(source.shards, shift + window * self._context, self._context)


def read_window(shards: Shards, start: int, length: int) -> Rows:
    """Targets tokens[start:start+length] of the (cyclic) token stream, as one row.

    The input is the stream shifted by one, so each document is read after the `<|endoftext|>` of
    the one before it: a document's context is that token and its own text, nothing else.
    """
    total = shards.index.tokens
    stream = np.asarray(shards.tokens[np.arange(start - 1, start + length) % total], dtype=np.int64)
    inputs, labels = stream[:-1], stream[1:]
    positions = restarting_positions(inputs == shards.index.end_of_text)
    return Rows(inputs[None], labels[None], positions[None])


def restarting_positions(starts: npt.NDArray[np.bool_]) -> Int64Array:
    """Positions (T,) that count from 0 at each True of `starts` (T,), and at the beginning."""
    offsets = np.arange(len(starts), dtype=np.int64)
    return offsets - np.maximum.accumulate(np.where(starts, offsets, 0))


class SourceMix:
    """Which source slot n draws, and how many draws that source had before.

    Slots come in blocks of 1024. Each block holds every source in its apportioned number (largest
    remainder, at least one), spread evenly with a seeded phase, so short runs get their shares too.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self._seed = seed
        self._counts = apportion(weights, _BLOCK_SLOTS)

    def draw(self, slot: int) -> tuple[int, int]:
        """(index of the source, number of earlier draws from it)."""
        block, offset = divmod(slot, _BLOCK_SLOTS)
        sources, ordinals = _block_order(self._counts, self._seed, block)
        which = int(sources[offset])
        return which, block * self._counts[which] + int(ordinals[offset])


def apportion(weights: Sequence[float], total: int) -> tuple[int, ...]:
    """`total` split in whole numbers by weight (largest remainder), each at least 1."""
    if len(weights) > total:
        raise ConfigError(f"sources: expected at most {total} sources, found {len(weights)}")
    scale = total / sum(weights)
    counts = [max(1, int(weight * scale)) for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda k: (counts[k] - weights[k] * scale, k))
    for step in range(total - sum(counts)):
        counts[by_remainder[step % len(counts)]] += 1
    while sum(counts) > total:
        counts[counts.index(max(counts))] -= 1
    return tuple(counts)


def permuted(index: int, size: int, seed: int, name: str) -> int:
    """Image of `index` under a permutation of range(size) keyed by (seed, name).

    A Feistel network over the next even number of bits, walked until it falls inside the range:
    no table, so the millionth window costs what the first one does.
    """
    keys = _round_keys(seed, name)
    index = _shuffled(index, size, keys)
    while index >= size:
        index = _shuffled(index, size, keys)
    return index


def all_permuted(indices: Int64Array, size: int, seed: int, name: str) -> Int64Array:
    """`permuted` of each of `indices`, forty times as fast for many."""
    keys = _round_keys(seed, name)
    images: npt.NDArray[np.uint64] = _shuffled(indices.astype(np.uint64), size, keys)
    while (outside := np.flatnonzero(images >= size)).size:
        images[outside] = _shuffled(images[outside], size, keys)
    return images.astype(np.int64)


def _shuffled(index: Any, size: int, keys: Sequence[int]) -> Any:
    """Image of an index (or of uint64 indices) in the range that the network has for `size`."""
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    mask = (1 << half) - 1
    left, right = index >> half, index & mask
    for key in keys:
        left, right = right, left ^ (_mixed(right ^ key) & mask)
    return (left << half) | right


@functools.lru_cache(maxsize=64)
def _block_order(counts: tuple[int, ...], seed: int, block: int) -> tuple[Int64Array, Int64Array]:
    keyed: list[tuple[float, int, int]] = []
    for which, count in enumerate(counts):
        phase = _key(seed, f"mix/{block}/{which}") / (1 << 64)
        keyed.extend(((ordinal + phase) / count, which, ordinal) for ordinal in range(count))
    keyed.sort()
    return (
        np.array([which for _, which, _ in keyed], dtype=np.int64),
        np.array([ordinal for _, _, ordinal in keyed], dtype=np.int64),
    )


@functools.lru_cache(maxsize=256)
def _round_keys(seed: int, name: str) -> tuple[int, ...]:
    return tuple(_key(seed, f"{name}/{number}") for number in range(_FEISTEL_ROUNDS))


@functools.lru_cache(maxsize=1024)
def _key(seed: int, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:8], "little")


def _mixed(value: Any) -> Any:
    """A 64-bit finaliser: every input bit reaches every output bit."""
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9 & _MASK_64
    value = (value ^ (value >> 27)) * 0x94D049BB133111EB & _MASK_64
    return value ^ (value >> 31)
