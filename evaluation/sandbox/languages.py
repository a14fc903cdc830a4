"""Languages that programs may be written in: how to compile and run one, and which are present.

Names are those of MultiPL-E. A toolchain is looked for on PATH and bound, read-only, into the file
view at its own place; a compiler kept in a home folder (as rustup does) is found behind its proxy.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from evaluation.sandbox import view
from evaluation.sandbox.proofs import HEX

_ALTERNATIVES = Path("/etc/alternatives")  # where Debian's /usr/bin/java and the like point to
_PROBE_SECONDS = 60
_SMALL_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_TESTIFY = """package main
import ("testing"; "github.com/stretchr/testify/assert")
func TestNothing(t *testing.T) { assert.True(t, true) }
"""
_GROOVY = "/usr/share/groovy/lib/*"


@dataclass(frozen=True)
class Language:
    """How programs of one language become processes.

    file: name of the source. tools: programs needed; each may stand in `compile` and `run` as
    {name}. compile: makes files beside the source; run: starts the program. check: a command that
    must succeed for the toolchain to count as present, with what to do otherwise in `hint`.
    address_space: whether a limit on it makes sense (not for runtimes that reserve gigabytes).
    environment: variables that compiler and program need beyond the sandbox's own.
    warm_up: a program that uses the libraries which take long to compile; what the compiler keeps
    of them in hidden folders is there when others are compiled.
    """

    name: str
    file: str
    tools: tuple[str, ...]
    run: tuple[str, ...]
    compile: tuple[str, ...] = ()
    version: tuple[str, ...] = ("--version",)
    check: tuple[str, ...] = ()
    hint: str = ""
    address_space: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)
    warm_up: str = ""


LANGUAGES: dict[str, Language] = {
    language.name: language
    for language in (
        Language(
            "awk",
            "program.awk",
            ("awk",),
            ("{awk}", "-f", "program.awk"),
            version=("-W", "version"),
        ),
        Language(
            "c",
            "program.c",
            ("gcc",),
            ("./program",),
            ("{gcc}", "-std=c17", "-O1", "-o", "program", "program.c", "-lm"),
        ),
        Language(
            "coffeescript",
            "program.coffee",
            ("coffee", "node"),
            ("{node}", "program.js"),
            ("{coffee}", "--compile", "--bare", "program.coffee"),
            address_space=False,
        ),
        Language(
            "common_lisp",
            "program.lisp",
            ("sbcl",),
            ("{sbcl}", "--script", "program.lisp"),
            address_space=False,
        ),
        Language(
            "cpp",
            "program.cpp",
            ("g++",),
            ("./program",),
            ("{g++}", "-std=c++17", "-O1", "-o", "program", "program.cpp"),
        ),
        Language(
            "cs",
            "program.cs",
            ("mcs", "mono"),
            ("{mono}", "program.exe"),
            ("{mcs}", "-d:DEBUG", "-r:System.Numerics.dll", "-out:program.exe", "program.cs"),
            address_space=False,
        ),
        Language(
            "d",
            "program.d",
            ("gdc",),
            ("./program", "--DRT-testmode=run-main"),  # main as well as the unit tests
            ("{gdc}", "-O1", "-funittest", "-o", "program", "program.d"),
        ),
        Language(
            "elixir",
            "program.exs",
            ("elixir",),
            ("{elixir}", "program.exs"),
            version=("--short-version",),
            address_space=False,
        ),
        Language(
            "emacs_lisp",
            "program.el",
            ("emacs",),
            ("{emacs}", "--batch", "--quick", "--load", "program.el"),
            address_space=False,
        ),
        Language(
            "erlang",
            "problem.erl",
            ("erlc", "erl"),
            ("{erl}", "-noshell", "-s", "problem", f"held_{HEX}", "-s", "init", "stop"),
            ("{erlc}", "problem.erl"),
            version=(),
            address_space=False,
        ),
        Language(
            "fortran",
            "program.f90",
            ("gfortran",),
            ("./program",),
            ("{gfortran}", "-ffree-line-length-none", "-O1", "-o", "program", "program.f90"),
        ),
        Language(
            "go",
            "program_test.go",
            ("go",),
            ("./program",),
            ("{go}", "test", "-c", "-o", "program", "program_test.go"),
            version=("version",),
            address_space=False,
            environment={
                "GO111MODULE": "off",
                "GOPATH": "/usr/share/gocode",  # where Debian puts libraries
                "GOFLAGS": "-vet=off",
                "CGO_ENABLED": "0",
            },
            warm_up=_TESTIFY,
        ),
        Language(
            "groovy",
            "program.groovy",
            ("java", "groovy"),
            # its own script wants JAVA_HOME
            ("{java}", *_SMALL_JVM, "-cp", _GROOVY, "groovy.ui.GroovyMain", "program.groovy"),
            version=(),
            check=("{java}", "-cp", _GROOVY, "groovy.ui.GroovyMain", "--version"),
            hint=f"its libraries are not where Debian puts them ({_GROOVY})",
            address_space=False,
        ),
        Language(
            "haskell",
            "program.hs",
            ("ghc",),
            ("./program",),
            ("{ghc}", "-O0", "-o", "program", "program.hs"),
            address_space=False,
        ),
        Language(
            "java",
            "Problem.java",
            ("javac", "java"),
            ("{java}", "-ea", *_SMALL_JVM, "-cp", ".", "Problem"),
            (
                "{javac}",
                *(f"-J{option}" for option in _SMALL_JVM),
                "-encoding",
                "utf8",
                "Problem.java",
            ),
            version=("-version",),
            address_space=False,
        ),
        Language("js", "program.js", ("node",), ("{node}", "program.js"), address_space=False),
        Language("lua", "program.lua", ("lua5.4",), ("{lua5.4}", "program.lua"), version=("-v",)),
        Language(
            "pascal",
            "program.pas",
            ("fpc",),
            ("./program",),
            ("{fpc}", "-Mobjfpc", "-Sh", "-O1", "-oprogram", "program.pas"),
            version=("-iV",),
        ),
        Language(
            "php",
            "program.php",
            ("php",),
            ("{php}", "-d", "zend.assertions=1", "-d", "assert.exception=1", "program.php"),
        ),
        Language(
            "pl",
            "program.pl",
            ("perl",),
            ("{perl}", "program.pl"),
            check=("{perl}", "-MTest::Deep", "-e", "1"),
            hint="install Test::Deep (libtest-deep-perl)",
        ),
        Language("py", "program.py", ("python3",), ("{python3}", "program.py")),
        Language("r", "program.r", ("Rscript",), ("{Rscript}", "program.r"), address_space=False),
        Language("rb", "program.rb", ("ruby",), ("{ruby}", "program.rb")),
        Language(
            "rkt", "program.rkt", ("racket",), ("{racket}", "program.rkt"), address_space=False
        ),
        Language(
            "rs",
            "program.rs",
            ("rustc",),
            ("./program",),
            (
                "{rustc}",
                "--edition",
                "2021",
                "-A",
                "warnings",
                "-C",
                "opt-level=1",
                "-o",
                "program",
                "program.rs",
            ),
        ),
        Language(
            "scala",
            "program.scala",
            ("scalac", "scala"),
            ("{scala}", "-cp", ".", "Problem"),
            ("{scalac}", "-encoding", "utf8", "program.scala"),
            version=("-version",),
            address_space=False,
            environment={"JAVA_OPTS": " ".join(_SMALL_JVM)},
        ),
        Language(
            "scheme", "program.rkt", ("racket",), ("{racket}", "program.rkt"), address_space=False
        ),
        Language("sh", "program.sh", ("bash",), ("{bash}", "program.sh")),
        Language("tcl", "program.tcl", ("tclsh",), ("{tclsh}", "program.tcl"), version=()),
        Language(
            "ts",
            "program.ts",
            ("tsc", "node"),
            ("{node}", "program.js"),
            ("{node}", "{tsc}", "--target", "esnext", "--module", "commonjs", "program.ts"),
            address_space=False,
        ),
    )
}


@dataclass(frozen=True)
class Toolchain:
    """A language's tools here, or why there are none (`missing`, else "")."""

    language: Language
    tools: Mapping[str, str]
    version: str = ""
    missing: str = ""

    def command(self, words: tuple[str, ...]) -> list[str]:
        """A command with the tools' paths filled in."""
        return [self.tools.get(word.strip("{}"), word) if "{" in word else word for word in words]


