"""Load a model to be scored: a Hugging Face folder, or a GGUF file that is converted once.

A model is known by the digest of its files, never by its path, so that caches and scores move
between machines. Weights are read from safetensors only; a GGUF is dequantised into such a folder
in the cache, keyed by its hash, because reading it anew takes half a minute.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_log = logging.getLogger(__name__)
_MODEL_FILES = ("*.json", "*.safetensors", "*.model", "*.jinja", "merges.txt", "vocab.txt")
_NOT_MODEL = {"trainer_state.json", "training_args.json", "manifest.json"}


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to score.

    model, tokenizer: transformers objects. digest: sha-256 of the model's files. name: what tables
    show. device: a torch device. context_length: tokens the model can attend to.
    """

    model: Any
    tokenizer: Any
    digest: str
    name: str
    device: Any
    context_length: int


def load_model(
    path: Path | str,
    *,
    name: str | None = None,
    device: str | None = None,
    cache: Path | None = None,
) -> LoadedModel:
    """Load a Hugging Face folder, a .gguf file, a folder that holds one, or an id on the hub.

    device: default CUDA when there is one, else CPU. dtype: bfloat16 on CUDA, float32 on CPU.
    cache: where converted GGUF files go (default: cache/models below COOKBOOK_HOME).
    Raises FileNotFoundError or ValueError saying what was expected at the path.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    chosen = _device(device)
    path = local_folder(Path(path))
    folder, digest = _as_folder(path, cache)
    dtype = torch.bfloat16 if chosen.type == "cuda" else torch.float32
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=dtype
    )
    model.to(chosen).eval()
    return LoadedModel(
        model=model,
        tokenizer=tokenizer,
        digest=digest,
        name=name or path.stem if path.suffix == ".gguf" else name or path.resolve().name,
        device=chosen,
        context_length=int(getattr(model.config, "max_position_embeddings", 0) or 2048),
    )


def _device(name: str | None) -> Any:
    """The torch device of that name; ValueError when nothing can be put on it."""
    import torch

    chosen = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.zeros(1, device=chosen).tolist()
    except (AssertionError, NotImplementedError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:120]
        raise ValueError(
            f"device: expected one that torch can use here, such as cpu, found {chosen}: {reason}"
        ) from error
    return torch.device(chosen)


def local_folder(path: Path) -> Path:
    """The path itself if it exists, else the folder of the hub model `owner/name`, downloaded.

    Raises FileNotFoundError when neither is there.
    """
    if path.exists():
        return path
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        raise FileNotFoundError(
            f"no model at {path}: expected a model folder, a .gguf file, an id on the hub "
            "(owner/name), or the http address of an endpoint"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(str(path), allow_patterns=[*_MODEL_FILES, "*.gguf"]))
    except (OSError, ValueError) as error:
        raise FileNotFoundError(
            f"no model at {path}, and the hub has none of that name or cannot be reached "
            f"({type(error).__name__})"
        ) from error


def model_digest(folder: Path) -> str:
    """sha-256 over names and contents of the files that make up a Hugging Face model folder."""
    files = {path for pattern in _MODEL_FILES for path in folder.glob(pattern)}
    total = hashlib.sha256()
    for path in sorted(files):
        if path.name not in _NOT_MODEL:
            total.update(f"{path.name} {_file_digest(path)}\n".encode())
    return total.hexdigest()


def _as_folder(path: Path, cache: Path | None) -> tuple[Path, str]:
    if path.is_dir() and (path / "config.json").is_file():
        return path, model_digest(path)
    if path.is_file() and path.suffix == ".gguf":
        return _converted(path, cache)
    found = sorted(path.glob("*.gguf")) if path.is_dir() else []
    if len(found) == 1:
        return _converted(found[0], cache)
    raise ValueError(
        f"{path} is no model: expected config.json with *.safetensors beside it, or exactly one "
        f".gguf file; found {len(found)} .gguf files and no config.json"
    )


def _converted(file: Path, cache: Path | None) -> tuple[Path, str]:
    digest = _file_digest(file)
    home = Path(os.environ.get("COOKBOOK_HOME", ".cookbook"))
    cache = cache or home / "cache" / "models"
    target = cache / f"gguf-{digest[:16]}"
    if (target / "config.json").is_file():
        return target, digest
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _log.info("converting %s to safetensors (once)", file.name)
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=".converting-", dir=cache))
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
        quantised = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name)
        # the loaded object stays marked as quantised and refuses to be saved: a plain one does not
        config = type(quantised.config).from_dict(
            {k: v for k, v in quantised.config.to_dict().items() if k != "quantization_config"}
        )
        model = AutoModelForCausalLM.from_config(config, dtype=quantised.dtype)
        model.load_state_dict(quantised.state_dict())
        tokenizer.save_pretrained(unfinished)
        model.save_pretrained(unfinished)
        if not target.exists():  # another process may have been faster: both made the same
            unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target, digest


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
