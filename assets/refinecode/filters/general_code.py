"""General code signals: 33 numbers of any code or data file (paper appendix A, table 11).

Words, lines and characters of the whole file say whether it is text that people wrote; strings,
repeated lines and encoded data of its code part say whether it is logic or data. Everything that is
counted per character is counted by one-pass kernels over UTF-8. Fractions are rounded to 8 digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from assets.refinecode.filters import encoded, shared, strings
from assets.refinecode.filters.characters import classes_for
from assets.refinecode.filters.shared import share
from assets.refinecode.filters.source import Signal, Source

_GENERATED = ("generate", "autogen", "do not edit")
_PROMPTS = (b"your code here", b"fixme", b"todo")
#: A line of a string with more words is long, and so is a word with more characters.
_MOST_WORDS = 20
_LONG_WORD = 20
#: Encoded data: one run of more characters than this, or more than half of the file.
_LONG_RUN = 1024


def size_file_byte(source: Source) -> float | None:
    """Size of the file in bytes, >= 0; None where not given."""
    return None if source.size_bytes is None else float(source.size_bytes)


def num_chars_line_max(source: Source) -> float:
    """Code points of the longest line, line break included, >= 0; 0 if empty."""
    return float(shared.characters(source).longest_line)


def num_chars_line_mean(source: Source) -> float:
    """Mean code points of a line, line break included, >= 0; 0 if empty."""
    return share(len(source.raw), source.num_lines) or 0.0


def frac_chars_alphabet(source: Source) -> float:
    """Share of letters (``str.isalpha``) among visible characters, 0-1; 0 if nothing is visible."""
    visible = shared.num_visible(source)
    return round(shared.characters(source).letters / visible, 8) if visible else 0.0


def frac_chars_comments(source: Source) -> float | None:
    """Characters of comments (Python: and of docstrings) in relation to the file, >= 0; None if
    empty."""
    if not source.raw:
        return None
    if source.program == "python":
        from assets.refinecode.filters.python import comment_text

        return share(len(comment_text(source)), len(source.raw))
    return share(len(source.comments), len(source.raw))


def cate_xml_start(source: Source) -> float:
    """1 if an XML declaration stands in the first 100 characters, else 0."""
    return float("<?xml version=" in source.raw[:100])


def frac_lines_dupe_lines(source: Source) -> float | None:
    """Share of lines of code that occur more than once, white space apart, 0-1; lines of one
    character and ``},`` count as unique. None without lines of code."""
    counts = source.code_line_counts
    return share(counts.repeated, counts.lines)


def cate_autogen(source: Source) -> float:
    """1 if the first 200 characters say that the file is generated, else 0."""
    head = source.raw[:200].lower()
    return float(any(phrase in head for phrase in _GENERATED))


def frac_lines_long_string(source: Source) -> float | None:
    """Lines of strings with more than 20 words or runs of signs, in relation to the lines of code,
    >= 0; None without lines of code. Any string may span lines."""
    if not source.num_code_lines:
        return None
    data = source.code_data
    starts, ends = strings.quoted(data, across_lines=True)
    if source.natural_language == "zh":
        pieces = (
            line
            for start, end in zip(starts, ends, strict=True)
            for line in data[start:end].decode("utf-8", "surrogatepass").split("\n")
        )
        # The shortest line with so many words has a character for each.
        number = sum(
            len(source.tokenize(line)) > _MOST_WORDS for line in pieces if len(line) > _MOST_WORDS
        )
    else:
        raw = np.frombuffer(data, np.uint8)
        number = strings.long_pieces(raw, starts, ends, classes_for(source.ascii), _MOST_WORDS)
    return share(number, source.num_code_lines)


def frac_chars_string_length(source: Source) -> float | None:
    """Share of the code that is in strings, 0-1; None without code. Only strings in triple quotes
    may span lines."""
    return share(_string_lengths(source)[0], len(source.code))


def frac_chars_long_word_length(source: Source) -> float | None:
    """Share of the code that is in words of strings, longer than 20 characters and without a URL,
    0-1; None without code."""
    return share(_string_lengths(source)[1], len(source.code))


def _string_lengths(source: Source) -> tuple[int, int]:
    def compute() -> tuple[int, int]:
        data = source.code_data
        starts, ends = strings.quoted(data, across_lines=False)
        raw = np.frombuffer(data, np.uint8)
        return strings.string_lengths(raw, starts, ends, classes_for(source.ascii), _LONG_WORD)

    return source.memo("string_lengths", compute)


def frac_lines_string_concat(source: Source) -> float | None:
    """Share of lines of code that assign a concatenation of two literal strings, 0-1; None without
    lines of code."""
    if not source.num_code_lines:
        return None
    return share(strings.lines_with_concatenation(source.code), source.num_code_lines)


def cate_encoded_data(source: Source) -> float:
    """1 if a run of base64, hex pairs or ``\\u`` escapes has more than 1024 characters, or all
    together more than half of the file; else 0."""
    longest, total = encoded.encoded_runs(source.data, source.ascii)
    return float(longest > _LONG_RUN or total > 0.5 * len(source.raw))


def frac_chars_hex_words(source: Source) -> float | None:
    """Share of the code that is in hexadecimal numbers, 0-1; None without code."""
    return share(encoded.chars_in_hex_numbers(source.code_data, source.ascii), len(source.code))


def frac_lines_prompt_comments(source: Source) -> float | None:
    """Lines of comments that ask for work (TODO, FIXME, your code here; also inside a word), in
    relation to all lines of the file, 0-1; None if empty."""
    if not source.num_lines:
        return None
    text = source.comments.encode("utf-8", "surrogatepass").lower()
    lines = set().union(*(_lines_with(text, prompt) for prompt in _PROMPTS))
    return share(len(lines), source.num_lines)


def frac_lines_assert(source: Source) -> float | None:
    """Share of lines of code with ``assert`` in any case, also inside a word, 0-1; None without
    lines of code."""
    if not source.num_code_lines:
        return None
    number = len(_lines_with(source.code_data.lower(), b"assert"))
    return share(number, source.num_code_lines)


def _lines_with(text: bytes, phrase: bytes) -> set[int]:
    """Where the lines with this phrase end."""
    ends = set()
    at = text.find(phrase)
    while at >= 0:
        at = text.find(b"\n", at)
        ends.add(at)
        at = text.find(phrase, at) if at >= 0 else -1
    return ends


SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        f"qsc_code_{name}": signal
        for name, signal in {
            "num_words": shared.num_words,
            "num_chars": shared.num_chars,
            "mean_word_length": shared.mean_word_length,
            "frac_words_unique": shared.frac_words_unique,
            **shared.TOP,
            **shared.DUPED,
            "frac_chars_replacement_symbols": shared.frac_chars_replacement_symbols,
            "frac_chars_digital": shared.frac_chars_digital,
            "frac_chars_whitespace": shared.frac_chars_whitespace,
            "size_file_byte": size_file_byte,
            "num_lines": shared.num_lines,
            "num_chars_line_max": num_chars_line_max,
            "num_chars_line_mean": num_chars_line_mean,
            "frac_chars_alphabet": frac_chars_alphabet,
            "frac_chars_comments": frac_chars_comments,
            "cate_xml_start": cate_xml_start,
            "frac_lines_dupe_lines": frac_lines_dupe_lines,
            "cate_autogen": cate_autogen,
            "frac_lines_long_string": frac_lines_long_string,
            "frac_chars_string_length": frac_chars_string_length,
            "frac_chars_long_word_length": frac_chars_long_word_length,
            "frac_lines_string_concat": frac_lines_string_concat,
            "cate_encoded_data": cate_encoded_data,
            "frac_chars_hex_words": frac_chars_hex_words,
            "frac_lines_prompt_comments": frac_lines_prompt_comments,
            "frac_lines_assert": frac_lines_assert,
        }.items()
    }
)
