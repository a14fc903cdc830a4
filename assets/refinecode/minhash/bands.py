"""Band hashes of a batch of texts in one call, or of a stream of batches (paper 2.1.1).

Two units are candidates if they share a band hash. Text goes through both compiled halves in blocks
that fit the cache; only the band hashes stay.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from assets.refinecode.minhash.params import SketchParams
from assets.refinecode.minhash.shingles import ShingleStream
from assets.refinecode.minhash.sketch import Sketches

U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]


def band_hashes(
    texts: pa.Array | pa.ChunkedArray, params: SketchParams, groups: I64 | None = None
) -> U64:
    """uint64 [units, bands]: which units are alike, in the order of their first rows.

    A unit is a row, or the neighbouring rows with one number in ``groups`` (int64 [rows]). The
    number of a band is part of its hashes, so they can share one column. A unit without any token
    has hashes made of its bytes and of how they are cut into rows: it only meets its like.
    """
    sketcher = Sketcher(params)
    parts = [sketcher.add(texts, groups)[1], sketcher.flush()[1]]
    return np.concatenate(parts)


def signatures(
    texts: pa.Array | pa.ChunkedArray, params: SketchParams, groups: I64 | None = None
) -> U32:
    """uint32 [units, permutations], see :func:`~assets.refinecode.minhash.sketch.estimate`; all
    2**32 - 1 for a unit without any token."""
    stream, sketches = ShingleStream(params), Sketches(params)
    parts = [np.empty((0, params.permutations), np.uint32)]
    for source in (stream.add(texts, groups), stream.flush()):
        parts.extend(sketches.signatures(part.hashes, part.stops) for part in source)
    return np.concatenate(parts)


class Sketcher:
    """Band hashes of units that come batch by batch and may span batches.

    Of the unit that is open, its shingles are held: 8 bytes for each distinct one.
    """

    def __init__(self, params: SketchParams) -> None:
        self._bands = params.bands
        self._stream, self._sketches = ShingleStream(params), Sketches(params)

    def add(self, texts: pa.Array | pa.ChunkedArray, groups: I64 | None = None) -> tuple[I64, U64]:
        """(numbers of the units that are whole now [n], their band hashes [n, bands]).

        Without ``groups`` a row is a unit, numbered from the first one on.
        """
        ids, out = [np.zeros(0, np.int64)], [np.zeros((0, self._bands), np.uint64)]
        for part in self._stream.add(texts, groups):
            ids.append(part.ids)
            out.append(self._sketches.band_hashes(part.hashes, part.stops, part.content))
        return np.concatenate(ids), np.concatenate(out)

    def flush(self) -> tuple[I64, U64]:
        """The open unit, if there is one, as :meth:`add` gives it."""
        ids, out = np.zeros(0, np.int64), np.zeros((0, self._bands), np.uint64)
        for part in self._stream.flush():
            ids = part.ids
            out = self._sketches.band_hashes(part.hashes, part.stops, part.content)
        return ids, out
