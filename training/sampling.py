"""The text that a tokenizer learns from: a byte budget for each language.

Budgets follow the composition of the documents: a language's share is its bytes to the power of
`exponent` (1: as in the corpus; below 1: small languages get more than their share). What a
language does not have goes to the others. Documents come by the hash of their doc_id until the
budget is reached; the last one is cut, so budgets are met to the character.
Paper: none (the training of its tokenizer is not described).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from training.config import ConfigError
from training.documents import Document, FirstByHash, has_column, iter_rows

_UNKNOWN = "unknown"


@dataclass(frozen=True)
class LanguageSample:
    """The share of one language: bytes there are, bytes to learn from, and of which documents.

    `learn` and `measure` map a doc_id to the bytes taken of it. Measured are documents that are not
    learnt from (`unseen`), or those learnt from where there are no others.
    """

    available_bytes: int
    budget_bytes: int
    learn: dict[str, int]
    measure: dict[str, int]
    unseen: bool


@dataclass(frozen=True)
class TextSample:
    """The sample by language. Documents are read again when asked for, never held."""

    path: Path
    languages: dict[str, LanguageSample]

    def learning(self) -> Iterator[Document]:
        """What to learn from, by doc_id."""
        sizes = {key: size for item in self.languages.values() for key, size in item.learn.items()}
        yield from _cut(self.path, sizes)

    def measuring(self) -> Iterator[Document]:
        """What to measure on, by doc_id."""
        items = self.languages.values()
        yield from _cut(self.path, {key: size for i in items for key, size in i.measure.items()})


def sample_text(
    path: Path, *, max_bytes: int, exponent: float, measure_bytes_per_language: int
) -> TextSample:
    """Plan the sample of a parquet folder (columns doc_id, content and, if there, language).

    Memory follows `max_bytes` and the number of languages. ConfigError when there is no text.
    """
    # No document counts for more, so the one that crosses the budget leaves enough to measure on.
    most = measure_bytes_per_language
    sizes: dict[str, int] = defaultdict(int)
    first: dict[str, FirstByHash[tuple[str, int]]] = defaultdict(
        lambda: FirstByHash(max_bytes + 2 * most)
    )
    for document in _documents(path):
        size_bytes = len(document.content.encode("utf-8"))
        sizes[document.language] += size_bytes
        key = document.doc_id, size_bytes
        first[document.language].add(document.doc_id, min(size_bytes, most), key)
    available = dict(sorted(sizes.items()))
    if not any(available.values()):
        raise ConfigError(f"{path}: expected at least one document with text, found none")
    languages: dict[str, LanguageSample] = {}
    for language, budget in plan_budgets(available, max_bytes, exponent).items():
        ordered = list(first[language])
        learn = _take(ordered, budget)
        measure = _take(ordered[len(learn) :], most)
        languages[language] = LanguageSample(
            available_bytes=available[language],
            budget_bytes=budget,
            learn=learn,
            measure=measure or _take(ordered, most),
            unseen=bool(measure),
        )
    return TextSample(path, languages)


def plan_budgets(available: Mapping[str, int], total: int, exponent: float) -> dict[str, int]:
    """Bytes of each language, at most what it has and together at most `total`.

    >>> plan_budgets({"a": 900, "b": 100}, 100, 1.0)
    {'a': 90, 'b': 10}
    >>> plan_budgets({"a": 900, "b": 100}, 100, 0.5)
    {'a': 75, 'b': 25}
    """
    weights = {name: float(size) ** exponent for name, size in available.items() if size}
    budgets = {name: 0 for name in available}
    left = total
    while weights:
        scale = left / sum(weights.values())
        full = [name for name, weight in weights.items() if weight * scale >= available[name]]
        if not full:
            return budgets | {name: int(weight * scale) for name, weight in weights.items()}
        for name in full:
            budgets[name] = available[name]
            left -= available[name]
            del weights[name]
    return budgets


def _take(keys: list[tuple[str, int]], budget: int) -> dict[str, int]:
    taken: dict[str, int] = {}
    for doc_id, size_bytes in keys:
        if budget <= 0:
            break
        taken[doc_id] = min(size_bytes, budget)
        budget -= size_bytes
    return taken


def _cut(path: Path, sizes: Mapping[str, int]) -> Iterator[Document]:
    for document in _documents(path):
        size_bytes = sizes.get(document.doc_id)
        if size_bytes is not None:
            text = document.content.encode("utf-8")[:size_bytes].decode("utf-8", errors="ignore")
            yield Document(document.doc_id, text, document.language)


def _documents(path: Path) -> Iterator[Document]:
    named = has_column(path, "language")
    columns = ["doc_id", "content", "language"] if named else ["doc_id", "content"]
    for row in iter_rows(path, columns):
        yield Document(row[0], row[1], row[2] if named else _UNKNOWN)