@cache
def toolchain(name: str) -> Toolchain:
    """The toolchain of a language. Raises ValueError for an unknown one."""
    if name not in LANGUAGES:
        raise ValueError(f"language {name!r}: expected one of {', '.join(LANGUAGES)}")
    language = LANGUAGES[name]
    tools = {}
    for tool in language.tools:
        path = view.interpreter() if tool == "python3" else shutil.which(tool)
        if path is None:
            return Toolchain(language, {}, missing=f"{tool} is not installed")
        tools[tool] = _behind_proxy(path)
    found = Toolchain(language, tools)
    if language.check and _told(found.command(language.check)) is None:
        return Toolchain(language, {}, missing=language.hint)
    version = ""
    if language.version:
        version = _told([tools[language.tools[0]], *language.version]) or ""
    return Toolchain(language, tools, version=version.strip().partition("\n")[0])


def toolchains() -> dict[str, Toolchain]:
    """Every known language with what is found of it here."""
    return {name: toolchain(name) for name in LANGUAGES}


def needed_folders() -> list[Path]:
    """Places beyond the system's own that toolchains live in, and settings they read."""
    folders = [path for path in (_ALTERNATIVES, *Path("/etc").glob("java-*")) if path.is_dir()]
    settings = [Path("/etc") / name for name in ("mono", "php", "R", "racket", "groovy")]
    settings += [Path("/var/lib/ghc"), *Path("/etc").glob("fpc*.cfg")]
    folders += [path for path in settings if path.exists()]
    for name in LANGUAGES:
        for path in toolchain(name).tools.values():
            real = Path(os.path.realpath(path))
            folders.append(_package_root(real))
    return folders


def _package_root(path: Path) -> Path:
    """The folder that holds a tool's bin folder, where that is its own (rustup, npm, SDKs)."""
    for folder in path.parents:  # npm packages come with others beside them
        if folder.name == "node_modules":
            return folder
    if path.parent.name == "bin" and path.parents[1] not in (Path("/"), Path("/usr")):
        return path.parents[1]
    return path.parent


def _behind_proxy(path: str) -> str:
    """rustup's rustc is a proxy that wants its home folder: take the compiler it would start."""
    if Path(path).name == "rustc" and (root := _told([path, "--print", "sysroot"])):
        return f"{root.strip()}/bin/rustc"
    if Path(path).name == "tsc":
        return os.path.realpath(path)  # a script of node's
    return path


def _told(command: list[str]) -> str | None:
    """What a trusted tool prints, None when it fails."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.decode("utf-8", "replace")
