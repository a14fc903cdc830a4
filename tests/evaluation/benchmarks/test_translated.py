"""What all benchmarks in many languages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.benchmarks import translated
from evaluation.benchmarks.translated import lacking_library, language_check
from evaluation.sandbox import LanguageTest, Limits


def test_tasks_that_need_an_absent_library_say_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    there = ("cpp", "<boost/", str(tmp_path), "install it")
    absent = ("go", '"example.org/checks"', str(tmp_path / "none"), "install it")
    monkeypatch.setattr(translated, "_LIBRARIES", {"Boost": there, "checks": absent})
    assert lacking_library("cpp", "#include <boost/any.hpp>\n") is None
    assert lacking_library("go", 'import "example.org/checks"\n') == "needs checks: install it"
    assert lacking_library("cpp", 'import "example.org/checks"\n') is None
    assert lacking_library("go", 'import "fmt"\n') is None


@pytest.mark.parametrize("name", ["Solution", "Main", "Problem"])
def test_scala_starts_the_object_that_is_there(name: str) -> None:
    source, test = f"object {name} {{\n", f"assert({name}.f(1) == 2)\n}}\n"
    job = language_check("scala", source, test, Limits())
    assert isinstance(job, LanguageTest)
    assert (job.source, job.test) == ("object Problem {\n", "assert(Problem.f(1) == 2)\n}\n")
