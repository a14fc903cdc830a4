"""For every toolchain present: right solutions pass, wrong and forging ones do not.

Tests have the shape of MultiPL-E's: they go on where the solution stops, and end the program with a
failure at the first wrong value. Toolchains that need long run under `-m slow`.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from evaluation.sandbox import Command, LanguageTest, Limits, Sandbox
from evaluation.sandbox.instrument import instrument
from evaluation.sandbox.languages import LANGUAGES, toolchain, toolchains
from evaluation.sandbox.proofs import HEX
from tests.evaluation.sandbox.language_cases import CASES, SLOW

LIMITS = Limits(cpu_seconds=10, memory_bytes=1024**3)


@pytest.mark.parametrize(
    "language",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in CASES],
)
def test_verdicts_of_a_language(language: str, sandbox: Sandbox) -> None:
    case = CASES[language]
    language = language.partition("-")[0]
    if missing := toolchain(language).missing:
        pytest.skip(f"{language}: {missing}")

    def run(source: str) -> tuple[bool, str, str]:
        outcome = sandbox.run(LanguageTest(language, source, case.test, limits=LIMITS))
        assert outcome.grade == "in-process"
        return outcome.passed, outcome.status, outcome.error

    for source in (case.head + case.right, *case.right_too):
        assert run(source) == (True, "ok", ""), source
    passed, status, _ = run(case.head + case.wrong)
    assert not passed
    assert status in ("wrong", "killed")
    assert not run(case.head + case.crash)[0]
    passed, status, _ = run(case.head.replace("largest", "").replace("Largest", "") + "]] )) $%&")
    assert not passed
    for forgery in case.forgeries:
        passed, status, error = run(forgery)
        assert not passed, forgery
        assert status != "compile_error", error


def test_input_output_and_files_reach_a_command(sandbox: Sandbox) -> None:
    source = "read a b\necho $((a + b)) $1 $(cat data.txt)\nexit 3\n"
    job = Command("sh", source, stdin="3 4\n", arguments=["x"], files={"data.txt": "told"})
    outcome = sandbox.run(job)
    assert outcome.stdout == "7 x told\n"
    assert (outcome.status, outcome.exit_code) == ("error", 3)
    with pytest.raises(ValueError, match="inside the working folder"):
        sandbox.run(Command("sh", "", files={"../x": ""}))


def test_a_program_is_compiled_once(sandbox: Sandbox) -> None:
    if missing := toolchain("c").missing:
        pytest.skip(missing)
    source = "#include <stdio.h>\nint main(void) { puts(__TIME__); fflush(stdout); return 0; }\n"
    assert sandbox.run(Command("c", source)).stdout.count(":") == 2
    broken = sandbox.run(Command("c", "int main("))
    assert broken.status == "compile_error"
    assert "error" in broken.error
    from evaluation.sandbox import commands

    before = len(commands._CACHE._found)
    assert sandbox.run(Command("c", source, stdin="x")).status == "ok"
    assert len(commands._CACHE._found) == before


def test_compilers_read_nothing_of_the_host(sandbox: Sandbox) -> None:
    if missing := toolchain("c").missing:
        pytest.skip(missing)
    source = '#include "/etc/passwd"\nint main(void) { return 0; }\n'
    outcome = sandbox.run(Command("c", source))
    assert outcome.status == "compile_error"
    assert "No such file" in outcome.error


def test_greedy_commands_are_stopped(sandbox: Sandbox) -> None:
    quick = Limits(cpu_seconds=1, memory_bytes=128 * 1024**2)
    loop = sandbox.run(Command("sh", "while :; do :; done", limits=quick))
    assert loop.status == "timeout"
    flood = sandbox.run(Command("sh", "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done"))
    assert flood.status == "output_limit"


def test_an_attribute_at_a_programs_end_takes_no_test_away(sandbox: Sandbox) -> None:
    if missing := toolchain("rs").missing:
        pytest.skip(missing)
    test = CASES["rs-module"].test.removeprefix("}\n")
    wrong = "fn largest(v: Vec<i32>) -> i32 { 0 }\n"
    forged = f"{wrong}mod tests {{ pub fn test_largest() {{}} }}\n#[cfg(any())]\n"
    for source in (wrong, forged):
        assert not sandbox.run(LanguageTest("rs", source, test, limits=LIMITS)).passed


def test_a_condition_at_a_programs_end_takes_no_test_away(sandbox: Sandbox) -> None:
    if missing := toolchain("d").missing:
        pytest.skip(missing)
    forged = "int largest(int[] v) { return 0; }\nstatic if (false)\n"
    assert not sandbox.run(LanguageTest("d", forged, CASES["d"].test, limits=LIMITS)).passed


def test_an_app_of_scalas_with_a_main_is_started(sandbox: Sandbox) -> None:
    program = instrument(
        "scala",
        "object Problem extends App {\n  def f(): Int = 1\n",
        "def main(args: Array[String]): Unit = {\n  assert(f() == 1)\n}\n}",
    )
    assert "App" not in program
    assert "assert(" not in program


def test_names_of_the_proofs_differ_between_processes() -> None:
    told = subprocess.run(
        [sys.executable, "-c", "from evaluation.sandbox.proofs import HEX; print(HEX)"],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    assert told.stdout.strip() not in ("", HEX)


def test_unknown_languages_and_tests_without_an_end_are_refused() -> None:
    with pytest.raises(ValueError, match="expected one of"):
        toolchain("klingon")
    with pytest.raises(ValueError, match="int main"):
        instrument("cpp", "int f() {", "}\n")
    with pytest.raises(ValueError, match="tests inside the program"):
        instrument("awk", "", "")
    assert set(toolchains()) == set(LANGUAGES)
    # what an answer lacks is for the compiler to say
    assert "TestMain" in instrument("go", "func f() {}", "func TestF(t *testing.T) {\n}\n")
