"""One file, prepared once for all signals (the paper's appendix A measures every file this way).

The idea: signals are plain functions of a ``Source``; whatever two of them need (lines, bytes, the
split of code and comments, the syntax tree) is a lazy attribute here, computed at most once; what
one group of signals computes together is kept with ``memo``.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

if TYPE_CHECKING:
    from assets.refinecode.filters.comments import Split
    from assets.refinecode.filters.lines import LineCounts

T = TypeVar("T")
RuleSet = Literal["opencoder", "cookbook"]
Signal = Callable[["Source"], float | None]

#: Programs with a syntax tree, and the module whose ``parse(source)`` gives it (None: no tree).
_PARSERS = {
    "python": "assets.refinecode.filters.python",
    "javascript": "assets.refinecode.filters.javascript",
    "html": "assets.refinecode.filters.html",
}


class lazy(Generic[T]):
    """``functools.cached_property`` without its lock, which costs as much as a small signal."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    def __get__(self, source: Any, owner: type | None = None) -> T:
        value = self._compute(source)
        source.__dict__[self._name] = value
        return value


class Source:
    """One file's text; lengths are in code points, lines end at ``\\n`` only.

    ``filename`` is the base name as the rule set splits it, ``extension`` comes without the dot and
    with its case; ``size_bytes`` is the size of the file as stored, None if unknown;
    ``natural_language`` "zh" and "ja" change the words, any other value does not.
    """

    def __init__(
        self,
        content: str,
        *,
        program: str,
        doc_type: str,
        filename: str = "",
        extension: str = "",
        natural_language: str = "en",
        size_bytes: int | None = None,
        rules: RuleSet = "cookbook",
    ) -> None:
        self.content = content
        self.program = program
        self.doc_type = doc_type
        self.filename = filename
        self.extension = extension
        self.natural_language = natural_language
        self.size_bytes = size_bytes
        self.rules: RuleSet = rules
        self._memo: dict[str, Any] = {}

    def memo(self, key: str, compute: Callable[[], T]) -> T:
        """``compute()``, called at most once for each key of this source."""
        if key not in self._memo:
            self._memo[key] = compute()
        value: T = self._memo[key]
        return value

    @lazy
    def raw(self) -> str:
        """The content; for Chinese in simplified characters."""
        if self.natural_language == "zh":
            from assets.refinecode.filters.chinese import simplified

            return simplified(self.content)
        return self.content

    @lazy
    def data(self) -> bytes:
        """``raw`` as UTF-8; a lone surrogate has its three bytes."""
        return self.raw.encode("utf-8", "surrogatepass")

    @lazy
    def ascii(self) -> bool:
        return self.raw.isascii()

    @lazy
    def seeds(self) -> tuple[int, int]:
        """Two 64-bit numbers (the second odd) that a change anywhere in the text changes: hash
        tables seeded by them cannot be made to collide by a text that was written for it."""
        digest = hashlib.blake2b(self.data, digest_size=16).digest()
        return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little") | 1

    @lazy
    def lines(self) -> list[str]:
        """Raw lines without their line break, blank ones included; the empty text has none."""
        pieces = self.raw.split("\n")
        if not pieces[-1]:
            pieces.pop()
        return pieces

    @lazy
    def num_lines(self) -> int:
        """Number of raw lines, without making them."""
        return self.data.count(b"\n") + (bool(self.data) and not self.data.endswith(b"\n"))

    def tokenize(self, text: str) -> list[str]:
        """The words and runs of signs of a text, as the natural language of the file splits it."""
        if self.natural_language == "zh":
            from assets.refinecode.filters.chinese import tokenize

            return tokenize(text)
        from assets.refinecode.filters.words import wordpunct

        return wordpunct(text)

    @lazy
    def words(self) -> list[str]:
        """Normalised words: lower case, punctuation gone. For people and tests: the signals count
        them in bytes (``words.statistics``)."""
        from assets.refinecode.filters.words import normalise

        return self.tokenize(normalise(self.raw))

    @lazy
    def raw_words(self) -> list[str]:
        """Words and runs of signs of the raw text, case kept."""
        return self.tokenize(self.raw)

    @lazy
    def split(self) -> Split:
        """Code and comments of the raw text."""
        from assets.refinecode.filters.comments import split

        return split(self.raw, self.program, self.rules)

    @lazy
    def code(self) -> str:
        return self.split.code

    @lazy
    def comments(self) -> str:
        return self.split.comments

    @lazy
    def code_data(self) -> bytes:
        """``code`` as UTF-8, as ``data``."""
        return self.code.encode("utf-8", "surrogatepass")

    @lazy
    def code_lines(self) -> list[str]:
        """Lines of the code that are not blank, without their line break."""
        return [line for line in self.code.split("\n") if line and not line.isspace()]

    @lazy
    def num_code_lines(self) -> int:
        """The usual denominator: lines of the code that are not blank, without making them."""
        return self.code_line_counts.lines

    @lazy
    def code_line_counts(self) -> LineCounts:
        """How many lines of the code are not blank, and how many of those repeat."""
        from assets.refinecode.filters.lines import count_lines

        return count_lines(self.code_data, self.ascii, *self.seeds)

    @lazy
    def comment_lines(self) -> list[str]:
        """Lines of the comments that are not blank, without their line break."""
        return [line for line in self.comments.split("\n") if line and not line.isspace()]

    @lazy
    def tree(self) -> object | None:
        """What the parser of the program makes of the raw text; None if it does not parse or the
        program has no parser. The parser's module is imported when first needed."""
        module = _PARSERS.get(self.program)
        if module is None:
            return None
        tree: object | None = importlib.import_module(module).parse(self)
        return tree
