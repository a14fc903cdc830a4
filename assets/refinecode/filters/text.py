"""A text prepared once for all signals: bytes, lines, words, character classes.

Source files are nearly all ASCII, where counting is deleting bytes by a table at memory speed;
only the few other characters are looked at one by one. Each part is computed at most once.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable
from functools import cached_property

_HIGH = bytes(range(128, 256))
_CONTROL = {*range(0x08), *range(0x0E, 0x1B), *range(0x1C, 0x20)}
_PUNCTUATION = frozenset(string.punctuation.encode())
#: What to delete from UTF-8 so that only ASCII letters, ... are left.
_NOT_LETTERS = bytes(c for c in range(128) if not chr(c).isalpha()) + _HIGH
_NOT_DIGITS = bytes(c for c in range(128) if not chr(c).isdigit()) + _HIGH
_NOT_SPACES = bytes(c for c in range(128) if not chr(c).isspace()) + _HIGH
#: Normalising: punctuation to spaces; control characters go. UTF-8 bytes above 127 pass through.
_FOLD = bytes(0x20 if c in _PUNCTUATION else c for c in range(256))
_DELETED = bytes(_CONTROL)

_NARROW = {0xFF01 + i: chr(0x21 + i) for i in range(94)} | {
    ord(wide): narrow
    for wide, narrow in zip("。、《》【】「」“”‘’￥", ".,\"\"[]''\"\"''¥", strict=True)
}
#: The other characters that normalising changes: full-width forms, thin spaces, one control.
_WIDE = {chr(p): " " if n in string.punctuation else n for p, n in _NARROW.items()} | {
    "\u202c": "", "\u2009": " ", "\u200b": " ",
}  # fmt: skip
_IS_WIDE = re.compile(f"[{''.join(_WIDE)}]")
_WORDS = re.compile(r"\w+|[^\w\s]+")
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_KANA = re.compile(r"[\u3040-\u30ff]")
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


class Text:
    """One file's text. All lengths are in code points; lines come without their line break."""

    def __init__(self, content: str, size_bytes: int | None = None) -> None:
        self.content = content
        self.size_bytes = size_bytes
        self.ascii = content.isascii()
        self.data = content.encode("utf-8", "surrogatepass")

    @cached_property
    def lines(self) -> list[str]:
        """Pieces between ``\\n``, without it; a last empty piece does not count."""
        pieces = self.content.split("\n")
        return pieces if pieces[-1] else pieces[:-1]

    @cached_property
    def words(self) -> list[str] | list[bytes]:
        """Normalised words: lower case, punctuation gone, split at white space."""
        folded = self.data.translate(_FOLD, _DELETED)
        if self.ascii:
            return folded.lower().split()
        text = folded.decode("utf-8", "surrogatepass")
        text = _IS_WIDE.sub(lambda match: _WIDE[match[0]], text).lower()
        return _WORDS.findall(unicodedata.normalize("NFKC", text))

    @cached_property
    def num_visible(self) -> int:
        """Characters that are no white space."""
        return len(self.content) - self._count(_NOT_SPACES, str.isspace)

    @cached_property
    def num_letters(self) -> int:
        return self._count(_NOT_LETTERS, str.isalpha)

    @cached_property
    def num_digits(self) -> int:
        return self._count(_NOT_DIGITS, str.isdigit)

    @cached_property
    def _beyond_ascii(self) -> str:
        return "" if self.ascii else "".join(_NOT_ASCII.findall(self.content))

    def _count(self, others: bytes, test: Callable[[str], bool]) -> int:
        return len(self.data.translate(None, others)) + sum(map(test, self._beyond_ascii))


def natural_language(text: Text) -> str:
    """``ja`` where over 10 % of the visible characters are kana, else ``zh`` where over 15 % are
    Han, else ``en``: what decides the table of text rules."""
    if text.ascii or not text.num_visible:
        return "en"
    if len(_KANA.findall(text.content)) > 0.10 * text.num_visible:
        return "ja"
    return "zh" if len(_HAN.findall(text.content)) > 0.15 * text.num_visible else "en"
