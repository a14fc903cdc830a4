"""The README stays true: its commands, settings, recipes and picture are those of the code."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from assets.recipe import parse_recipe, recipe_files

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"make ([a-z][a-z-]+)", README)):
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_picture_shows_exactly_the_assets() -> None:
    from orchestration.definitions import defs

    picture = re.search(r"```mermaid\n(.*?)```", README, re.S)
    assert picture is not None
    words = set(re.findall(r"\b[a-z]+_[a-z0-9_]+\b|\breport\b|\bfunnel\b|\btokenizer\b|"
                           r"\bcomposition\b|\bscoreboard\b|\bvendoring\b",
                           picture.group(1)))  # fmt: skip
    assert words == {spec.key.to_user_string() for spec in defs.resolve_all_asset_specs()}


def test_settings_table_is_the_codes() -> None:
    documented = set(re.findall(r"`((?:COOKBOOK|MLFLOW)_[A-Z_]+)`", README))
    modules = ("settings.py", "recipe.py", "sandbox.py")
    readers = "".join((ROOT / "assets" / module).read_text() for module in modules)
    assert {name for name in documented if name not in readers} == set()


def test_named_recipes_exist_and_the_example_is_valid() -> None:
    for name in ("starter", "tiny", "single-gpu", "opencoder-1.5b", "opencoder-8b"):
        assert f"`{name}`" in README and name in recipe_files()
    example = re.search(r"```yaml\n(name: ours.*?)```", README, re.S)
    assert example is not None
    parse_recipe(yaml.safe_load(example.group(1)), "README")


@pytest.mark.parametrize("module", ["training", "evaluation", "orchestration.cli"])
def test_help_of_every_command_line(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0 and len(done.stdout) > 200


@pytest.mark.usefixtures("git_here")
def test_repository_names_no_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, cwd=ROOT)
    for name in listed.stdout.split():
        path = ROOT / name
        if path.is_file() and path.suffix in (".py", ".md", ".yaml", ".yml", ".toml", ".txt", ""):
            text = path.read_text(errors="ignore")
            assert str(ROOT) not in text or len(str(ROOT)) < 4, name
