"""JavaScript signals, and which language each rule set accepts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.javascript import SIGNALS, Script, parse
from assets.refinecode.filters.source import RuleSet, Source

LOADER = """'use strict';
// helpers
const fs = require('fs');
let count = 0, limit;
var add = function (a, b) { return a + b; };
const twice = (x) => x * 2;
function load(path) {
  if (!path) { return; }
  const text = fs.readFileSync(path, 'utf8');
  console.log('loaded', text.length);
  return text;
}
class Store { constructor() { this.items = []; } get size() { return this.items.length; } }
module.exports.load = load;
module.exports.run = function () { return load('a'); };
"""


def source_of(content: str, rules: RuleSet = "opencoder") -> Source:
    return Source(content, program="javascript", doc_type="code", rules=rules)


def measured(content: str, rules: RuleSet = "opencoder") -> dict[str, float | None]:
    source = source_of(content, rules)
    return {name.removeprefix("qsc_codejavascript_"): s(source) for name, s in SIGNALS.items()}


def script(content: str) -> Script:
    found = parse(source_of(content))
    assert found is not None
    return found


def accepted(content: str) -> tuple[bool, bool]:
    """By the published rules, by ours."""
    return (
        parse(source_of(content)) is not None,
        parse(source_of(content, "cookbook")) is not None,
    )


def test_known_file() -> None:
    assert measured(LOADER) == measured(LOADER, "cookbook")
    assert measured(LOADER) == {
        "cate_ast": 1.0,
        "cate_var_zero": 0.0,
        "frac_lines_func_ratio": 0.21428571,
        "num_statement_line": 0.64285714,
        "score_lines_no_logic": 0.64285714,
        "frac_words_legal_var_name": 1.0,
        "frac_words_legal_func_name": 1.0,
        "frac_words_legal_class_name": 1.0,
        "frac_lines_print": 0.07142857,
    }


def test_what_is_counted() -> None:
    assert script(LOADER) == Script(
        statements=9,
        imports=0,
        simple_variables=3,
        simple_returns=2,
        variables=("fs", "count", "limit", "twice", "text", "load"),
        functions=("add", "load", "run"),
        classes=("Store",),
    )


def test_a_shebang_line_is_an_error_of_the_published_rules_only() -> None:
    text = "#!/usr/bin/env node\n" + LOADER
    found = measured(text)
    assert found.pop("cate_ast") == 0.0
    assert found.pop("frac_lines_print") is not None
    assert set(found.values()) == {None}
    assert parse(source_of(text, "cookbook")) == script(LOADER)


@pytest.mark.parametrize(
    ("code", "variables", "functions", "plain"),
    [
        ("var a, b = 1", "a b", "", 2),
        ("var a = ((1))", "a", "", 1),
        ("var a = (function () {})", "", "a", 0),
        ("var a = /* why */ (/* so */ b)", "a", "", 1),
        ("var a = async function () {}, b = function* () {}", "", "a b", 0),
        ("var a = /x/, b = -c, d = typeof e, f = null, g = undefined", "a b d f g", "", 5),
        ("var a = `x`, b = this, c = d.e, f = g()", "a b c f", "", 0),
        ("var {a} = b, [c] = d", "", "", 0),
        ("for (var a in b); for (let c of d); for (const e of f);", "a c e", "", 3),
        ("for (var i = 0, n = a.length; ;) {}", "i n", "", 1),
        ("function f() {} function* g() {} async function h() {}", "", "f g h", 0),
        ("x = function named() {}", "", "", 0),
        ("module.exports.a = () => 1", "", "a", 0),
        ("module.exports.a = b", "a", "", 1),
        ("module.exports.a = b.c", "a", "", 0),
        ("module.exports = b; exports.a = b; module.exports.a.b = c", "", "", 0),
        ("while (n --> 0) {}", "", "", 0),
    ],
)
def test_declarations(code: str, variables: str, functions: str, plain: int) -> None:
    found = script(code)
    assert found.variables == tuple(variables.split())
    assert found.functions == tuple(functions.split())
    assert found.simple_variables == plain


def test_simple_returns() -> None:
    returns = ["", " 1", " a", " -1", " (a)", " !a", " 'b'", " /c/", ";", " /* d */"]
    others = [" a.b", " a()", " a + 1", " `a`", " this", " [1]", " (a, b)", " function () {}"]
    code = "".join(f"function f() {{ return{value}\n}}\n" for value in returns + others)
    assert script(code).simple_returns == len(returns)


def test_top_level_statements_imports_and_classes() -> None:
    code = (
        "// one\nimport a, {b} from 'c'; import 'd';\nexport default class E {};\n"
        "/* two */ export class F extends a {}\nf(class G {});"
    )
    found = script(code)
    assert (found.statements, found.imports, found.classes) == (6, 2, ("E", "F"))


@pytest.mark.parametrize(
    "code",
    ["<a b={c}>d</a>", "a?.b", "a ?? b", "a ||= b", "class A { x = 1 }", "class A { #x; }",
     "class A { static { } }", "10n", "0xFFn", "1_000", "try { } catch { }",
     "async function f() { for await (x of y); }", "async function* f() {}",
     "({ async *f() {} })", "export * as a from 'b'", "import a from 'b' with { type: 'json' }",
     "import.meta.url; export {}", "await a", "export default await a", "@a class B {}",
     "x = /(?<name>a)/u", "x = /[^]/", "'\u2028'", "`a\\u{1F600}`.b?.c", "x = { async }"],
)  # fmt: skip
def test_what_came_after_2017(code: str) -> None:
    assert accepted(code) == (False, True)


@pytest.mark.parametrize(
    "code",
    ["return 1", "function f() { break }", "for (;;) { function f() { continue } }",
     "switch (a) { case 1: continue }", "a: for (;;) { break b }", "a: { b; a: c }",
     "a: for (;;) { (function () { break a })() }", "function f() { yield 1 }",
     "function f() { await 1 }", "async function f() { () => await 1 }", "super.a",
     "new.target", "'use strict'; with (a) {}", "'use strict'; 010", "'use strict'; '\\01'",
     "'use strict'; delete a", "'use strict'; eval = 1", "'use strict'; arguments++",
     "'use strict'; var public", "class A { b() { with (c) {} } }", "export {}; 010",
     "function f() { 'use strict'; 010 }", "'use strict'; if (a) function f() {}",
     "'use strict'; function f(a, a) {}", "(a, a) => 1", "const a;", "var {a};", "try {}",
     "switch (a) { default: default: }", "({ get a(b) {} })", "({ set a() {} })",
     "({ __proto__: a, '__proto__': b })", "a()++", "(a + b) = 1", "-a++ = 1", "'\\8'", "`\\1`",
     "for (a of b, c);", "if (a) let b = 1", "export default [1].map(f)", "import('a', 'b')",
     "function f() { import 'a' }", "throw\na", "export {}\n<!-- a", "x = /(/", "x = /a**/",
     "var enum = 1", "label: function* g() {}"],
)  # fmt: skip
def test_errors_that_are_no_syntax(code: str) -> None:
    assert not accepted(code)[0]


@pytest.mark.parametrize(
    "code",
    ["", ";", "// a", "<!-- a\nb\n--> c", "010", "'\\01'", "with (a) {}", "function f(a, a) {}",
     "delete a", "var public, static", "var await", "a: for (;;) { break a }",
     "a: { break a }", "a: b; a: c", "switch (a) { case 1: break }",
     "function* f() { yield 1; yield* a }", "async function f() { await 1 }",
     "async () => { await 1 }", "async function f() { g({ m() { await 1 } }) }",
     "({ get a() {}, set a(b) {}, *c() {}, async d() {}, [e]: 1, f, ...g })",
     "function f() { return; new.target }", "class A extends B { constructor() { super() } }",
     "(a) = 1; ({ b } = c); [d, ...e] = f", "x = /[/]\\/(?:a|b){2,3}?$/gimuy",
     "`a ${b} \\n \\0 ${`c`}`", "import a from 'b'; export * from 'c'; export { d as default }",
     "import('a').then(b)", "export default async () => {}", "a ** b", "while (a --> 0);",
     "var a\r\n//x\rvar b", "\ufeffa", "({ async, a }); ({ async: 1 }); ({ async() {} })",
     "async ({ a = 1 }) => a", "const {a, ...b} = c", "0b11 + 0o17 + 0xFF + 1e3 + .5",
     "'// not \"use strict\" 010n'", "if (a) function f() {}"],
)  # fmt: skip
def test_what_both_rule_sets_accept(code: str) -> None:
    assert accepted(code) == (True, True)


def test_much_code_in_very_many_brackets_counts_as_not_parsed() -> None:
    deep = "[        " * 150 + "]" * 150 + ";"
    assert accepted(deep * 20) == (True, True)
    assert accepted(deep * 60) == (False, False)


PIECES = st.lists(
    st.sampled_from(
        ["var a = 1;", "function f() {", "class A {", "}", "(", ")", "[", "]", "=>", "return ",
         "import ", "export ", "`", "${", "'", '"', "/", "/*", "*/", "//", "\n", " ", "a", "b",
         "=", "+", "?", ":", ",", ";", "<a>", "</a>", "#", "@", "\\", "0", "1n", "async ",
         "await ", "yield ", "let ", "const ", "\0", "\ud800", "é", "-->", "<!--", "...",
         "'use strict';", "/(/", "module.exports.a = b;"]
    ),
    max_size=20,
).map("".join)  # fmt: skip


@settings(deadline=None, max_examples=150)
@given(PIECES | st.text(), st.sampled_from(["opencoder", "cookbook"]))
def test_any_text_gives_values_in_range(text: str, rules: RuleSet) -> None:
    found = measured(text, rules)
    for name, value in found.items():
        assert value is None or value >= 0
        if name.startswith("frac_words_") or name in ("cate_ast", "cate_var_zero"):
            assert value is None or value <= 1
    if rules == "opencoder" and found["cate_ast"]:
        assert measured(text, "cookbook") == found


@settings(deadline=None, max_examples=200)
@given(PIECES.map(lambda text: text + "\n") | st.just(LOADER))
def test_a_blank_line_changes_nothing(text: str) -> None:
    found = parse(source_of(text, "cookbook"))
    if found is not None:
        assert parse(source_of(text + "\n", "cookbook")) == found


@pytest.mark.parametrize(
    "unit",
    ["(", "[", "{", "{a:", "f(", "a+", "a=>", "a?b:", "if(a)", "else ", "a b ", '"a\n', "<a>",
     "`${", "'\\", "/(/;\n", "a:", "return;", "1n;", "-->", "a.b", "\0", "\ud800", "'use strict';",
     "The quick brown fox (jumps) over the lazy dog; and then? ", "function f(){"],
)  # fmt: skip
@pytest.mark.parametrize("rules", ["opencoder", "cookbook"])
def test_hostile_texts_are_soon_done(unit: str, rules: RuleSet) -> None:
    started = time.process_time()
    parse(source_of(unit * (150_000 // len(unit)), rules))
    assert time.process_time() - started < 2


def test_more_statements_than_code_has_are_not_counted() -> None:
    assert parse(source_of("return_ = a;\n" * 2_000)) is not None
    assert parse(source_of("var a;\n" * 1_000)) is not None
    assert parse(source_of("var a;\n" * 20_000)) is None
