"""What all benchmarks in many languages share."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.benchmarks import translated
from evaluation.benchmarks.generative import Task
from evaluation.benchmarks.go_files import go_imports, go_program
from evaluation.benchmarks.humaneval_x import HumanEvalX
from evaluation.benchmarks.multipl_e import BENCHMARKS as MULTIPL_E
from evaluation.benchmarks.translated import (
    fitted,
    lacking_library,
    lacking_toolchain,
    language_check,
)
from evaluation.generation import cut_at_stop
from evaluation.sandbox import LanguageTest, Limits, Sandbox
from evaluation.sandbox.languages import toolchain


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


@pytest.mark.slow
def test_java_programs_have_tuples(sandbox: Sandbox) -> None:
    if missing := toolchain("java").missing:
        pytest.skip(missing)
    prompt = (
        "import java.util.*;\nimport org.javatuples.*;\nclass Problem {\n"
        "    public static Pair<Long, Long> ends(ArrayList<Long> v) {\n"
    )
    tests = (
        "    }\n    public static void main(String[] args) {\n    assert(ends((new ArrayList<Long>("
        "Arrays.asList((long)3l, (long)9l)))).equals((Pair.with(3l, 9l))));\n    }\n\n}\n"
    )
    limits = Limits(cpu_seconds=10, memory_bytes=1024**3)
    bodies = ("return Pair.with(v.get(0), v.get(1));", "return new Pair<>(v.get(1), 3L);")
    jobs = [language_check("java", f"{prompt}{body}\n", tests, limits) for body in bodies]
    told = [sandbox.run(job) for job in jobs]
    assert [(one.passed, one.status) for one in told] == [(True, "ok"), (False, "wrong")]
    own = f"{prompt}return null;\n}}\nstatic class Pair<A, B> {{}}\nint x() {{\nreturn 1;\n"
    job = language_check("java", own, tests, limits)
    assert isinstance(job, LanguageTest) and "record" not in job.test


GO_SETUP = 'package main\n\nimport (\n    "testing"\n    "math"\n)\n'
GO_TEST = "func TestF(t *testing.T) { if math.Abs(F()) > 1 { t.Fail() } }\n"


@pytest.mark.parametrize(
    ("source", "offered", "expected"),
    [
        # what the tests import is not imported again
        ('import (\n"math" // for Pi\n)\n', "", {"math"}),
        # an import of the prompt that the program does not use; one that it uses without saying so
        ('import "sort"\n', 'import "sort"\n', {"math"}),
        ("// strings.Fields\n", "", {"math"}),
        ('func f() { _ = strings.Fields("") }\n', "", {"math", "strings"}),
        # an unused one of its own is its own mistake
        ('package main\nimport str "strings"\nimport "os"\n', "", {"math", 'str "strings"', "os"}),
        ("func f() { _ = rand.Intn(3) }\n", "", {"math", "math/rand"}),
    ],
)
def test_go_imports_are_merged(source: str, offered: str, expected: set[str]) -> None:
    program = go_program(GO_SETUP, offered, source + "func F() float64 { return 0 }\n", GO_TEST)
    found = go_imports(program)
    specs = {spec if " " in spec else f'"{spec}"' for spec in expected} | {'"testing"'}
    assert set(found) == specs and program.count("package main") == 1
    assert all(program.count(spec) == 1 for spec in specs)


def test_a_go_answer_keeps_the_imports_that_the_prompt_lacks() -> None:
    prompt = 'import (\n    "math"\n)\n\n// F is right.\nfunc F(n int) int {\n'
    answer = (
        'Here:\n```go\npackage main\n\nimport (\n    "math"\n    "sort"\n    "os"\n    "testing"\n'
        ")\n\nvar known = sort.SearchInts(nil, 3)\n\nfunc F(n int) int {\n    return known\n}\n\n"
        "func TestMine(t *testing.T) {\n}\n```\n"
    )
    raw, sanitised = fitted(prompt, answer, "go", ["\nfunc "], "func TestF() {}\n")
    assert go_imports(raw) == ['"math"', '"sort"', '"os"']  # imported in vain: its own mistake
    assert go_imports(sanitised) == ['"math"', '"sort"']
    for program in (raw, sanitised):
        assert "package" not in program and "TestMine" not in program and "testing" not in program
        assert program.index("import") < program.index("known") < program.index("func F")
        assert program.rstrip().endswith("return known\n}")


def test_a_base_model_that_goes_on_after_the_function_keeps_it_whole() -> None:
    benchmark = HumanEvalX("cpp")
    task = Task("CPP/0", "int one(){\n", {})
    text = cut_at_stop("    return 1;\n}\n\n// Two.\nint two(){\n    ret", benchmark.stops(task))
    assert benchmark.programs(task, text, chat=False)[0] == "int one(){\n    return 1;\n}\n"
    text = cut_at_stop("    return 1;\n}\n\nint main(){\n}\n", benchmark.stops(task))
    assert benchmark.programs(task, text, chat=False)[0] == "int one(){\n    return 1;\n}\n"


@pytest.mark.skipif(lacking_toolchain("cs") is not None, reason=str(lacking_toolchain("cs")))
def test_lists_in_csharp_are_compared_by_their_contents(sandbox: Sandbox) -> None:
    benchmark = next(one for one in MULTIPL_E if one.name == "multipl-e-cs")
    head = "using System.Collections.Generic;\nusing System.Diagnostics;\nclass Problem {\n"
    prompt = f"{head}    public static List<List<long>> Pair(long a) {{\n"
    tests = (
        "    }\n    public static void Main(string[] args) {\n"
        "    Debug.Assert(Pair(3L).Equals((new List<List<long>>(new List<long>[]{"
        "(List<long>)new List<long>(new long[]{(long)3L, (long)4L})}))));\n    }\n}\n"
    )
    task = Task("t", prompt, {"tests": tests, "stop": []})
    bodies = [
        f"return new List<List<long>> {{ new List<long> {{ {it} }} }};" for it in ("a, 4", "a")
    ]
    jobs = [job for body in bodies for job in benchmark.checks(task, prompt + body)]
    assert [outcome.passed for outcome in sandbox.map(jobs)] == [True, False]
