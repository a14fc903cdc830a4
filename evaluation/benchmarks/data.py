"""Find benchmark files: a local folder, a package that ships them, or the hub; always hash-checked.

A file's hash is of its uncompressed text, so a plain and a gzipped copy are the same data. The hub
keeps the same rows as parquet: there the hash is of the rows' content (`rows_digest`). A missing or
different file is an error that says what is expected and how to get it, never a smaller benchmark.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import io
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.benchmarks.base import UnavailableError

SETTING = "COOKBOOK_BENCHMARKS"
_OFFLINE = "HF_HUB_OFFLINE"
_CONVERTED = "refs/convert/parquet"  # where the hub keeps every data set as parquet

Row = dict[str, Any]


@dataclass(frozen=True)
class Hub:
    """The same rows on the hub: data set, configuration, splits in the order of the file.

    fields: the columns that count (the hub's copy may have more). digest: `rows_digest` of them.
    """

    dataset: str
    fields: tuple[str, ...]
    digest: str
    config: str = "default"
    splits: tuple[str, ...] = ("test",)


@dataclass(frozen=True)
class DataFile:
    """A benchmark's data: file name (without .gz), sha256 of its text, how to get it.

    sha256: "" for a set that goes on growing and has no one version. package: import name of a
    package that ships the file, with the path inside it. hub: the same rows there.
    """

    name: str
    sha256: str
    how_to_get: str
    package: str = ""
    package_path: str = ""
    hub: Hub | None = None

    def locate(self) -> Path | None:
        """The file's place on this machine, None when it is nowhere."""
        candidates = []
        if setting := os.environ.get(SETTING):
            candidates += [Path(setting) / self.name, Path(setting) / f"{self.name}.gz"]
        spec = importlib.util.find_spec(self.package) if self.package else None
        if spec is not None and spec.origin:
            candidates.append(Path(spec.origin).parent / self.package_path)
        return next((path for path in candidates if path.is_file()), None)

    def source(self) -> str | None:
        """Where the rows would come from: the folder or package, else the hub, else None."""
        if (path := self.locate()) is not None:
            return str(path)
        if self.hub is not None and os.environ.get(_OFFLINE, "0") in ("", "0"):
            return f"the hub, {self.hub.dataset}"
        return None

    def missing(self) -> str | None:
        """Why it cannot be read here; None when it can, if need be by a download from the hub."""
        if self.source() is not None:
            return None
        return f"{self.name} not found; {self.how_to_get}, or set {SETTING} to a folder that has it"

    def rows(self) -> list[Row]:
        """All rows. Raises UnavailableError when missing, ValueError on a wrong hash."""
        path = self.locate()
        if path is None:
            if self.hub is None or self.source() is None:
                raise UnavailableError(str(self.missing()))
            return _hub_rows(self.hub, self)
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        if self.sha256 and digest != self.sha256:
            raise ValueError(
                f"{path}: expected sha256 {self.sha256} of the uncompressed text, found {digest}; "
                f"this is another version of {self.name}: remove it and {self.how_to_get}"
            )
        text = data.decode()
        if self.name.endswith(".csv"):
            return list(csv.DictReader(io.StringIO(text)))
        return [json.loads(line) for line in text.split("\n") if line.strip()]


def rows_digest(rows: Iterable[Row], fields: Sequence[str]) -> str:
    """sha256 over the named columns of all rows, in order, whatever file they came in."""
    total = hashlib.sha256()
    for row in rows:
        text = json.dumps([row[name] for name in fields], ensure_ascii=False, sort_keys=True)
        total.update(text.encode("utf-8", "surrogatepass") + b"\n")
    return total.hexdigest()


def _hub_rows(hub: Hub, file: DataFile) -> list[Row]:
    import pyarrow.parquet as parquet
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    rows: list[Row] = []
    for split in hub.splits:
        try:
            path = hf_hub_download(
                hub.dataset,
                f"{hub.config}/{split}/0000.parquet",
                repo_type="dataset",
                revision=_CONVERTED,
            )
        except (OSError, ValueError, HfHubHTTPError) as error:
            raise UnavailableError(
                f"{file.name} is not on this machine and {hub.dataset} cannot be read from the hub "
                f"({type(error).__name__}); {file.how_to_get}, or set {SETTING} to a folder that "
                "has it"
            ) from error
        rows += parquet.ParquetFile(path).read().to_pylist()
    if absent := [field for field in hub.fields if rows and field not in rows[0]]:
        raise ValueError(f"{hub.dataset} on the hub: expected the columns {absent}")
    digest = rows_digest(rows, hub.fields)
    if digest != hub.digest:
        raise ValueError(
            f"{hub.dataset} ({hub.config}) on the hub: expected rows with sha256 {hub.digest}, "
            f"found {digest}; the data set changed there: put {file.name} into a folder and set "
            f"{SETTING} to it"
        )
    return rows
