"""Find benchmark files: a local folder first, then a package that ships them; hash-checked.

The hash is of the uncompressed text, so a plain and a gzipped copy are the same data. A missing or
different file is an error that says what is expected and how to get it, never a smaller benchmark.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks.base import UnavailableError

SETTING = "COOKBOOK_BENCHMARKS"


@dataclass(frozen=True)
class DataFile:
    """A benchmark's data: file name (without .gz), sha256 of its text, how to get it.

    package: import name of a package that ships the file, with the path inside it.
    """

    name: str
    sha256: str
    how_to_get: str
    package: str = ""
    package_path: str = ""

    def locate(self) -> Path | None:
        """The file's place here, None when it is nowhere."""
        folders = []
        if setting := os.environ.get(SETTING):
            folders.append(Path(setting))
        candidates = [
            folder / name for folder in folders for name in (self.name, f"{self.name}.gz")
        ]
        spec = importlib.util.find_spec(self.package) if self.package else None
        if spec is not None and spec.origin:
            candidates.append(Path(spec.origin).parent / self.package_path)
        return next((path for path in candidates if path.is_file()), None)

    def missing(self) -> str | None:
        """Why it cannot be read here, None when it can."""
        if self.locate() is not None:
            return None
        return f"{self.name} not found; {self.how_to_get}, or set {SETTING} to a folder that has it"

    def rows(self) -> list[dict[str, Any]]:
        """All rows. Raises UnavailableError when missing, ValueError on a wrong hash."""
        path = self.locate()
        if path is None:
            raise UnavailableError(str(self.missing()))
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if digest != self.sha256:
            raise ValueError(
                f"{path}: expected sha256 {self.sha256} of the uncompressed text, found {digest}; "
                f"this is another version of {self.name}: remove it and {self.how_to_get}"
            )
        return [json.loads(line) for line in data.decode().splitlines() if line.strip()]
