"""The compiled kernel against slow, independent statements of the same thing."""

from __future__ import annotations

import re
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode import minhash
from assets.refinecode.fuzzy_dedup import candidate_probability
from tests.assets.refinecode.conftest import words


def _reference(text: str, n: int) -> set[tuple[str, ...]]:
    tokens = re.findall(r"\w+", "".join(c.lower()[0] for c in text))
    if len(tokens) < n:
        return {tuple(tokens)} if tokens else set()
    return {tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)}


@given(
    st.text(st.one_of(st.sampled_from("ab_1 .\n"), st.characters(codec="utf-8")), max_size=60),
    st.text(st.sampled_from("abAB \n"), max_size=40),
    st.integers(1, 5),
)
@settings(max_examples=150, deadline=None)
def test_shingles_are_word_ngrams(left: str, right: str, n: int) -> None:
    ours = [minhash.shingle_set(text, n) for text in (left, right)]
    theirs = [_reference(text, n) for text in (left, right)]
    assert [len(s) for s in ours] == [len(s) for s in theirs]
    both = len(np.intersect1d(*ours))
    assert both == len(theirs[0] & theirs[1])


def test_no_word_character_lies_beyond_the_table() -> None:
    beyond = range(len(minhash.fold_table()), sys.maxunicode + 1)
    assert not any(chr(point).isalnum() for point in beyond)


def test_signature_equals_datasketch() -> None:
    from datasketch import MinHash

    shingles = minhash.shingle_set(" ".join(words(1, 500)), 5)
    sketch = minhash.Sketch(128)
    sketch.add(shingles[:100])
    sketch.add(shingles[100:])
    oracle = MinHash(128, hashfunc=lambda value: value)
    oracle.update_batch([int(value) & 0xFFFFFFFF for value in shingles])
    assert np.array_equal(sketch.values, oracle.hashvalues)


def test_pieces_are_the_concatenation_with_line_breaks() -> None:
    pieces = [b"a b c d", b"", b"e f", b"g h i j k l"]
    shingler = minhash.Shingler(5)
    parts = [shingler.add(np.frombuffer(piece, np.uint8)) for piece in pieces]
    parts.append(shingler.finish())
    whole = minhash.shingle_set("\n".join(piece.decode() for piece in pieces), 5)
    assert np.array_equal(np.unique(np.concatenate(parts)), whole)
    assert len(shingler.add(np.frombuffer(b"b c d e", np.uint8))) == 0  # nothing is carried over


def test_invalid_utf8_stays_in_bounds() -> None:
    for tail in (b"\xf0", b"\xe2\x82", b"\xc3", b"\xff\xfe", b"\x80"):
        assert len(minhash.Shingler(1).add(np.frombuffer(b"word " + tail, np.uint8))) >= 1


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
def test_text_buffer_of_a_slice_with_nulls(kind: pa.DataType) -> None:
    column = pa.array(["skipped", "ab", None, "", "cde"], kind).slice(1)
    data, ends = minhash.text_buffer(column)
    found = [bytes(data[ends[i] : ends[i + 1]]) for i in range(len(column))]
    assert found == [b"ab", b"", b"", b"cde"]


@pytest.mark.parametrize(("shared", "expected"), [(900, 0.8), (970, 0.94)])
def test_estimate_is_near_the_true_similarity(shared: int, expected: float) -> None:
    base = words(2, 1000)
    left = minhash.shingle_set(" ".join(base), 1)
    right = minhash.shingle_set(" ".join(base[:shared] + words(3, 1000 - shared)), 1)
    true = minhash.jaccard(left, right)
    assert true == pytest.approx(expected, abs=0.03)
    sketches = []
    for shingles in (left, right):
        sketch = minhash.Sketch(2048)
        sketch.add(shingles)
        sketches.append(sketch.values)
    estimate = float(np.mean(sketches[0] == sketches[1]))
    assert abs(estimate - true) < 4 * (true * (1 - true) / 2048) ** 0.5


def test_components_do_not_depend_on_the_order_of_edges() -> None:
    edges = np.array([[5, 9], [1, 2], [9, 2], [30, 40], [40, 30], [7, 8]])
    for order in (edges, edges[::-1], edges[:, ::-1]):
        nodes, labels = minhash.components(order[:, 0], order[:, 1])
        found = dict(zip(nodes.tolist(), labels.tolist(), strict=True))
        assert found == {1: 1, 2: 1, 5: 1, 9: 1, 7: 7, 8: 7, 30: 30, 40: 30}
    low, high = minhash.spanning_forest(edges[:, 0], edges[:, 1])
    assert len(low) == len(high) == 5


def test_the_curve_of_the_paper_is_strict() -> None:
    assert candidate_probability(0.9, 16, 128) < 0.001
    assert candidate_probability(0.99, 16, 128) > 0.99
    assert candidate_probability(0.8, 25, 10) > 0.9
