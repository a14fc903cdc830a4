"""The tokenizer: byte-level BPE learned from the corpus, in Hugging Face form.

Bytes: each of the 256 has a token and text is not normalised, so anything round-trips.
Digits: each stands alone (numbers are not memorised in chunks).
White space: a run of blanks is one piece, a line break is joined with the indentation after it, and
a single blank goes with the word after it; so indentation costs a token, not one a space.
Special tokens: end of text, padding, and the two of the chat format (ChatML). Text never becomes
one: a crawled `<|im_end|>` is spelt out in ordinary tokens.
Paper: section 3.1 (vocabulary 96,640); the rest of the training of the tokenizer is not described.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training.config import ConfigError, TokenizerConfig
from training.documents import file_digest
from training.sampling import TextSample, sample_text

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

END_OF_TEXT = "<|endoftext|>"
PAD = "<|pad|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, PAD, IM_START, IM_END)

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

# Pieces that merges may not cross: one leading blank with a word, a run of signs with its line
# break, line breaks with the indentation that follows, other blanks.
_SPLIT = r"[^\r\n\p{L}\p{N}]?[\p{L}_]+|\p{N}| ?[^\s\p{L}\p{N}]+|[\r\n]+[ \t]*(?=\s)|\s+(?!\S)|\s+"


_MEASURED_BYTES = 200_000  # of each language, for the report


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the special tokens of a tokenizer."""

    end_of_text: int
    pad: int
    im_start: int
    im_end: int


def train_tokenizer(config: TokenizerConfig) -> dict[str, Any]:
    """Learn the tokenizer of `config`, write its folder and `report.json`, return the report.

    For each language the report has what there was, what was learnt from, and bytes per token of
    documents that were not learnt from (of those learnt from where there are no others).
    """
    sample = sample_text(
        config.documents,
        max_bytes=config.max_bytes,
        exponent=config.language_exponent,
        measure_bytes_per_language=_MEASURED_BYTES,
    )
    texts = (document.content for document in sample.learning())
    tokenizer, reserved = learn_bpe(texts, config.vocab_size)
    config.out.mkdir(parents=True, exist_ok=True)
    report_file = config.out / "report.json"
    report_file.unlink(missing_ok=True)
    write_tokenizer(tokenizer, config.out)
    report: dict[str, Any] = {
        "vocab_size": tokenizer.get_vocab_size(),
        "reserved_tokens": reserved,
        "language_exponent": config.language_exponent,
        **_report(tokenizer, sample),
        "digest": tokenizer_digest(config.out),
    }
    report_file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def _report(tokenizer: Tokenizer, sample: TextSample) -> dict[str, Any]:
    """Bytes per token by language; of all, weighted by the bytes learnt from."""
    measured: dict[str, tuple[int, int]] = {}
    for document in sample.measuring():
        size_bytes, tokens = measured.get(document.language, (0, 0))
        ids = tokenizer.encode(document.content, add_special_tokens=False).ids
        size_bytes += len(document.content.encode("utf-8"))
        measured[document.language] = (size_bytes, tokens + len(ids))
    languages: dict[str, Any] = {}
    all_tokens = 0.0
    for language, item in sample.languages.items():
        size_bytes, tokens = measured.get(language, (0, 0))
        languages[language] = {
            "available_bytes": item.available_bytes,
            "bytes": item.budget_bytes,
            "documents": len(item.learn),
            "bytes_per_token": _ratio(size_bytes, tokens),
            "measured_bytes": size_bytes,
            "measured_on": "unseen documents" if item.unseen else "documents learnt from",
        }
        all_tokens += item.budget_bytes * tokens / max(1, size_bytes)
    text_bytes = sum(item.budget_bytes for item in sample.languages.values())
    return {
        "documents": sum(len(item.learn) for item in sample.languages.values()),
        "bytes": text_bytes,
        "bytes_per_token": _ratio(text_bytes, all_tokens),
        "languages": languages,
    }


def learn_bpe(texts: Iterable[str], vocab_size: int) -> tuple[Tokenizer, int]:
    """A byte-level BPE of exactly `vocab_size` entries, and how many of them are only reserved.

    A text too small to fill the vocabulary leaves entries `<|reserved_0|>`, ... so that the size
    stays the multiple of 128 that was asked for.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=2,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer=trainer)
    reserved = vocab_size - tokenizer.get_vocab_size()
    if reserved > 0:
        log.warning("the text fills %d of %d entries", vocab_size - reserved, vocab_size)
        tokenizer.add_special_tokens(
            [AddedToken(f"<|reserved_{n}|>", special=True) for n in range(reserved)]
        )
    tokenizer.encode_special_tokens = True
    return tokenizer, reserved


def write_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that transformers' PreTrainedTokenizerFast and AutoTokenizer read."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    tokenizer_config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_TEXT,
        "eos_token": END_OF_TEXT,
        "pad_token": PAD,
        "extra_special_tokens": [IM_START, IM_END],
        "clean_up_tokenization_spaces": False,
        "padding_side": "right",
        "model_max_length": 1_000_000_000,
    }
    text = json.dumps(tokenizer_config, indent=2) + "\n"
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer of a folder, set so that text is never read as a special token."""
    from tokenizers import Tokenizer

    file = folder / "tokenizer.json"
    if not file.is_file():
        raise ConfigError(f"{folder}: expected a tokenizer folder with tokenizer.json, found none")
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises nothing narrower
        raise ConfigError(f"{file}: expected a tokenizer, found: {error}") from error
    tokenizer.encode_special_tokens = True
    special_ids(tokenizer, folder)
    return tokenizer


def special_ids(tokenizer: Tokenizer, folder: Path) -> SpecialIds:
    """Ids of the four special tokens; ConfigError when the tokenizer lacks one."""
    vocabulary: dict[str, int] = tokenizer.get_vocab(with_added_tokens=True)
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise ConfigError(
            f"{folder}: expected the special tokens {', '.join(SPECIAL_TOKENS)}; "
            f"missing {', '.join(missing)}. Train it with `python -m training tokenizer`"
        )
    return SpecialIds(*(vocabulary[token] for token in SPECIAL_TOKENS))


def tokenizer_digest(folder: Path) -> str:
    """sha-256 of tokenizer.json: what ties shards and models to their tokenizer."""
    return file_digest(folder / "tokenizer.json")


def _ratio(text_bytes: int, tokens: float) -> float | None:
    return round(text_bytes / tokens, 4) if tokens else None
