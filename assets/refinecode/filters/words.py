"""Normalised words of a text, as hashes made from its UTF-8 bytes, and their statistics.

Normalising makes punctuation into spaces and letters lower-case; words are then runs of ``\\w`` or
of other signs. One pass over the bytes does both and never makes a Python string. Only where a
character changes in a way that needs its neighbours or more than one character (capitals outside
ASCII, accents apart from their letter, full-width letters) is the text rewritten as a string first.
Chinese words come from a segmenter as strings (paper appendix A, table 11).
"""

from __future__ import annotations

import re
import unicodedata

import numpy as np
from numba import njit

from assets.refinecode.filters import ngrams
from assets.refinecode.filters.characters import (
    CONTROLS,
    DELETED,
    KIND,
    NORMAL,
    REWRITTEN,
    SPACE,
    U8,
    U16,
    WIDE,
    WORD,
    classes_for,
    decode,
)  # fmt: skip
from assets.refinecode.filters.ngrams import I32, U64, WordStatistics
from assets.refinecode.filters.source import Source

_TOKEN = re.compile(r"\w+|[^\w\s]+")
#: Pieces that end where a word does, if it is not too long; the second kind starts beyond ASCII.
_PIECE = re.compile(r"[\s\S]{1,64}[^ \n]{0,448}+")
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f][\s\S]{0,63}[^ \n]{0,448}+")
_PUNCTUATION = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
_NORMAL_FORM = str.maketrans(
    {chr(point): None for point in CONTROLS}
    | {wide: " " if narrow in _PUNCTUATION else narrow for wide, narrow in WIDE.items()}
    | dict.fromkeys(_PUNCTUATION, " ")
)
#: What the scanner of words sees of a byte; any byte from the first plain one on is part of a word
#: or of a character beyond ASCII.
_OTHER = 0
_DROPPED = 0x00
_SIGN = 0x01
_BLANK = 0x20
_FIRST_PLAIN = 0x30
#: The same for ASCII bytes, and for the other characters.
_FOLD = bytes(
    0x20 if chr(c) in _PUNCTUATION else ord(chr(c).lower()) if c < 128 else c for c in range(256)
)
_DELETED = bytes(point for point in CONTROLS if point < 128)
_WIDE_FORM = {point: new for point, new in _NORMAL_FORM.items() if point > 127}


def _byte_table(normal: bool) -> U8:
    """What the scanner of words sees of each byte, of normalised text or of text as it is."""
    table = bytearray(256)
    for byte in range(256):
        letter = chr(_FOLD[byte] if normal else byte)
        if byte in _DELETED and normal:
            table[byte] = _DROPPED
        elif byte > 127:
            table[byte] = byte
        elif letter.isspace():
            table[byte] = _BLANK
        elif letter.isalnum() or letter == "_":
            table[byte] = ord(letter)
        else:
            table[byte] = _SIGN
    return np.frombuffer(bytes(table), np.uint8)


_FOLDED_BYTES = _byte_table(normal=True)
_PLAIN_BYTES = _byte_table(normal=False)


def wordpunct(text: str) -> list[str]:
    """Runs of ``\\w`` characters, and runs of what is neither that nor white space.

    >>> wordpunct("x_1 += 2.5")
    ['x_1', '+=', '2', '.', '5']
    """
    return _TOKEN.findall(text)


def normalise(text: str) -> str:
    """Text as its words are compared: no control characters, wide signs narrow, punctuation
    spaces, lower case, compatibility composition (NFKC). White space stays as it is.

    >>> normalise("Snake_case(ＡＢ)")
    'snake case ab '
    """
    return _composed(text.translate(_NORMAL_FORM).lower())


def _composed(text: str) -> str:
    """NFKC of lower-case text, piece by piece: no rule of composing looks past a space, and
    ordering a long row of accents would take quadratic time."""
    return "".join(unicodedata.normalize("NFKC", piece) for piece in _PIECE.findall(text))


def word_statistics(source: Source) -> WordStatistics:
    """Statistics of the normalised words of a file, computed at most once."""
    return source.memo("word_statistics", lambda: _word_statistics(source))


