"""Streams of units, sets of shingles, and their similarity."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.minhash import (
    SketchParams,
    jaccard,
    shingle_sets,
    similarities,
    text_buffer,
)
from assets.refinecode.minhash.shingles import ShingleStream
from assets.refinecode.minhash.text import blocks
from tests.assets.refinecode.conftest import words

PARAMS = SketchParams(ngram=2)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_text_buffer_of_a_slice_with_nulls(kind: pa.DataType) -> None:
    column = pa.array(["skipped", "ab", None, "", "cde"], kind).slice(1)
    data, ends = text_buffer(column)
    found = [bytes(data[ends[i] : ends[i + 1]]) for i in range(len(column))]
    assert found == [b"ab", b"", b"", b"cde"]
    assert text_buffer(column.slice(0, 0))[1].tolist() in ([0], [7])


def test_text_buffer_says_what_it_expects() -> None:
    with pytest.raises(TypeError, match="string or large_string, found int64"):
        text_buffer(pa.array([1]))


def test_blocks_hold_every_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.refinecode.minhash.text.BLOCK_BYTES", 10)
    texts = ["", "a" * 25, "b" * 4, "c" * 4, "", "d" * 4, "", ""]
    column = pa.chunked_array([pa.array(texts[:3]), pa.array([], pa.string()), pa.array(texts[3:])])
    found = [
        bytes(text[start:stop]).decode()
        for text, ends in blocks(column)
        for start, stop in itertools.pairwise(ends)
    ]
    assert found == texts


def test_sets_are_sorted_and_distinct() -> None:
    sets = shingle_sets(pa.array(["a b a b a", "", "x", "B a"]), PARAMS)
    assert [len(sets[i]) for i in range(len(sets))] == [2, 0, 1, 1]
    assert sets[0].tolist() == sorted({*sets[0].tolist()})
    assert sets[3][0] in sets[0]
    with pytest.raises(IndexError, match="there are 4"):
        sets[4]
    assert len(shingle_sets(pa.array([], pa.string()), PARAMS)) == 0


def test_groups_are_one_text_with_line_breaks() -> None:
    texts = ["a b", "c", "", "d e", "f", "g"]
    sets = shingle_sets(pa.array(texts), PARAMS, np.array([1, 1, 1, 5, 5, 2]))
    whole = shingle_sets(pa.array(["a b\nc\n", "d e\nf", "g"]), PARAMS)
    assert np.array_equal(sets.hashes, whole.hashes)
    assert np.array_equal(sets.offsets, whole.offsets)
    with pytest.raises(ValueError, match=r"expected \[6\] numbers"):
        shingle_sets(pa.array(texts), PARAMS, np.array([1]))


@given(
    st.lists(st.tuples(st.text(st.sampled_from("ab .é"), max_size=12), st.booleans()), max_size=14),
    st.lists(st.integers(0, 14), max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_units_do_not_depend_on_batches(rows: list[tuple[str, bool]], cuts: list[int]) -> None:
    """Any cuts of the rows into batches give the units of one batch."""
    texts = [text for text, _ in rows]
    groups = np.cumsum([new for _, new in rows], dtype=np.int64)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]

    def units(edges: list[int]) -> list[tuple[int, list[int], int]]:
        stream, found = ShingleStream(PARAMS), []
        sources = [
            stream.add(pa.array(texts[low:high], pa.string()), groups[low:high])
            for low, high in itertools.pairwise(edges)
        ]
        for source in [*sources, stream.flush()]:
            for part in source:
                starts = [0, *part.stops[:-1].tolist()]
                found += [
                    (int(part.ids[i]), part.hashes[starts[i] : part.stops[i]].tolist(),
                     int(part.content[i])) for i in range(len(part.ids))
                ]  # fmt: skip
        return found

    assert units(edges) == units([0, len(rows)])


def test_a_long_unit_is_thinned_without_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assets.refinecode.minhash.shingles._HELD", 50)
    texts = [" ".join(words(i % 7, 40)) for i in range(60)]
    stream = ShingleStream(PARAMS)
    for text in texts:
        assert not [*stream.add(pa.array([text]), np.array([3]))]
    (part,) = stream.flush()
    assert part.ids.tolist() == [3] and len(part.hashes) < 60 * 40
    whole = shingle_sets(pa.array(["\n".join(texts)]), PARAMS)
    assert np.array_equal(np.unique(part.hashes), whole[0])


def test_jaccard_of_pairs() -> None:
    texts = ["a b c d", "a b c d e", "x y", "", "", "b a"]
    sets = shingle_sets(pa.array(texts), SketchParams(ngram=1))
    left, right = np.array([0, 0, 3, 3, 0]), np.array([1, 2, 4, 0, 5])
    expected = [0.8, 0.0, 1.0, 0.0, 0.5]
    assert similarities(sets, left, right).tolist() == expected
    assert [jaccard(sets[i], sets[k]) for i, k in zip(left, right, strict=True)] == expected
    with pytest.raises(IndexError, match="there are 6"):
        similarities(sets, np.array([0]), np.array([6]))
