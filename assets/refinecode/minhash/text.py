"""Text where Arrow keeps it: bytes and offsets without a copy, in blocks that fit the cache."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

#: Texts are worked on in blocks of about so many bytes: what is made of one stays in the cache.
BLOCK_BYTES = 1 << 18


def text_buffer(column: pa.Array) -> tuple[U8, I64]:
    """(bytes, offsets) of an Arrow string array, without a copy of the text; null is empty.

    Text i is ``bytes[offsets[i]:offsets[i + 1]]``. Raises ``TypeError`` for other arrays.
    """
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        raise TypeError(f"expected an Arrow array of string or large_string, found {column.type}")
    if column.null_count:
        column = column.fill_null("")
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, offsets, data = column.buffers()
    if not len(column) or offsets is None:
        return np.frombuffer(b"", np.uint8), np.zeros(len(column) + 1, np.int64)
    ends = np.frombuffer(offsets, kind, len(column) + 1 + column.offset)[column.offset :]
    text = np.frombuffer(data if data is not None else b"", np.uint8, int(ends[-1]))
    return text, ends.astype(np.int64)


def blocks(texts: pa.Array | pa.ChunkedArray) -> Iterator[tuple[U8, I64]]:
    """(bytes, offsets) of rows in order, about ``BLOCK_BYTES`` at a time and one row at least."""
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        text, ends = text_buffer(chunk)
        row, rows = 0, len(ends) - 1
        while row < rows:
            stop = int(np.searchsorted(ends, ends[row] + BLOCK_BYTES, side="right")) - 1
            stop = min(max(stop, row + 1), rows)
            yield text, ends[row : stop + 1]
            row = stop
