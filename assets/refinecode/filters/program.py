"""What a file is, before anything is measured: language, document type, natural language.

The two rule sets read a file name differently. ``opencoder`` splits it first and looks at the name
without its extension, as the released example does, so that ``CMakeLists.txt`` is text and a rule
on ``_test.go`` never meets its file; ``cookbook`` looks at the whole name. Which natural language
a text is in is told from the scripts of its characters (paper 2.1.1; its classifier is not
published).
"""

from __future__ import annotations

import os.path
import re
from dataclasses import dataclass

from assets.languages import detect, detect_split
from assets.refinecode.filters.rules import RuleSetName

_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")
_KANA = re.compile(r"[\u3040-\u30ff]")


@dataclass(frozen=True)
class FileKind:
    """``filename`` is the base name (``opencoder``: without its extension); ``extension`` comes
    without the dot; ``program`` is a lower-case linguist name or ``unknown``."""

    filename: str
    extension: str
    program: str
    doc_type: str


def file_kind(path: str, rules: RuleSetName = "cookbook") -> FileKind:
    """What the rule set makes of a path (``/`` between folders).

    >>> file_kind("src/CMakeLists.txt").program, file_kind("CMakeLists.txt", "opencoder").program
    ('cmake', 'text')
    """
    name = path.rsplit("/", 1)[-1]
    if rules == "opencoder":
        stem, extension = os.path.splitext(name)  # noqa: PTH122 (pathlib splits "a." otherwise)
        found = detect_split(stem, extension[1:])
        return FileKind(stem, extension[1:], found.language, found.doc_type)
    found = detect(name)
    extension = name.rsplit(".", 1)[1] if "." in name else ""
    return FileKind(name, extension, found.language, found.doc_type)


def natural_language(content: str) -> str:
    """``ja`` where over 10 % of the visible characters are kana, else ``zh`` where over 15 % are
    Han, else ``en``."""
    if content.isascii():
        return "en"
    visible = sum(map(len, content.split()))
    beyond_ascii = len(content) - len(content.encode("ascii", "ignore"))
    if beyond_ascii <= 0.10 * visible:
        return "en"
    if len(_KANA.findall(content)) > 0.10 * visible:
        return "ja"
    return "zh" if len(_HAN.findall(content)) > 0.15 * visible else "en"
