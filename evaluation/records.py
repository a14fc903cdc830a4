"""Append-only JSON lines that survive `kill -9`: every finished piece of work is one line.

A line is written and flushed at once; a torn last line (the process died while writing) is cut off
on the next opening, anything else malformed is an error. Keys decide what is already done.
"""

from __future__ import annotations

import gzip
import json
import os
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def json_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and text of each line that is not blank; the file may be gzipped or begin with a BOM.

    Raises ValueError naming the file when it is no UTF-8 text.
    """
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else data).decode("utf-8-sig")
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: expected JSON lines in UTF-8 ({error})") from error
    return ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())


class RecordFile:
    """Rows by key in one file. `key_fields` name the columns that identify a piece of work."""

    def __init__(self, path: Path, key_fields: tuple[str, ...]) -> None:
        self.path = path
        self.key_fields = key_fields
        self._rows: dict[tuple[Any, ...], Row] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            self._load()

    def get(self, **key: Any) -> Row | None:
        """The finished row with this key, None when the work is still to do."""
        return self._rows.get(tuple(key[name] for name in self.key_fields))

    def append(self, rows: Iterable[Row]) -> None:
        """Add rows in one write and force it to disk; a key that is already there is skipped."""
        lines = []
        for row in rows:
            key = tuple(row[name] for name in self.key_fields)
            if key not in self._rows:
                self._rows[key] = row
                lines.append(json.dumps(row, sort_keys=True) + "\n")
        if not lines:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())

    def _load(self) -> None:
        data = self.path.read_bytes()
        end = data.rfind(b"\n") + 1
        if end < len(data):
            with self.path.open("r+b") as file:
                file.truncate(end)
        for number, line in enumerate(data[:end].splitlines(), start=1):
            try:
                row = json.loads(line)
                key = tuple(row[name] for name in self.key_fields)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{self.path} line {number}: expected a JSON object with the keys "
                    f"{', '.join(self.key_fields)}, found {line[:80]!r} ({error}); "
                    "move the file away to start afresh"
                ) from error
            self._rows[key] = row
