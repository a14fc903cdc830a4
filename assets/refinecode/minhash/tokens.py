"""Text to shingle hashes: the compiled first half of the near-duplicate kernel (paper 2.1.1).

Units of text are cut into tokens, each token becomes 64 bits, ``n`` tokens in a row become 64 bits.
Words are found 64 bytes at a time as bit masks and hashed 8 bytes at a time; only a run that holds
a byte above ASCII is decoded. All compiled code that calls each other stands in one file, because
numba's cache watches no other.

What a token is:

``word``   a run of ``\\w`` characters (letters and digits of any script, ``_``), lower-cased
           code point by code point.
``token``  the same run with its case, and every other character that is no white space.
``char``   every code point, lower-cased; a run of white space is one space, and none stands at the
           ends.

Lower-casing looks at one code point alone: no final sigma, and U+0130 becomes plain ``i``. Letters
and digits are those of the running Python's Unicode tables.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

from assets.refinecode.minhash.params import Unit

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

#: No character past this code point is a letter, a digit, white space or has a lower case
#: (asserted by a test over all of Unicode).
TABLE_POINTS = 0x40000

# Plain integers: numba freezes module constants into the compiled code.
_SPACE = 0xFFFFFFFF
_WORD, _CHAR, _TOKEN = 0, 1, 2
_MODES: dict[Unit, int] = {"word": _WORD, "char": _CHAR, "token": _TOKEN}
_PIECE = 4096  # bytes whose runs are held at a time
_MIX_1 = 0xFF51AFD7ED558CCD
_MIX_2 = 0xC4CEB9FE1A85EC53
_MIX_3 = 0x9FB21C651E98DF25
_NEXT_TOKEN = 0xC2B2AE3D27D4EB4F
_HIGH_BITS = 0x8080808080808080
_CASE_BITS = 0x2020202020202020


class Tokens:
    """Shingle hashes of texts, in order; a unit may span many calls (the files of a repository).

    A piece of a unit ends its last token, as if a line break stood between pieces.
    """

    def __init__(self, unit: Unit, ngram: int) -> None:
        self._mode = _MODES[unit]
        self._ngram = ngram
        self._table = code_points(unit)
        # Of the open unit: its last tokens, their polynomial, how many so far, a hash of its bytes.
        self._state = np.zeros(ngram + 3, np.uint64)

    def add(self, text: U8, ends: I64, last: Bool) -> tuple[U64, I64, U64]:
        """(hashes, ends of rows in them, content) of the texts ``text[ends[i]:ends[i + 1]]``.

        ``last[i]`` says that row i is the last piece of its unit. Repeats are included. A unit with
        fewer tokens than ``ngram`` has one shingle made of all; one without any token has none, and
        its last row a hash of its bytes in ``content`` (elsewhere 0).
        """
        size = int(ends[-1] - ends[0])
        room = size // 2 if self._mode == _WORD else size
        hashes = np.empty(room + 2 * len(last) + self._ngram, np.uint64)
        stops = np.empty(len(last), np.int64)
        content = np.zeros(len(last), np.uint64)
        count = _shingle(
            text, ends, last, self._mode, self._table, self._ngram, self._state,
            hashes, stops, content,
        )  # fmt: skip
        return hashes[:count], stops, content

    def finish(self) -> tuple[U64, int]:
        """(hashes, content) of the end of a unit whose pieces had ``last`` unset."""
        hashes = np.empty(1, np.uint64)
        count, content = _close(self._state, self._ngram, hashes)
        return hashes[:count], int(content)


@functools.cache
def code_points(unit: Unit) -> U32:
    """What becomes of each code point below ``TABLE_POINTS``.

    word: its lower case, 0 outside words. token: itself, 0 for a token of its own, 2**32 - 1 for
    white space. char: its lower case, 2**32 - 1 for white space.
    """
    points = [chr(point) for point in range(TABLE_POINTS)]
    itself = np.arange(TABLE_POINTS, dtype=np.uint32)
    lower = np.array([ord(form[0]) for form in map(str.lower, points)], np.uint32)
    space = np.array(list(map(str.isspace, points)))
    if unit == "char":
        return np.where(space, np.uint32(_SPACE), lower)
    # Words are judged after lower-casing: what it turns into a letter is one.
    form = lower if unit == "word" else itself
    inside = np.array([points[at].isalnum() or points[at] == "_" for at in form.tolist()])
    outside = np.where(space & (unit == "token"), np.uint32(_SPACE), np.uint32(0))
    return np.where(inside, form, outside)


@intrinsic
def _load_64(context: Any, array: Any, at: Any) -> tuple[Any, Callable[..., Any]]:
    """Eight bytes from ``array[at]`` on as one little-endian number; the caller minds the end."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = target.make_array(signature.args[0])(target, builder, args[0]).data
        first = builder.gep(data, [args[1]])
        return builder.load(builder.bitcast(first, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(array, types.int64), generate


@intrinsic
def _run_mask(context: Any, array: Any, at: Any) -> tuple[Any, Callable[..., Any]]:
    """Which of the 64 bytes from ``array[at]`` on are ASCII word characters or not ASCII."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        lanes = ir.VectorType(ir.IntType(8), 64)

        def each(value: int) -> ir.Constant:
            return ir.Constant(lanes, [value] * 64)

        data = target.make_array(signature.args[0])(target, builder, args[0]).data
        first = builder.gep(data, [args[1]])
        text = builder.load(builder.bitcast(first, lanes.as_pointer()), align=1)
        letter = builder.sub(builder.or_(text, each(0x20)), each(ord("a")))
        inside = builder.icmp_unsigned("<", letter, each(26))
        digit = builder.icmp_unsigned("<", builder.sub(text, each(ord("0"))), each(10))
        line = builder.icmp_unsigned("==", text, each(ord("_")))
        high = builder.icmp_signed("<", text, each(0))
        either = builder.or_(builder.or_(inside, digit), builder.or_(line, high))
        return builder.bitcast(either, ir.IntType(64))

    return types.uint64(array, types.int64), generate


@intrinsic
def _lowest_bit(context: Any, mask: Any) -> tuple[Any, Callable[..., Any]]:
    """Index of the lowest bit set; 64 if there is none."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@intrinsic
def _bits(context: Any, mask: Any) -> tuple[Any, Callable[..., Any]]:
    """How many bits are set."""

    def generate(target: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.uint64(types.uint64), generate


@njit(nogil=True, cache=True, inline="always")
def _join(h: np.uint64, eight: np.uint64, number: int) -> np.uint64:
    """Hash of a token so far and its next eight bytes; eight zeros as the second ones are none."""
    if number == 1:
        return h + eight * np.uint64(_MIX_3)
    h = (h ^ eight) * np.uint64(_MIX_1)
    return h ^ (h >> np.uint64(32))


@njit(nogil=True, cache=True, inline="always")
def _finish(h: np.uint64) -> np.uint64:
    h = (h ^ (h >> np.uint64(32))) * np.uint64(_MIX_2)
    return h ^ (h >> np.uint64(29))


@njit(nogil=True, cache=True, inline="always")
def _low_bytes(count: int) -> np.uint64:
    """Mask of the lowest 0 to 8 bytes; two shifts, as one by 64 bits is undefined."""
    half = np.uint64(4) * np.uint64(count)
    return ((np.uint64(1) << half) << half) - np.uint64(1)


@njit(nogil=True, cache=True)
def _bytes_64(text: U8, at: int, stop: int) -> np.uint64:
    """Up to eight bytes before ``stop``, as :func:`_load_64` and a mask would give them."""
    eight = np.uint64(0)
    for k in range(min(8, stop - at)):
        eight |= np.uint64(text[at + k]) << np.uint64(8 * k)
    return eight


@njit(nogil=True, cache=True)
def _mask_at_end(text: U8, at: int, stop: int) -> np.uint64:
    mask = np.uint64(0)
    for k in range(min(64, stop - at)):
        c = text[at + k]
        letter = (c | 0x20) - 0x61
        if 0 <= letter < 26 or 0x30 <= c < 0x3A or c == 0x5F or c >= 0x80:
            mask |= np.uint64(1) << np.uint64(k)
    return mask


@njit(nogil=True, cache=True)
def _point(text: U8, at: int, stop: int) -> tuple[np.int64, int]:
    """(code point, bytes it takes); never looks past ``stop``."""
    first = np.int64(text[at])
    if first < 0x80:
        return first, 1
    if first >= 0xF0:
        width, point = 4, first & 0x07
    elif first >= 0xE0:
        width, point = 3, first & 0x0F
    else:
        width, point = 2, first & 0x1F
    if at + width > stop:
        return np.int64(0), 1
    for k in range(1, width):
        point = (point << 6) | (np.int64(text[at + k]) & 0x3F)
    return point, width


@njit(nogil=True, cache=True)
def _push(
    h: np.uint64, eight: np.uint64, held: int, point: int
) -> tuple[np.uint64, np.uint64, int]:
    """Append a code point in UTF-8 to a token of ``held`` bytes, the last of them in ``eight``."""
    if point < 0x80:
        width, code = 1, point
    elif point < 0x800:
        width, code = 2, 0xC0 | (point >> 6) | (0x80 | (point & 0x3F)) << 8
    elif point < 0x10000:
        width = 3
        code = 0xE0 | (point >> 12) | (0x80 | (point >> 6 & 0x3F)) << 8
        code |= (0x80 | (point & 0x3F)) << 16
    else:
        width = 4
        code = 0xF0 | (point >> 18) | (0x80 | (point >> 12 & 0x3F)) << 8
        code |= (0x80 | (point >> 6 & 0x3F)) << 16 | (0x80 | (point & 0x3F)) << 24
    for k in range(width):
        eight |= np.uint64((code >> (8 * k)) & 0xFF) << np.uint64(8 * (held & 7))
        held += 1
        if held & 7 == 0:
            h, eight = _join(h, eight, held // 8 - 1), np.uint64(0)
    return h, eight, held


@njit(nogil=True, cache=True)
def _single(point: int) -> np.uint64:
    """Hash of the token that is this code point."""
    h, eight, held = _push(np.uint64(0), np.uint64(0), 0, point)
    return _finish(_join(h, eight, held // 8))


@njit(nogil=True, cache=True)
def _decoded(text: U8, at: int, stop: int, mode: int, table: U32, tokens: U64, count: int) -> int:
    """Append the tokens of a run by code points; returns their new count.

    Bytes of lower-cased ASCII carry the bit 0x20 (``_`` becomes 0x7F), as on the fast path.
    """
    case = 0x20 if mode == _WORD else 0
    h, eight, held = np.uint64(0), np.uint64(0), 0
    while at < stop:
        point, width = _point(text, at, stop)
        at += width
        folded = np.int64(table[point]) if point < TABLE_POINTS else 0
        inside = folded != 0 and folded != _SPACE
        if inside:
            h, eight, held = _push(h, eight, held, folded | case if folded < 0x80 else folded)
        if held and (not inside or at >= stop):
            tokens[count] = _finish(_join(h, eight, held // 8) if held & 7 else h)
            count += 1
            h, eight, held = np.uint64(0), np.uint64(0), 0
        if mode == _TOKEN and folded == 0:
            tokens[count] = _single(point)
            count += 1
    return count


@njit(nogil=True, cache=True)
def _characters(text: U8, at: int, stop: int, table: U32, first: bool, tokens: U64) -> int:
    """Tokens of a text for ``char``: a run of white space counts before the next character only."""
    count, space = 0, not first
    while at < stop:
        point, width = _point(text, at, stop)
        at += width
        folded = np.int64(table[point]) if point < TABLE_POINTS else point
        if folded == _SPACE:
            space = True
            continue
        if space and not (first and count == 0):
            tokens[count] = _single(0x20)
            count += 1
        space = False
        tokens[count] = _single(folded)
        count += 1
    return count


@njit(nogil=True, cache=True)
def _marks(text: U8, at: int, stop: int, tokens: U64, count: int) -> int:
    """Append each ASCII character that is neither word nor white space; returns the new count."""
    for k in range(at, stop):
        c = text[k]
        if c > 0x20 or c < 9 or 13 < c < 28:
            tokens[count] = _single(c)
            count += 1
    return count


@njit(nogil=True, cache=True)
def _words(text: U8, start: int, stop: int, mode: int, table: U32, edges: I64, tokens: U64) -> int:
    """Tokens of a text for ``word`` and ``token``; returns how many.

    Unsigned counters: numba looks for negative indices otherwise.
    """
    one = np.uint64(1)
    case = np.uint64(_CASE_BITS if mode == _WORD else 0)
    size = len(text)
    count, before = 0, start
    held, inside = np.uint64(0), np.uint64(0)
    for piece in range(start, stop, _PIECE):
        # Where runs start and end, in turn; eight writes at a time, of which some are overwritten.
        for at in range(piece, min(piece + _PIECE, stop), 64):
            mask = _run_mask(text, at) if at + 64 <= size else _mask_at_end(text, at, stop)
            if at + 64 > stop:
                mask &= (one << np.uint64(stop - at)) - one
            changes = mask ^ ((mask << one) | inside)
            inside = mask >> np.uint64(63)
            filled = held + _bits(changes)
            while held < filled:
                for k in range(8):
                    edges[held + np.uint64(k)] = at + _lowest_bit(changes)
                    changes &= changes - one
                held += np.uint64(8)
            held = filled
        if piece + _PIECE >= stop and inside:
            edges[held] = stop
            held += one
        for pair in range(0, np.int64(held) - 1, 2):
            at, end = edges[pair], edges[pair + 1]
            length = end - at
            if mode == _TOKEN:
                count = _marks(text, before, at, tokens, count)
                before = end
            if at + 16 <= size:
                low, high = _load_64(text, at), _load_64(text, at + 8)
            else:
                low, high = _bytes_64(text, at, size), _bytes_64(text, at + 8, size)
            low &= _low_bytes(min(length, 8))
            high &= _low_bytes(max(min(length - 8, 8), 0))
            beyond = (low | high) & np.uint64(_HIGH_BITS)
            low |= case & _low_bytes(min(length, 8))
            high |= case & _low_bytes(max(min(length - 8, 8), 0))
            h = _join(_join(np.uint64(0), low, 0), high, 1)
            if length > 16:
                for k in range(at + 16, end, 8):
                    low = _load_64(text, k) if k + 8 <= size else _bytes_64(text, k, size)
                    low &= _low_bytes(min(end - k, 8))
                    beyond |= low & np.uint64(_HIGH_BITS)
                    h = _join(h, low | (case & _low_bytes(min(end - k, 8))), 2)
            if beyond:
                count = _decoded(text, at, end, mode, table, tokens, count)
            else:
                tokens[count] = _finish(h)
                count += 1
        if held & one:
            edges[0] = edges[held - one]
        held &= one
    if mode == _TOKEN:
        count = _marks(text, before, stop, tokens, count)
    return count


@njit(nogil=True, cache=True)
def _close(state: U64, n: int, hashes: U64) -> tuple[np.int64, np.uint64]:
    """(hashes appended, content) of a unit that ends; the state is that of a new one."""
    seen, content = np.int64(state[n + 1]), np.uint64(0)
    short = 0 < seen < n
    if short:
        hashes[0] = _finish(state[n])
    elif seen == 0:
        content = _finish(state[n + 2])
    state[:] = np.uint64(0)
    return np.int64(short), content


@njit(nogil=True, cache=True)
def _shingle(
    text: U8, ends: I64, last: Bool, mode: int, table: U32, n: int, state: U64,
    hashes: U64, stops: I64, content: U64,
) -> int:  # fmt: skip
    """Fill ``hashes``, ``stops`` and ``content`` (see :class:`Tokens`); returns how many hashes.

    The shingle that ends with token i is ``sum(token[i - k] * P**k for k < n)`` mod 2**64, mixed.
    """
    edges = np.empty(_PIECE + 16, np.int64)
    leaves = np.uint64(1)  # what a token has been multiplied with when it leaves
    for _ in range(n):
        leaves *= np.uint64(_NEXT_TOKEN)
    at = 0
    for row in range(len(last)):
        start, stop = ends[row], ends[row + 1]
        seen = np.int64(state[n + 1])
        # Tokens go behind the shingles made of them: token i to hashes[at + n + i].
        for k in range(n):
            hashes[at + k] = state[k]
        if mode == _CHAR:
            found = _characters(text, start, stop, table, seen == 0, hashes[at + n :])
        else:
            found = _words(text, start, stop, mode, table, edges, hashes[at + n :])
        for k in range(n):
            state[k] = hashes[at + found + k]
        h = state[n]
        short = min(found, max(0, n - 1 - seen))  # tokens that end no shingle
        row_hashes = hashes[at : at + n + found]
        for k in range(found):
            h = h * np.uint64(_NEXT_TOKEN) + (row_hashes[k + n] - row_hashes[k] * leaves)
            row_hashes[max(k - short, 0)] = _finish(h)
        at += found - short
        seen += found
        if seen == 0:
            known = _join(state[n + 2], np.uint64(stop - start) + np.uint64(1), 0)
            for k in range(start, stop, 8):
                known = _join(known, _bytes_64(text, k, stop), 2)
            state[n + 2] = known
        state[n], state[n + 1] = h, np.uint64(seen)
        if last[row]:
            more, content[row] = _close(state, n, hashes[at:])
            at += more
        stops[row] = at
    return at


assert sys.byteorder == "little", "token hashes are defined on little-endian machines"
