"""Which signals a file has: those of text, or those of all code and of its language.

The modules of signals are imported when the first file that needs them comes, so that a worker
which sees C alone never loads a parser of JavaScript. Order is the order of computing (appendix A).
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType

from assets.refinecode.filters.rules import LANGUAGES
from assets.refinecode.filters.source import Signal

_MODULES = {language: language for language in LANGUAGES} | {"c": "c_family", "cpp": "c_family"}


@functools.cache
def signals_of(program: str, doc_type: str) -> Mapping[str, Signal]:
    """Signals by full name; none for documents that are neither text, code nor data."""
    if doc_type == "text":
        return _group("natural_language")
    if doc_type not in ("code", "data"):
        return MappingProxyType({})
    signals = dict(_group("general_code"))
    if program in _MODULES:
        own = f"qsc_code{program}_"
        module = _group(_MODULES[program])
        signals |= {name: signal for name, signal in module.items() if name.startswith(own)}
    return MappingProxyType(signals)


@functools.cache
def _group(module: str) -> Mapping[str, Signal]:
    signals: Mapping[str, Signal] = importlib.import_module(
        f"assets.refinecode.filters.{module}"
    ).SIGNALS
    return signals
