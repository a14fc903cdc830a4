"""Natural-language signals: 32 numbers of a prose file (paper appendix A, table 10).

Sentences, bullets, capitals, stop words and repetition say whether a text was written to be read.
Whatever is counted per character or per normalised word comes from the same kernels as for code;
the rest are linear passes over lines or raw words. Fractions are rounded to 8 digits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from assets.refinecode.filters import shared
from assets.refinecode.filters.encoded import chars_in_hex_numbers
from assets.refinecode.filters.lines import StrippedLineCounts, count_stripped_lines
from assets.refinecode.filters.prose import ProseCounts, count_prose, stop_words
from assets.refinecode.filters.shared import share
from assets.refinecode.filters.source import Signal, Source
from assets.refinecode.filters.words import word_statistics

_READ_MORE = (
    "...", "…", "全文", "详情", "详细", "更多", "المزيد", "تفاصيل", "اقرأ المزيد", "もっと", "詳細",
    "もっと読む",
)  # fmt: skip
_CLOSING = "]】)>》"
_BULLET_POINTS = (
    0x2022, 0x2023, 0x2043, 0x204C, 0x204D, 0x2219, *range(0x25A0, 0x25B0), 0x25CB, 0x25CF, 0x25E6,
    *range(0x25C6, 0x25CB), *range(0x25D0, 0x25D7), 0x25D8, 0x25D9, *range(0x25E2, 0x25E6), 0x25EF,
    0x2611, 0x2612, 0x2B1B, 0x2B1C, 0x2B24, 0x2B1E, 0x2B1F, 0x29BE,
)  # fmt: skip
_BULLETS = tuple(map(chr, _BULLET_POINTS))
#: The first bytes of the bullets in UTF-8; those shared with quotes and dashes in full.
_BULLET_HINTS = frozenset(
    encoded if encoded.startswith(b"\xe2\x80") else encoded[:2]
    for encoded in map(str.encode, _BULLETS)
)
_CODE_NAMES = frozenset({"readme", "notes", "todo", "description", "cmakelists"})
_VISIBLE = re.compile(r"\S*")
#: A tag, or the rest of the line after a ``<`` that nothing closes.
_TAG = re.compile(r"<[^>\n]*+(>?)")


def frac_chars_curly_bracket(source: Source) -> float:
    """Share of ``{`` and ``}`` among all characters, 0-1; 0 if empty."""
    brackets = source.data.count(b"{") + source.data.count(b"}")
    return share(brackets, len(source.raw)) or 0.0


def frac_words_redpajama_stop(source: Source) -> float | None:
    """Share of raw words that are stop words of the language (case matters), 0-1; 0 without words;
    None for a language without a list."""
    if not stop_words(source.natural_language):
        return None
    return share(_prose(source).stop, _prose(source).words) or 0.0


def num_sentences(source: Source) -> float:
    """Number of runs from the edge of a word to the next full stop, exclamation or question mark
    (Latin, Chinese, Arabic), or to the end; >= 0."""
    return float(_prose(source).sentences)


def frac_words_full_bracket(source: Source) -> float | None:
    """Share of raw words that are one ``【`` or ``】``, 0-1; None without words."""
    return share(_prose(source).full_brackets, _prose(source).words)


def frac_lines_end_with_readmore(source: Source) -> float | None:
    """Share of lines that end with dots or words for "read more", closing brackets apart, 0-1; None
    without lines."""
    present = tuple(phrase for phrase in _READ_MORE if phrase in source.raw)
    number = 0
    if present:
        number = sum(line.rstrip().rstrip(_CLOSING).endswith(present) for line in source.lines)
    return share(number, source.num_lines)


def frac_lines_start_with_bullet(source: Source) -> float | None:
    """Share of lines that start with a bullet character (not ``-`` or ``*``), 0-1; None without
    lines."""
    number = 0
    if not source.ascii and any(hint in source.data for hint in _BULLET_HINTS):
        number = sum(line.lstrip().startswith(_BULLETS) for line in source.lines)
    return share(number, source.num_lines)


def entropy_unigram(source: Source) -> float | None:
    """Entropy of the normalised words in nats, >= 0; None without words."""
    statistics = word_statistics(source)
    return round(statistics.entropy, 8) if statistics.words else None


def frac_words_all_caps(source: Source) -> float | None:
    """Share of raw words in capitals (``str.isupper``), 0-1; None without words."""
    return share(_prose(source).capitals, _prose(source).words)


def frac_lines_dupe_lines(source: Source) -> float | None:
    """Share of stripped non-blank lines that occur more than once, 0-1; None without such lines."""
    counts = _stripped_lines(source)
    return share(counts.repeated, counts.lines)


def frac_chars_dupe_lines(source: Source) -> float | None:
    """The same share weighted by the length of the lines, 0-1; None if there are none."""
    counts = _stripped_lines(source)
    return share(counts.repeated_chars, counts.chars)


def cate_code_related_file_name(source: Source) -> float:
    """1 if the file name up to the first dot is that of a file about code (readme, notes, todo,
    description, cmakelists, or with "requirement" in it), in any case, else 0."""
    name = source.filename.split(".", 1)[0].lower()
    return float("requirement" in name or name in _CODE_NAMES)


def num_chars_sentence_length_mean(source: Source) -> float:
    """Mean code points of the pieces between ``.``, ``?``, ``!`` and line breaks, empty ones
    counted, >= 0."""
    ends = sum(map(source.data.count, (b".", b"?", b"!", b"\n")))
    return round((len(source.raw) - ends) / (ends + 1), 8)


def frac_chars_hyperlink_html_tag(source: Source) -> float | None:
    """Characters in links in parentheses and in ``<...>`` within a line, in relation to all
    characters, >= 0, above 1 where they overlap; None if empty."""
    return share(_chars_in_links(source.raw) + _chars_in_tags(source.raw), len(source.raw))


def frac_chars_alphabet(source: Source) -> float | None:
    """Share of letters (``str.isalpha``) among visible characters, 0-1; 0 if nothing is visible,
    else None in a language other than English."""
    visible = shared.num_visible(source)
    if not visible:
        return 0.0
    if source.natural_language != "en":
        return None
    return round(shared.characters(source).letters / visible, 8)


def frac_chars_hex_words(source: Source) -> float | None:
    """Share of characters in hexadecimal numbers ``0x...``, 0-1; None if empty."""
    return share(chars_in_hex_numbers(source.data, source.ascii), len(source.raw))


def _prose(source: Source) -> ProseCounts:
    def compute() -> ProseCounts:
        counts = count_prose(source.data, source.ascii, source.natural_language)
        if source.natural_language != "zh":
            return counts
        words = source.raw_words
        return ProseCounts(
            words=len(words),
            stop=0,
            capitals=sum(map(str.isupper, words)),
            full_brackets=words.count("【") + words.count("】"),
            sentences=counts.sentences,
        )

    return source.memo("prose", compute)


def _stripped_lines(source: Source) -> StrippedLineCounts:
    return source.memo(
        "stripped_lines",
        lambda: count_stripped_lines(source.data, source.ascii, *source.seeds),
    )


def _chars_in_links(text: str) -> int:
    """Characters of ``(http://...)`` and ``(https://...)``, each up to the last closing parenthesis
    before white space."""
    total = 0
    at = text.find("(http")
    while at >= 0:
        start = next((at + len(p) for p in ("(http://", "(https://") if text.startswith(p, at)), -1)
        after = at + 1
        if start >= 0:
            match = _VISIBLE.match(text, start)
            assert match is not None
            after = match.end()
            end = text.rfind(")", start + 1, after)
            if end >= 0:
                total += end + 1 - at
        at = text.find("(http", after)
    return total


def _chars_in_tags(text: str) -> int:
    """Characters of the shortest ``<...>`` within lines."""
    if ">" not in text:
        return 0
    return sum(match.end() - match.start() for match in _TAG.finditer(text) if match[1])


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        f"qsc_doc_{name}": signal
        for name, signal in {
            "frac_chars_curly_bracket": frac_chars_curly_bracket,
            "frac_words_redpajama_stop": frac_words_redpajama_stop,
            "num_sentences": num_sentences,
            "num_words": shared.num_words,
            "num_chars": shared.num_chars,
            "num_lines": shared.num_lines,
            "mean_word_length": shared.mean_word_length,
            "frac_words_full_bracket": frac_words_full_bracket,
            "frac_lines_end_with_readmore": frac_lines_end_with_readmore,
            "frac_lines_start_with_bullet": frac_lines_start_with_bullet,
            "frac_words_unique": shared.frac_words_unique,
            "entropy_unigram": entropy_unigram,
            "frac_words_all_caps": frac_words_all_caps,
            "frac_lines_dupe_lines": frac_lines_dupe_lines,
            "frac_chars_dupe_lines": frac_chars_dupe_lines,
            **shared.TOP,
            **shared.DUPED,
            "frac_chars_replacement_symbols": shared.frac_chars_replacement_symbols,
            "cate_code_related_file_name": cate_code_related_file_name,
            "num_chars_sentence_length_mean": num_chars_sentence_length_mean,
            "frac_chars_hyperlink_html_tag": frac_chars_hyperlink_html_tag,
            "frac_chars_alphabet": frac_chars_alphabet,
            "frac_chars_digital": shared.frac_chars_digital,
            "frac_chars_whitespace": shared.frac_chars_whitespace,
            "frac_chars_hex_words": frac_chars_hex_words,
        }.items()
    }
)
