"""Units of text from Arrow batches, each whole, as shingles (paper 2.1.1, fuzzy dedup).

The rows of a unit stand next to each other and may span batches. What describes a unit is taken
from its first row; its text is only ever seen by the compiled kernel.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from assets.refinecode.minhash import ShingleStream, SketchParams
from assets.refinecode.minhash.shingles import Shingles

Batches = Iterator[pa.RecordBatch]


def stream_units(batches: Batches, params: SketchParams) -> Iterator[tuple[pa.Table, Shingles]]:
    """(first rows of some whole units, without content; their shingles), in the order of the rows.

    The batches have at least the columns node (int64; a change of it starts a unit) and content.
    """
    stream = ShingleStream(params)
    heads: pa.Table | None = None
    unit, last = -1, None
    for batch in batches:
        if not batch.num_rows:
            continue
        node = batch.column("node").to_numpy()
        starts = np.empty(len(node), np.bool_)
        starts[0] = last is None or node[0] != last
        starts[1:] = node[1:] != node[:-1]
        last = node[-1]
        groups = unit + np.cumsum(starts)
        unit = int(groups[-1])
        names = [name for name in batch.schema.names if name != "content"]
        first = pa.Table.from_batches([batch]).select(names).filter(pa.array(starts))
        heads = first if heads is None else pa.concat_tables([heads, first])
        for whole in stream.add(batch.column("content"), groups):
            yield heads.slice(0, len(whole.ids)), whole
            heads = heads.slice(len(whole.ids))
    for whole in stream.flush():
        if heads is None:
            raise AssertionError("a unit without a first row")
        yield heads, whole
