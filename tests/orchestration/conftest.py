"""A small crawl of real code: git checkouts made from packages of the running environment."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

#: Package, sub-folder or None: real Python with doctests, of two projects and the standard library.
PACKAGES = {"more_itertools": None, "networkx": "algorithms/approximation", "email": None}

MINI = {
    "name": "mini",
    "description": "the whole graph on a few packages, trainings of seconds",
    "crawl": {"source": {"folder": "CODE"}, "heldout_repositories": ["email"]},
    "dedup": {"permutations": 128, "bands": 16, "rows": 8},
    "sample": {"total_bytes": 400_000},
    "tokenizer": {"vocab_size": 512, "max_bytes": 200_000},
    "model": {
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 64,
        "tie_word_embeddings": True,
    },
    "pretrain": {"steps": 60, "context_length": 256, "batch_size": 4, "micro_batch_size": 4,
                 "lr": 0.003, "warmup_steps": 2, "checkpoint_every_steps": 5},
    "anneal": {"steps": 5, "lr_end": 0.0001},
    "sft": {
        "stage1": {"epochs": 1, "lr": 0.001, "batch_size": 8, "micro_batch_size": 8,
                   "warmup_steps": 1, "max_length": 256, "max_examples": 24},
        "stage2": {"epochs": 1, "lr": 0.001, "batch_size": 8, "micro_batch_size": 8,
                   "warmup_steps": 1, "max_length": 256, "max_examples": 16},
    },
    "evaluation": {"heldout_bytes": 20_000, "limit": 3, "max_new_tokens": 16},
}  # fmt: skip


@dataclass
class Workplace:
    """A checkout's worth of state for real commands."""

    root: Path
    home: Path
    environment: dict[str, str] = field(default_factory=dict)
    #: The manifests that were complete when a job was killed.
    killed: dict[str, str] = field(default_factory=dict)

    def start(self, *command: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command], env=self.environment, text=True, cwd=self.root,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def run(self, *command: str, timeout: int = 1500) -> str:
        process = self.start(*command)
        output, _ = process.communicate(timeout=timeout)
        assert process.returncode == 0, output[-6000:]
        return output

    def cookbook(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "orchestration.cli", *arguments)

    def enter(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """This process works on the same state, too."""
        for name, value in self.environment.items():
            if name.startswith(("COOKBOOK_", "DAGSTER_")):
                monkeypatch.setenv(name, value)

    def manifests(self) -> dict[str, str]:
        """Every complete artifact of the lake: address to manifest text."""
        return {
            str(path.parent.relative_to(self.home / "lake")): path.read_text()
            for path in sorted((self.home / "lake").glob("*/*/manifest.json"))
            if not path.parent.name.startswith(".")
        }


def make_workplace(root: Path, home: Path) -> Workplace:
    checkout = Path(__file__).resolve().parents[2]
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("COOKBOOK_", "DAGSTER_"))},
        "COOKBOOK_HOME": str(home),
        "DAGSTER_HOME": str(home / "dagster"),
        "DAGSTER_MODULE_NAME": "orchestration.definitions",
        "COOKBOOK_RECIPES": str(root / "recipes"),
        "COOKBOOK_STUDIES": str(root / "studies"),
        "PYTHONPATH": str(checkout),
        "OMP_NUM_THREADS": "1",  # models this small lose more to waiting threads than they gain
    }
    return Workplace(root, home, environment)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory, git_here: None) -> Workplace:
    import importlib.util

    root = tmp_path_factory.mktemp("workplace")
    code = root / "code"
    for name, inside in PACKAGES.items():
        spec = importlib.util.find_spec(name)
        assert spec is not None and spec.origin is not None, f"{name} is not installed"
        source = Path(spec.origin).parent / (inside or "")
        shutil.copytree(source, code / name, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        git = ["git", "-C", str(code / name), "-c", "user.name=t", "-c", "user.email=t@localhost"]
        dates = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE":
                 "2026-01-01T00:00:00Z"}  # fmt: skip
        for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "code"]):
            subprocess.run([*git, *command], check=True, env={**os.environ, **dates})
    # a near-duplicate and a fork of a file, for the deduplication to find
    recipes = (code / "more_itertools" / "recipes.py").read_text()
    (code / "networkx" / "copied.py").write_text(recipes)
    (code / "networkx" / "edited.py").write_text(recipes.replace("grouper", "chunker", 2))
    subprocess.run(["git", "-C", str(code / "networkx"), "add", "."], check=True)
    (root / "recipes").mkdir()
    (root / "studies").mkdir()
    tree = yaml.safe_load(yaml.safe_dump(MINI))
    tree["crawl"]["source"]["folder"] = str(code)
    (root / "recipes" / "mini.yaml").write_text(yaml.safe_dump(tree))
    return make_workplace(root, tmp_path_factory.mktemp("home"))
