"""Band hashes of batches, presets, and the choice of bands."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from datasketch.lsh import _optimal_param

from assets.refinecode.minhash import (
    PRESETS,
    Sketcher,
    SketchParams,
    band_hashes,
    candidate_probability,
    choose_bands,
    curve_threshold,
    detection_curve,
    signatures,
)
from tests.assets.refinecode.conftest import words

ROOT = Path(__file__).resolve().parents[4]
PARAMS = SketchParams(permutations=64, bands=8, rows=8)
TEXTS = [
    *(" ".join(words(seed, 5 * seed)) for seed in range(1, 60)),
    "", "one", "two", "...", ";;", " ", "Größe – 字 字", "# licence\n" * 500,
]  # fmt: skip
GROUPS = np.arange(len(TEXTS)) // 3


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])
@pytest.mark.parametrize("groups", [None, GROUPS])
@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_same_hashes_for_any_batches(
    kind: pa.DataType, groups: np.ndarray | None, size: int
) -> None:
    whole = band_hashes(pa.array(TEXTS, kind), PARAMS, groups)
    assert whole.shape == (len(TEXTS) if groups is None else GROUPS[-1] + 1, 8)
    column = pa.array(["before", *TEXTS], kind).slice(1)
    sketcher, ids, found = Sketcher(PARAMS), [], []
    for start in range(0, len(TEXTS), size):
        part = None if groups is None else groups[start : start + size]
        some, hashes = sketcher.add(column.slice(start, size), part)
        ids.append(some)
        found.append(hashes)
    some, hashes = sketcher.flush()
    assert np.array_equal(np.concatenate([*found, hashes]), whole)
    assert np.concatenate([*ids, some]).tolist() == list(range(len(whole)))
    chunks = pa.chunked_array([column.slice(k, size) for k in range(0, len(TEXTS), size)])
    assert np.array_equal(band_hashes(chunks, PARAMS, groups), whole)


def test_same_hashes_on_any_number_of_threads() -> None:
    texts = pa.array(TEXTS * 20)
    expected = band_hashes(texts, PARAMS)
    parts = [texts.slice(start, 10) for start in range(0, len(texts), 10)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda part: band_hashes(part, PARAMS), parts))
    assert np.array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("sketch", ["fast", "exact"])
def test_numbers_are_those_of_every_machine(sketch: str) -> None:
    """Written down once: kept band hashes of earlier crawls must stay comparable."""
    params = SketchParams(permutations=8, bands=2, rows=4, sketch=sketch)  # type: ignore[arg-type]
    text = "def add(left, right):\n    return left + right  # Überlänge, zwölf Wörter\n"
    known = {
        "fast": [1004749094680329890, 13257238859231634626],
        "exact": [505897494927938643, 12599640826208409366],
    }
    assert band_hashes(pa.array([text]), params)[0].tolist() == known[sketch]


def test_units_without_tokens_only_meet_their_like() -> None:
    texts = ["", "...", "...", ";;", "; ;", "one", "", "  "]
    hashes = band_hashes(pa.array(texts), PARAMS)
    assert [
        (i, k)
        for i, k in itertools.combinations(range(len(texts)), 2)
        if len(np.intersect1d(hashes[i], hashes[k]))
    ] == [(0, 6), (1, 2)]
    # Of several rows, the cuts between them count.
    cut = band_hashes(pa.array(["..", ".", ".", "..", "..."]), PARAMS, np.array([1, 1, 2, 2, 3]))
    assert len(np.unique(cut)) == cut.size


def test_normalisation_of_words() -> None:
    texts = ["a  B\tc_1", "A b\nC_1;", "a b c 1"]
    one, two, three = band_hashes(pa.array(texts), PARAMS)
    assert np.array_equal(one, two) and not len(np.intersect1d(one, three))
    exact_case = replace(PARAMS, unit="token")
    one, two, _ = band_hashes(pa.array(texts), exact_case)
    assert not len(np.intersect1d(one, two))
    characters = replace(PARAMS, unit="char", ngram=3)
    one, two = band_hashes(pa.array(["  x =  Y", "X\n= y\n"]), characters)
    assert np.array_equal(one, two)


def test_nothing_to_do() -> None:
    none = pa.array([], pa.string())
    assert band_hashes(none, PARAMS).shape == (0, 8)
    assert band_hashes(none, PARAMS, np.zeros(0, np.int64)).shape == (0, 8)
    assert signatures(none, PARAMS).shape == (0, 64)
    assert Sketcher(PARAMS).flush()[1].shape == (0, 8)


def test_signature_of_the_paper_and_its_bands_are_one_thing() -> None:
    params = SketchParams(permutations=40, bands=4, rows=10)
    texts = [" ".join(words(1, 300)), " ".join([*words(1, 280), *words(2, 20)])]
    left, right = signatures(pa.array(texts), params).reshape(2, 4, 10)
    bands = band_hashes(pa.array(texts), params)
    assert np.array_equal((left == right).all(axis=1), bands[0] == bands[1])


@pytest.mark.parametrize("permutations", [16, 128, 256])
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7, 0.8, 0.95])
@pytest.mark.parametrize("weight", [0.2, 0.5])
def test_bands_are_chosen_as_datasketch_does(
    threshold: float, permutations: int, weight: float
) -> None:
    expected = _optimal_param(threshold, permutations, weight, 1 - weight)
    assert choose_bands(threshold, permutations, weight) == expected


def test_choice_of_bands_says_what_it_expects() -> None:
    for arguments in ((0.0, 10), (1.0, 10), (0.5, 0), (0.5, 10, 2.0)):
        with pytest.raises(ValueError, match="expected"):
            choose_bands(*arguments)


def test_the_curve_of_the_paper_is_strict() -> None:
    assert candidate_probability(0.9, 16, 128) < 0.001
    assert candidate_probability(0.99, 16, 128) > 0.99
    assert candidate_probability(0.8, 25, 10) > 0.9
    jaccards, chances = detection_curve(16, 128)
    assert jaccards[0] == chances[0] == 0 and jaccards[-1] == chances[-1] == 1
    assert (np.diff(chances) >= 0).all()
    threshold = curve_threshold(16, 128)
    assert candidate_probability(threshold, 16, 128) == pytest.approx(0.5)


def test_presets() -> None:
    sizes = {name: (p.params.permutations, p.params.bands, p.params.rows)
             for name, p in PRESETS.items()}  # fmt: skip
    assert sizes["paper"] == (2048, 16, 128)
    assert sizes["stack"] == (250, *choose_bands(0.7, 250))
    verified = PRESETS["verified"]
    assert verified.verify == "exact" and verified.min_similarity == 0.7
    assert candidate_probability(0.7, verified.params.bands, verified.params.rows) > 0.9


def test_settings_load_without_the_compiler() -> None:
    code = (
        "import sys; from assets.refinecode.minhash import PRESETS, SketchParams, choose_bands\n"
        "assert not {'numba', 'pyarrow'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_unknown_names_are_errors() -> None:
    with pytest.raises(ImportError, match="shingling"):
        from assets.refinecode.minhash import shingling  # type: ignore[attr-defined]  # noqa: F401


@pytest.mark.slow
def test_hashes_are_those_of_a_plain_processor(tmp_path: Path) -> None:
    """Compiled for the oldest x86-64, or whatever is plain elsewhere, the numbers are the same."""
    code = (
        "import pyarrow as pa; from assets.refinecode.minhash import *\n"
        "params = SketchParams(permutations=64, bands=8, rows=8)\n"
        "import sys; from tests.assets.refinecode.minhash.test_bands import TEXTS\n"
        "print(band_hashes(pa.array(TEXTS[50:]), params).tobytes().hex())"
    )
    environment = {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=ROOT, env=os.environ | environment,
    )  # fmt: skip
    expected = band_hashes(pa.array(TEXTS[50:]), PARAMS).tobytes().hex()
    assert done.stdout.strip() == expected
