"""Signals that prose and code have in common: words, n-grams, character classes, lines.

The natural-language and the general code signals register them under their own names. Fractions are
rounded to 8 digits; repetition is measured in characters of words (paper appendix A, tables 10-11).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from assets.refinecode.filters.characters import CharacterCounts, count_characters
from assets.refinecode.filters.ngrams import DUPE_SIZES, TOP_SIZES
from assets.refinecode.filters.source import Signal, Source
from assets.refinecode.filters.words import word_statistics


def share(part: float, whole: float) -> float | None:
    """``part / whole`` to 8 digits; None if there is no whole."""
    return round(part / whole, 8) if whole else None


def characters(source: Source) -> CharacterCounts:
    """Counts over the raw text, computed at most once."""
    return source.memo("characters", lambda: count_characters(source.data, source.ascii))


def num_visible(source: Source) -> int:
    """Code points of the raw text that are no white space, >= 0."""
    return len(source.raw) - characters(source).spaces


def num_words(source: Source) -> int:
    """Number of normalised words, >= 0."""
    return word_statistics(source).words


def num_chars(source: Source) -> float:
    """Length of the file in code points, >= 0."""
    return float(len(source.content))


def mean_word_length(source: Source) -> float | None:
    """Mean code points of a normalised word, >= 1; None without words."""
    statistics = word_statistics(source)
    return share(statistics.chars, statistics.words)


def frac_words_unique(source: Source) -> float | None:
    """Distinct normalised words in relation to all, 0-1; None without words."""
    statistics = word_statistics(source)
    return share(statistics.unique, statistics.words)


def _top(n: int) -> Signal:
    def frac_chars_top_ngrams(source: Source) -> float:
        statistics = word_statistics(source)
        return share(statistics.top[n], statistics.chars) or 0.0

    frac_chars_top_ngrams.__doc__ = (
        f"Length of the most frequent sequence of {n} normalised words times its count, in relation"
        " to the length of all words; >= 0, above 1 where copies overlap; 0 if none repeats."
    )
    frac_chars_top_ngrams.__name__ = f"frac_chars_top_{n}grams"
    return frac_chars_top_ngrams


def _duped(n: int) -> Signal:
    def frac_chars_dupe_ngrams(source: Source) -> float:
        statistics = word_statistics(source)
        return share(statistics.duped[n], statistics.chars) or 0.0

    frac_chars_dupe_ngrams.__doc__ = (
        f"Share of the characters of normalised words that a repeated sequence of {n} words covers,"
        " 0-1; 0 if none repeats."
    )
    frac_chars_dupe_ngrams.__name__ = f"frac_chars_dupe_{n}grams"
    return frac_chars_dupe_ngrams


def frac_chars_replacement_symbols(source: Source) -> float | None:
    """Share of U+FFFD among all characters, 0-1; None if empty."""
    return share(characters(source).replacements, len(source.raw))


def frac_chars_digital(source: Source) -> float:
    """Share of digits (``str.isdigit``) among visible characters, 0-1; 1 if nothing is visible."""
    visible = num_visible(source)
    return round(characters(source).digits / visible, 8) if visible else 1.0


def frac_chars_whitespace(source: Source) -> float:
    """Share of white space among all characters, 0-1; 1 if empty."""
    size = len(source.raw)
    return round(characters(source).spaces / size, 8) if size else 1.0


def num_lines(source: Source) -> float:
    """Number of lines, blank ones included, >= 0."""
    return float(source.num_lines)


#: By name, in the order of n.
TOP: Mapping[str, Signal] = MappingProxyType(
    {f"frac_chars_top_{n}grams": _top(n) for n in TOP_SIZES}
)
DUPED: Mapping[str, Signal] = MappingProxyType(
    {f"frac_chars_dupe_{n}grams": _duped(n) for n in DUPE_SIZES}
)
