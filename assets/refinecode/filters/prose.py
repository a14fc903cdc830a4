"""Raw words and sentences of prose, counted in one pass over its UTF-8 bytes.

A raw word is a run of ``\\w`` or of other signs, case kept; a sentence runs from the edge of a word
to the next full stop, exclamation or question mark. Both are small automata over character
classes, so no word becomes a string; stop words are looked up by hash (paper appendix A, table 10).
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from assets.refinecode.filters.characters import (
    CASED,
    KIND,
    SPACE,
    U8,
    U16,
    UPPER,
    WORD,
    classes_for,
    decode,
)  # fmt: skip
from assets.refinecode.filters.ngrams import U64

#: Any odd number: a text that aims at a collision makes one more or less a stop word, no more.
_MULTIPLIER = 0x9E3779B97F4A7C15
_SLOT_BITS = 11
_OPENING, _CLOSING = 0x3010, 0x3011


@dataclass(frozen=True)
class ProseCounts:
    """Raw words of a text; those of them that are stop words, in capitals (``str.isupper``), one
    full bracket; and sentences."""

    words: int
    stop: int
    capitals: int
    full_brackets: int
    sentences: int


@functools.cache
def stop_words(language: str) -> frozenset[str]:
    """The most frequent words (lower case) of a language (ISO 639-1), which real prose cannot do
    without; empty for a language without a list. ``stop_words.json`` says where they are from."""
    text = Path(__file__).with_name("stop_words.json").read_text("utf-8")
    return frozenset(json.loads(text)["words"].get(language, ()))


def count_prose(data: bytes, ascii_only: bool, language: str) -> ProseCounts:
    """Counts of a text given as UTF-8."""
    raw = np.frombuffer(data, np.uint8)
    counts = _count(raw, classes_for(ascii_only), _stop_hashes(language))
    return ProseCounts(*counts)


@functools.cache
def _stop_hashes(language: str) -> U64:
    """A hash table, 0 where a slot is free."""
    slots = [0] * (1 << _SLOT_BITS)
    for word in sorted(stop_words(language)):
        mixed = 0
        for byte in word.encode():
            mixed = (mixed * _MULTIPLIER + byte + 1) % 2**64
        slot = _slot(mixed)
        while slots[slot]:
            slot = (slot + 1) % len(slots)
        slots[slot] = mixed
    table = np.array(slots, np.uint64)
    table.flags.writeable = False
    return table


def _slot(mixed: int) -> int:
    return (mixed * _MULTIPLIER % 2**64) >> (64 - _SLOT_BITS)


@njit(cache=True, nogil=True)
def _is_end(point: int) -> bool:
    """Whether a sentence ends with this character: . ! ? and those of Chinese and Arabic."""
    return (
        point == 0x2E or point == 0x21 or point == 0x3F
        or point == 0x3002 or point == 0xFF01 or point == 0xFF1F or point == 0x061F
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _is_listed(mixed: np.uint64, table: U64) -> bool:
    slot = np.int64(mixed * np.uint64(_MULTIPLIER) >> np.uint64(64 - _SLOT_BITS))
    while table[slot] != 0:
        if table[slot] == mixed:
            return True
        slot = (slot + 1) % len(table)
    return False


@njit(cache=True, nogil=True)
def _count(data: U8, classes: U16, table: U64) -> tuple[int, int, int, int, int]:
    words = stop = capitals = full_brackets = sentences = 0
    size = len(data)
    at = 0
    previous = SPACE
    mixed = np.uint64(0)
    length = 0
    last = np.int64(0)
    cases = np.uint16(0)
    # A sentence is open until its end signs are over.
    is_open = ended = False
    while at <= size:
        kind = SPACE
        end = at + 1
        point = np.int64(0)
        found = np.uint16(0)
        if at < size:
            point = np.int64(data[at])
            if point >= 0x80:
                point, end = decode(data, at)
            found = classes[point]
            kind = found & KIND
            is_end = _is_end(point)
            if is_open and ended and not is_end:
                is_open = False
            if is_open:
                ended = is_end
            elif not is_end and (kind == WORD) != (previous == WORD):
                is_open = True
                ended = False
                sentences += 1
        if kind != previous:
            if previous != SPACE:
                words += 1
                stop += _is_listed(mixed, table)
                capitals += cases & (UPPER | CASED) == UPPER
                full_brackets += length == 1 and last in (_OPENING, _CLOSING)
            previous = kind
            mixed = np.uint64(0)
            length = 0
            cases = np.uint16(0)
        if kind != SPACE:
            for byte in range(at, end):
                mixed = mixed * np.uint64(_MULTIPLIER) + np.uint64(data[byte] + 1)
            length += 1
            last = point
            cases |= found
        at = end
    return words, stop, capitals, full_brackets, sentences
