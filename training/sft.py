"""Instruction tuning: chat template, loss on the answers only, packed rows.

An optimizer step takes `batch_size` examples of a seeded order and packs them into rows of
`max_length` tokens; examples in a row cannot see each other. The loss of a step is the mean over
all its answer tokens, so long answers are not diluted by how rows happened to be filled.
Order `shuffled` mixes all sources in each epoch. Order `progressive` is a curriculum over the whole
run: of k sources, the i-th comes as the i-th of k sorted uniform numbers would, so with two the
share of the first falls from one to zero while that of the second rises; each example still comes
once an epoch.
Paper: section 4.3, table 5 (two stages); packing is ours, the paper's script pads.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import logging
import math
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from training.config import ConfigError, SourceConfig
from training.data import IGNORED, Int64Array, Plan, Rows, all_permuted
from training.documents import iter_rows
from training.tokenizer import SpecialIds

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

_COLUMNS = ("example_id", "instruction", "output")
_BATCH_EXAMPLES = 512


@dataclass(frozen=True, eq=False)
class Example:
    """One tokenised example: `prompt` ends where the answer begins."""

    source: str
    prompt: Sequence[int]
    answer: Sequence[int]
    answer_bytes: int

    @property
    def length(self) -> int:
        """Tokens that the model reads: the last answer token is only a target."""
        return len(self.prompt) + len(self.answer) - 1


class Examples(Sequence[Example]):
    """Tokenised examples end to end in a few arrays: four bytes a token, whatever their number."""

    def __init__(self) -> None:
        self._tokens = array("i")
        self._answer_begins, self._ends = array("q"), array("q")
        self._sources: list[str] = []  # the names are shared, not copied
        self._answer_bytes = array("q")

    def append(self, example: Example) -> None:
        self._tokens.extend(example.prompt)
        self._answer_begins.append(len(self._tokens))
        self._tokens.extend(example.answer)
        self._ends.append(len(self._tokens))
        self._sources.append(example.source)
        self._answer_bytes.append(example.answer_bytes)

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        index = range(len(self))[index]
        begin = self._ends[index - 1] if index else 0
        middle = self._answer_begins[index]
        return Example(
            self._sources[index],
            self._tokens[begin:middle],
            self._tokens[middle : self._ends[index]],
            self._answer_bytes[index],
        )


@dataclass(frozen=True)
class ExampleSet:
    """The examples of a run, and how many were truncated or left out as too long."""

    examples: Sequence[Example]
    truncated: int
    dropped: int


class SftBatches:
    """Steps of packed examples over all epochs; `examples` are grouped by source."""

    def __init__(
        self,
        examples: Sequence[Example],
        *,
        order: Literal["shuffled", "progressive"] = "shuffled",
        max_length: int,
        batch_size: int,
        epochs: int,
        seed: int,
        pad: int,
    ) -> None:
        if not examples:
            raise ConfigError("sources: expected at least one usable example, found none")
        self._examples = examples
        self._max_length = max_length
        self._batch, self._epochs = batch_size, epochs
        self._seed = seed
        self._pad = pad
        self._curriculum: Int64Array | None = None
        if order == "progressive":
            counts = Counter(example.source for example in examples)
            self._curriculum = progressive_order(list(counts.values()), epochs, seed)
            self._steps_per_epoch = -(-len(self._curriculum) // batch_size)
            self.steps = self._steps_per_epoch
        else:
            self._steps_per_epoch = -(-len(examples) // batch_size)
            self.steps = epochs * self._steps_per_epoch
        answer_bytes = sum(example.answer_bytes for example in examples)
        self.bytes_per_token = max(1, answer_bytes) / sum(len(item.answer) for item in examples)
        self._packed = functools.lru_cache(maxsize=4)(self._pack)

    def describe(self) -> str:
        total, passes = len(self._examples), self._epochs
        return f"{self._batch:,} examples a step; passes over the {total:,} examples: {passes}"

    def plan(self, step: int) -> Plan:
        tokens: dict[str, int] = {}
        packs = self._packed(step)
        for example in itertools.chain.from_iterable(packs):
            tokens[example.source] = tokens.get(example.source, 0) + len(example.answer)
        return Plan(len(packs), sum(tokens.values()), dict(sorted(tokens.items())))

    def rows(self, step: int, indices: Sequence[int]) -> Rows:
        packs = self._packed(step)
        chosen = [packs[index] for index in indices] or [()]
        width = max((sum(item.length for item in pack) for pack in chosen), default=0)
        width = max(8, -(-width // 8) * 8)
        shape = (len(chosen), width)
        inputs = np.full(shape, self._pad, dtype=np.int64)
        labels = np.full(shape, IGNORED, dtype=np.int64)
        positions = np.zeros(shape, dtype=np.int64)
        for row, pack in enumerate(chosen):
            begin = 0
            for example in pack:
                end = begin + example.length
                ids = (*example.prompt, *example.answer)
                inputs[row, begin:end] = ids[:-1]
                labels[row, end - len(example.answer) : end] = example.answer
                positions[row, begin:end] = np.arange(example.length)
                begin = end
            positions[row, begin:] = np.arange(width - begin)
        return Rows(inputs, labels, positions)

    def _chosen(self, step: int) -> list[Example]:
        if self._curriculum is not None:
            begin = step * self._batch
            return [self._examples[i] for i in self._curriculum[begin : begin + self._batch]]
        epoch, number = divmod(step, self._steps_per_epoch)
        total = len(self._examples)
        slots = np.arange(number * self._batch, min(total, (number + 1) * self._batch))
        chosen = all_permuted(slots, total, self._seed, f"sft/{epoch}")
        return [self._examples[index] for index in chosen.tolist()]

    def _pack(self, step: int) -> tuple[tuple[Example, ...], ...]:
        """Best fit by decreasing length: few rows, and the same ones each time."""
        packs: list[list[Example]] = []
        room: list[tuple[int, int]] = []  # (free tokens, row), sorted
        for example in sorted(self._chosen(step), key=lambda item: -item.length):
            place = bisect.bisect_left(room, (example.length, 0))
            if place < len(room):
                free, row = room.pop(place)
            else:
                free, row = self._max_length, len(packs)
                packs.append([])
            packs[row].append(example)
            bisect.insort(room, (free - example.length, row))
        return tuple(map(tuple, packs))


def progressive_order(counts: Sequence[int], epochs: int, seed: int) -> Int64Array:
    """Indices of the examples of a whole run, (epochs x sum(counts),), source after source.

    `counts` are the sizes of the sources, whose examples are numbered one source after another.
    The i-th source is spread over the run by the quantiles of Beta(i, k - i + 1).
    """
    k = len(counts)
    grid = np.linspace(0.0, 1.0, 4097)
    moments: list[npt.NDArray[np.float64]] = []
    indices: list[Int64Array] = []
    for number, count in enumerate(counts):
        # P(at least i of k uniform numbers lie below t), the distribution of the i-th smallest.
        below = sum(
            math.comb(k, j) * grid**j * (1.0 - grid) ** (k - j) for j in range(number + 1, k + 1)
        )
        quantiles = (np.arange(epochs * count) + 0.5) / (epochs * count)
        moments.append(np.interp(quantiles, below, grid))
        first = sum(counts[:number])
        for epoch in range(epochs):
            name = f"progressive/{number}/{epoch}"
            indices.append(first + all_permuted(np.arange(count), count, seed, name))
    return np.concatenate(indices)[np.argsort(np.concatenate(moments), kind="stable")]


def load_examples(
    sources: Sequence[SourceConfig],
    tokenizer: Tokenizer,
    special: SpecialIds,
    max_length: int,
) -> ExampleSet:
    """Tokenise the examples of all sources (parquet: example_id, instruction, output).

    An answer is cut at `max_length`; an example whose prompt leaves no room for one is dropped.
    """
    kept = Examples()
    truncated = dropped = 0
    for source in sources:
        rows = iter_rows(Path(source.path), _COLUMNS)
        while batch := list(itertools.islice(rows, _BATCH_EXAMPLES)):
            pairs = [(instruction, output) for _, instruction, output in batch]
            for (_, output), (prompt, answer) in zip(
                pairs, encode_examples(tokenizer, special, pairs), strict=True
            ):
                room = max_length + 1 - len(prompt)
                if room < 1:
                    dropped += 1
                    continue
                size_bytes = len(output.encode("utf-8"))
                if len(answer) > room:
                    truncated += 1
                    answer = answer[:room]
                    # A byte-level token has one character for each of its bytes.
                    size_bytes = sum(len(tokenizer.id_to_token(token) or "") for token in answer)
                kept.append(Example(source.name, prompt, answer, size_bytes))
    if truncated or dropped:
        log.warning(
            "max_length %d: %d answers truncated, %d examples dropped (prompt too long)",
            max_length,
            truncated,
            dropped,
        )
    return ExampleSet(kept, truncated, dropped)


def encode_examples(
    tokenizer: Tokenizer, special: SpecialIds, pairs: Sequence[tuple[str, str]]
) -> list[tuple[list[int], list[int]]]:
    """(prompt, answer) ids of single-turn chats; an answer ends with `<|im_end|>`.

    The prompt equals the chat template with its generation prompt. Text is never parsed for
    special tokens, so an instruction cannot forge a turn.
    """

    def ids(texts: list[str]) -> list[list[int]]:
        return [item.ids for item in tokenizer.encode_batch(texts, add_special_tokens=False)]

    line_break, assistant = ids(["\n", "assistant\n"])
    questions = ids(["user\n" + instruction for instruction, _ in pairs])
    answers = ids([output for _, output in pairs])
    end = [special.im_end, *line_break, special.im_start, *assistant]
    return [
        ([special.im_start, *question, *end], [*answer, special.im_end])
        for question, answer in zip(questions, answers, strict=True)
    ]
