"""From a file's name to its program language and its document type.

The maps of the paper's data pipeline: file name first, then the text after the last dot with its
case kept, else ``unknown``; the language then decides the document type. They are rebuilt from
github-linguist's ``languages.yml`` (package PyGitLinguist) plus the differences listed in
``languages.yaml``. No content is looked at, so ``.h`` is always C and ``.m`` always Limbo, as in
the paper (section 2.1.1, preprocessing).
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

import yaml

DocType = Literal["code", "data", "text", "excluded", "unknown"]

UNKNOWN = "unknown"
_DIFFERENCES = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Detection:
    """Language (lower-case linguist name, ``cpp``, ``csharp``, ``unknown``) and document type."""

    language: str
    doc_type: DocType


@dataclass(frozen=True)
class LanguageMaps:
    """The four maps. ``doc_types`` also holds languages that no file name leads to."""

    extensions: Mapping[str, str]
    filenames: Mapping[str, str]
    doc_types: Mapping[str, DocType]
    excluded: frozenset[str]


def detect(path: str) -> Detection:
    """Language and document type of a file, from its path alone.

    >>> detect("src/kernel.h")
    Detection(language='c', doc_type='code')
    """
    name = path.rsplit("/", 1)[-1]
    return detect_split(name, name.rsplit(".", 1)[1] if "." in name else "")


def detect_split(name: str, extension: str) -> Detection:
    """The same for a name and an extension (without its dot) that were split before."""
    maps = language_maps()
    language = maps.filenames.get(name)
    if language is None and extension:
        language = maps.extensions.get(extension)
    return _typed(UNKNOWN if language is None else language)


@functools.cache
def _typed(language: str) -> Detection:
    maps = language_maps()
    if language in maps.excluded:
        return Detection(language, "excluded")
    return Detection(language, maps.doc_types.get(language, "unknown"))


@functools.cache
def language_maps() -> LanguageMaps:
    """The maps, read once a process. Raises ``LookupError`` if PyGitLinguist is not installed."""
    changes = _read_yaml(_DIFFERENCES)
    linguist: dict[str, dict[str, Any]] = _read_yaml(_linguist_file())
    programs = {name: changes["renames"].get(name.lower(), name.lower()) for name in linguist}

    extensions = dict(_first_wins(linguist, programs, "extensions"))
    extensions |= {key: program for program, keys in changes["extensions"].items() for key in keys}
    for key in changes["dropped_extensions"]:
        del extensions[key]

    filenames = dict(_first_wins(linguist, programs, "filenames"))
    filenames |= {key: program for program, keys in changes["filenames"].items() for key in keys}

    doc_types = {
        programs[name]: changes["types"][facts["type"]] for name, facts in linguist.items()
    }
    for program in changes["untyped"]:
        del doc_types[program]
    doc_types |= {p: kind for kind, names in changes["doc_types"].items() for p in names}
    return LanguageMaps(
        MappingProxyType(extensions),
        MappingProxyType(filenames),
        MappingProxyType(cast("dict[str, DocType]", doc_types)),
        frozenset(changes["excluded"]),
    )


def _first_wins(
    linguist: Mapping[str, Mapping[str, Any]], programs: Mapping[str, str], key: str
) -> Iterator[tuple[str, str]]:
    """(extension or file name, program); of the languages that claim one, the file's first."""
    seen: set[str] = set()
    for name, facts in linguist.items():
        for claimed in facts.get(key, ()):
            claimed = claimed.removeprefix(".") if key == "extensions" else claimed
            if claimed not in seen:
                seen.add(claimed)
                yield claimed, programs[name]


def _linguist_file() -> Path:
    """``languages.yml`` of PyGitLinguist, found without importing the package."""
    spec = importlib.util.find_spec("pygitlinguist")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "linguist" / "languages.yml"
        if path.is_file():
            return path
    raise LookupError(
        "the language map needs linguist/languages.yml of the package PyGitLinguist, which is not "
        "installed here; run the project's set-up again (it installs all pinned packages)"
    )


def _read_yaml(path: Path) -> dict[str, Any]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return cast("dict[str, Any]", yaml.load(path.read_text(encoding="utf-8"), Loader=loader))