def _word_statistics(source: Source) -> WordStatistics:
    if source.natural_language == "zh":
        numbers: dict[str, int] = {}
        words = source.words
        hashes = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.uint64)
        return ngrams.statistics(hashes, np.array(list(map(len, words)), np.int32), 0)
    seed, multiplier = source.seeds
    hashes, lengths = word_hashes(source.raw, source.data, source.ascii, multiplier)
    return ngrams.statistics(hashes, lengths, seed)


def word_hashes(text: str, data: bytes, ascii_only: bool, multiplier: int) -> tuple[U64, I32]:
    """(hash, length in code points) of each normalised word of a text and its UTF-8 form."""
    found = _hash_words(data, ascii_only, multiplier, True)
    if found is None:
        found = _hash_words(_rewritten(data), False, multiplier, False)
        assert found is not None
    return found


def _rewritten(data: bytes) -> bytes:
    """``normalise`` of UTF-8 text: bytes where that will do, strings for words beyond ASCII."""
    text = data.translate(_FOLD, _DELETED).decode("utf-8", "surrogatepass")
    pieces: list[str] = []
    at = 0
    while (match := _BEYOND_ASCII.search(text, at)) is not None:
        start = max(text.rfind(" ", at, match.start()), text.rfind("\n", at, match.start())) + 1
        start = start or at
        word = text[start : match.end()].translate(_WIDE_FORM).lower()
        pieces += text[at:start], unicodedata.normalize("NFKC", word)
        at = match.end()
    pieces.append(text[at:])
    return "".join(pieces).encode("utf-8", "surrogatepass")


def _hash_words(
    data: bytes, ascii_only: bool, multiplier: int, normal: bool
) -> tuple[U64, I32] | None:
    # Two words never touch, but where one is letters and the other signs.
    hashes = np.empty(len(data), np.uint64)
    lengths = np.empty(len(data), np.int32)
    folded = _FOLDED_BYTES if normal else _PLAIN_BYTES
    count = _scan_words(
        np.frombuffer(data, np.uint8), classes_for(ascii_only), folded, normal,
        np.uint64(multiplier), hashes, lengths,
    )  # fmt: skip
    return None if count < 0 else (hashes[:count], lengths[:count])


@njit(cache=True, nogil=True)
def _scan_words(
    data: U8,
    classes: U16,
    folded: U8,
    normal: bool,
    multiplier: np.uint64,
    hashes: U64,
    lengths: I32,
) -> int:
    """Fill in hashes and lengths; the number of words, or -1 if the text has to be rewritten.

    ``folded`` is what an ASCII byte becomes; ``normal`` says whether other characters are to be
    normalised as well, or are taken as they are.
    """
    shift = NORMAL if normal else 0
    mask = 7 if normal else KIND
    words = 0
    length = 0
    previous = SPACE
    mixed = np.uint64(0)
    at = 0
    size = len(data)
    while at < size:
        byte = folded[data[at]]
        end = at + 1
        if byte >= _FIRST_PLAIN:
            kind = WORD
            if byte >= 0x80:
                point, end = decode(data, at)
                kind = classes[point] >> shift & mask
        elif byte == _BLANK:
            kind = SPACE
        elif byte == _DROPPED:
            at += 1
            continue
        else:
            kind = _OTHER
            byte = data[at]
        if kind >= DELETED:
            if kind == REWRITTEN:
                return -1
            at = end
            continue
        if kind != previous:
            if previous != SPACE:
                hashes[words] = mixed
                lengths[words] = length
                words += 1
            previous = kind
            length = 0
            mixed = np.uint64(0)
        if kind == SPACE:
            at = end
            continue
        length += 1
        mixed = mixed * multiplier + np.uint64(byte + 1)
        at += 1
        while at < end:
            mixed = mixed * multiplier + np.uint64(data[at] + 1)
            at += 1
        if kind == WORD:
            while at < size:
                byte = folded[data[at]]
                if byte < _FIRST_PLAIN or byte >= 0x80:
                    break
                mixed = mixed * multiplier + np.uint64(byte + 1)
                length += 1
                at += 1
    if previous != SPACE:
        hashes[words] = mixed
        lengths[words] = length
        words += 1
    return words
