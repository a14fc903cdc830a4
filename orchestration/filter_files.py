"""Judge files and folders by the filter rules, for people: what a rule would drop, and why.

Files are decoded as UTF-8, with U+FFFD where that fails, as a reader would see them. Folders are
walked in sorted order; version control folders and links are left out.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from assets.recipe import Select
from assets.refinecode.filters import FilterVerdict, evaluate
from assets.refinecode.filters.rules import RuleSetName

_VERSION_CONTROL = frozenset([".git", ".hg", ".svn"])
#: From this many files on, progress is shown (on a terminal).
_MANY_FILES = 50
#: Larger files never reach the filters of a recipe.
MAX_BYTES = Select().max_bytes

log = logging.getLogger("cookbook")


def filter_files(
    paths: Sequence[Path],
    *,
    rules: RuleSetName,
    output: str,
    show_kept: bool,
    write: Callable[[str], None],
) -> None:
    """Judge every file and write the result line by line.

    ``output`` is ``jsonl`` (one object a file: verdict, hits, all signals) or ``table`` (dropped
    files with the rules that fired; with ``show_kept`` the others too; then counts). A file that
    cannot be read, or is too large for any recipe, is logged and counted, and the others go on.
    """
    files = list(files_below(paths))
    verdicts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    rules_fired: Counter[str] = Counter()
    progress = tqdm(files, unit=" files", disable=True if len(files) < _MANY_FILES else None)
    for file in progress:
        try:
            size_bytes = file.stat().st_size
            data = file.read_bytes() if size_bytes <= MAX_BYTES else b""
        except OSError as error:
            log.warning("%s cannot be read: %s", file, error.strerror or error)
            verdicts["not judged"] += 1
            continue
        if size_bytes > MAX_BYTES:
            log.warning("%s is not judged: over %d bytes, selection drops it", file, MAX_BYTES)
            verdicts["not judged"] += 1
            continue
        text = data.decode("utf-8", "replace")
        verdict = evaluate(text, file.as_posix(), rules, size_bytes=len(data))
        said = "kept" if verdict.kept else "dropped"
        verdicts[said] += 1
        sizes[said] += len(data)
        rules_fired.update({hit.rule for hit in verdict.fired} or {verdict.reason} - {""})
        if output == "jsonl":
            write(json.dumps(_record(file, len(data), verdict)))
        elif show_kept or not verdict.kept:
            for line in _lines(file, verdict):
                write(line)
    if output == "table":
        for line in _totals(verdicts, sizes, rules_fired):
            write(line)


def files_below(paths: Iterable[Path]) -> Iterator[Path]:
    """The files given, and those in the folders given, sorted within each folder."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, below, names in os.walk(path):
            below[:] = sorted(set(below) - _VERSION_CONTROL)
            for name in sorted(names):
                file = Path(folder, name)
                if file.is_file() and not file.is_symlink():
                    yield file


def _record(file: Path, size_bytes: int, verdict: FilterVerdict) -> dict[str, object]:
    return {
        "path": file.as_posix(),
        "size_bytes": size_bytes,
        "program": verdict.program,
        "doc_type": verdict.doc_type,
        "natural_language": verdict.natural_language,
        "kept": verdict.kept,
        "reason": verdict.reason,
        "hits": [asdict(hit) for hit in verdict.hits],
        "signals": dict(verdict.signals),
        "errors": dict(verdict.errors),
    }


def _lines(file: Path, verdict: FilterVerdict) -> Iterator[str]:
    kind = f"{verdict.program}, {verdict.doc_type}"
    name = os.fsencode(file).decode("utf-8", "replace")
    yield f"{'kept   ' if verdict.kept else 'DROPPED'}  {name}  ({kind})"
    if verdict.doc_type in ("unknown", "excluded"):
        yield f"           doc_type  {verdict.doc_type}"
    for hit in verdict.hits:
        line = f"           {hit.rule}  {hit.value:g} {hit.comparison} {hit.threshold:g}"
        if hit.probability < 1:
            drawn = "drawn" if hit.fires else "not drawn"
            line += f"  (drops {hit.probability:.0%} of such files; {drawn})"
        yield line


def _totals(
    verdicts: Counter[str], sizes: Counter[str], rules_fired: Counter[str]
) -> Iterator[str]:
    yield ""
    for said in ("kept", "dropped"):
        yield f"{said:<10} {verdicts[said]:>8,} files  {sizes[said] / 1e6:>10,.1f} MB"
    if verdicts["not judged"]:
        yield f"{'not judged':<10} {verdicts['not judged']:>8,} files"
    if rules_fired:
        width = max(map(len, rules_fired))
        yield ""
        for rule, count in sorted(rules_fired.items(), key=lambda item: (-item[1], item[0])):
            yield f"{rule:<{width}} {count:>8,} files"
