"""Repetition of n-grams against counting all of them."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.ngrams import DUPE_SIZES, TOP_SIZES, intern, statistics

# Few distinct words, and phrases that come again.
phrases = st.lists(st.lists(st.integers(0, 3), max_size=14), max_size=6)


def plain(words: list[int], lengths: list[int]) -> tuple[dict[int, int], dict[int, int]]:
    top, duped = {}, {}
    for n in range(2, 11):
        grams = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
        counts = Counter(grams)
        best = max(counts, key=counts.__getitem__, default=None)
        if n in TOP_SIZES:
            top[n] = 0
            if best is not None and counts[best] > 1:
                at = grams.index(best)
                top[n] = sum(lengths[at : at + n]) * counts[best]
        else:
            covered = {i + k for i, gram in enumerate(grams) if counts[gram] > 1 for k in range(n)}
            duped[n] = sum(lengths[i] for i in covered)
    return top, duped


@settings(deadline=None, max_examples=80)
@given(phrases, st.integers(0, 2**64 - 1))
def test_sizes_are_those_of_all_ngrams_counted(parts: list[list[int]], seed: int) -> None:
    words = [word for part in parts for word in part] + [
        word for part in parts for word in part[:9]
    ]
    lengths = [1 + word * 2 for word in words]
    found = statistics(np.array(words, np.uint64), np.array(lengths, np.int32), seed)
    top, duped = plain(words, lengths)
    assert found.top == top
    assert found.duped == duped
    assert (found.words, found.unique, found.chars) == (len(words), len(set(words)), sum(lengths))
    shares = [count / len(words) for count in Counter(words).values()]
    assert found.entropy == pytest.approx(-sum(share * math.log(share) for share in shares))
    assert all(0 <= found.duped[n] <= found.chars for n in DUPE_SIZES)


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 5)), st.integers(0, 2**64 - 1))
def test_names_number_the_keys_in_order_of_appearance(keys: list[int], seed: int) -> None:
    names, counts = intern(np.array(keys, np.uint64), np.uint64(seed))
    order = list(dict.fromkeys(keys))
    assert names.tolist() == [order.index(key) for key in keys]
    assert counts.tolist() == [keys.count(key) for key in order]


def test_of_equally_frequent_ngrams_the_first_counts() -> None:
    words = np.array([9, 8, 1, 2, 7, 9, 8, 6, 1, 2], np.uint64)
    lengths = np.array([5, 5, 1, 1, 1, 5, 5, 1, 1, 1], np.int32)
    assert statistics(words, lengths, 3).top[2] == 20
