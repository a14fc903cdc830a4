"""Make tests of other languages prove that their end was reached.

The program is given a nonce on its standard input. Code put after the last statement of the tests
reads it there and writes it to standard error: `exit(0)`, a constructor, a trap or a handler that
ends the program early cannot. What tests call to fail is, in the languages where earlier code may
replace it, a check of our own under a name of this process, or was taken before the program's
first line, or is asked for by its full name; where forms at the end of a program could swallow the
tests, the proof needs a name that they would swallow first.

Program and tests still share a process, and three kinds of forgery stay open in most languages: a
program that reads the nonce itself, or its own text; a result whose type says that it equals
anything (C++, C#, Java, Scala, Rust, Groovy, Ruby, Lua); and a change to the rest of the library or
the language that the tests use (prototypes in JavaScript, `Math` and the like, operators in
Haskell, a package of the program's named `java`, macros of Racket's and Lisp's, methods of Ruby's,
PHP's functions in a namespace). This is the "in-process" grade.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from evaluation.sandbox.proofs import HEX as _HEX
from evaluation.sandbox.proofs import PROOFS, find_place, first_line


def instrument(language: str, source: str, test: str) -> str:
    """The whole program: source, then test, then the proof. Raises ValueError for a language
    without one, and where the test has no place for it."""
    if language not in _MAKERS:
        raise ValueError(
            f"language {language!r}: tests inside the program are known for {', '.join(_MAKERS)}"
        )
    return _MAKERS[language](source, test)


def _c_family(includes: str) -> Callable[[str, str], str]:
    """C and C++: assert is defined anew before main, and main ends with the proof.

    No macro of the program's is in force in the tests; what ends them is no function.
    """
    own = (
        f"\n{includes}\nstatic long held_{_HEX};\n#undef assert\n"
        f"#define assert(...) ((__VA_ARGS__) ? (void)++held_{_HEX} : __builtin_trap())\n"
    )
    line, place = f"line_{_HEX}", f"place_{_HEX}"
    proof = (
        f"\n{{ char {line}[128]; if (!fgets({line}, sizeof {line}, stdin)) __builtin_trap(); "
        f"for (char *{place} = {line}; *{place}; ++{place}) if (*{place} == 10) *{place} = 0; "
        f'if (held_{_HEX}) fprintf(stderr, "\\n%s held\\n", {line}); }}\n'
    )

    def make(source: str, test: str) -> str:
        plain = _plain_macros(test)
        place = find_place(r"\bint\s+main\s*\(", test, "int main(").start()
        test = test[:place] + plain + own + test[place:]
        end = body_end(test, place + len(plain + own))
        before = re.search(r"\breturn\s+[^;{}]*;\s*$", test[place + len(plain + own) : end])
        end = place + len(plain + own) + before.start() if before else end
        return f"{source}\n\n{plain}{test[:end]}{proof}{test[end:]}\n"

    return make


def _plain_macros(test: str) -> str:
    """Directives after which names in the tests mean what they say; constants in capitals stay."""
    code = re.sub(r"(?m)^[ \t]*#[^\n]*|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", "", test)
    names = {name for name in re.findall(r"\b[A-Za-z_]\w*", code) if not name.isupper()}
    names |= {"if", "else", "for", "return", "char", "long", "static", "void", "__builtin_trap"}
    undone = "".join(f"#undef {name}\n" for name in sorted(names - _MACROS))
    return (
        f"\n{undone}#undef true\n#undef false\n#ifndef __cplusplus\n#undef bool\n"
        "#define bool _Bool\n#define true 1\n#define false 0\n#endif\n"
    )


#: Names that C's headers define as macros, and those that none may bear.
_MACROS = {
    "and", "and_eq", "assert", "bitand", "bitor", "bool", "compl", "complex", "defined", "errno",
    "false", "not", "not_eq", "or", "or_eq", "stderr", "stdin", "stdout", "true", "xor", "xor_eq",
}  # fmt: skip


def _java(source: str, test: str) -> str:
    own = (
        f"\n    static int held_{_HEX};\n    static void check_{_HEX}(boolean good) "
        f"{{ if (!good) throw new AssertionError(); ++held_{_HEX}; }}\n    "
    )
    proof = (
        "\n    { try { String line = new java.io.BufferedReader(new java.io.InputStreamReader("
        'System.in)).readLine(); java.lang.System.err.println("\\n" + line + " held"); } '
        "catch (java.io.IOException error) { throw new RuntimeException(error); } }\n"
    )
    test = re.sub(r"(?<![\w.])assert\s*\(", f"check_{_HEX}(", test)
    test = re.sub(r"(?<![\w.])(Arrays|Objects)\.", r"java.util.\1.", test)  # not the program's own
    place = find_place(
        r"public\s+static\s+void\s+main\s*\(", test, "public static void main("
    ).start()
    test = test[:place] + own + test[place:]
    end = body_end(test, place + len(own))
    return f"{source}\n{test[:end]}{proof}{test[end:]}\n"


def _csharp(source: str, test: str) -> str:
    own = (
        f"\n    static void Check_{_HEX}(bool good, object told = null) "
        '{ if (!good) throw new System.Exception("assertion failed"); }\n    '
    )
    proof = '\n    System.Console.Error.WriteLine("\\n" + System.Console.ReadLine() + " held");\n'
    test = re.sub(r"\bDebug\.Assert\s*\(", f"Check_{_HEX}(", test)
    place = find_place(
        r"(?:public\s+)?static\s+void\s+Main\s*\(", test, "static void Main("
    ).start()
    test = test[:place] + own + test[place:]
    end = body_end(test, place + len(own))
    return f"{source}\n{test[:end]}{proof}{test[end:]}\n"


def _rust(source: str, test: str) -> str:
    """The library goes by a name that the program cannot take, and that an attribute at the
    program's end would take away from the tests."""
    library = f"std_{_HEX}"
    proof = (
        f"\n    {{ let mut line = ::{library}::string::String::new(); "
        f"::{library}::io::stdin().read_line(&mut line).unwrap(); "
        f'::{library}::eprintln!("\\n{{}} held", line.trim()); }}\n'
    )
    test = re.sub(r"(?<![\w:])(assert|assert_eq|assert_ne)!", rf"::{library}::\1!", test)
    named = f"extern crate std as {library};\n"
    if not test.lstrip().startswith("}"):
        test = named + test
    else:
        place = find_place(r"\bfn\s+main\s*\(", test, "fn main(").start()
        test = test[:place] + named + test[place:]
    end = body_end(test, find_place(r"\bfn\s+main\s*\(", test, "fn main(").start())
    return f"{source}\n{test[:end]}{proof}{test[end:]}\n"


def _go(source: str, test: str) -> str:
    """Tests are functions that another one calls: each says that its end was reached."""
    package = re.search(r"^package[ \t]+\w+[^\n]*\n", source, re.M)
    start = package.end() if package else 0  # an answer without one does not compile
    imports = "".join(f'import {name}_{_HEX} "{name}"\n' for name in ("bufio", "flag", "fmt", "os"))
    source = source[:start] + imports + source[start:]
    tests = list(re.finditer(r"^func\s+Test\w*\s*\(\s*(\w+)\s+\*testing\.T\s*\)", test, re.M))
    for found in reversed(tests):
        end = body_end(test, found.end())
        test = f"{test[:end]}\nheld_{_HEX}++\n{test[end:]}"
    main = (
        f"\nvar held_{_HEX} int\nfunc TestMain(m *testing.M) {{\n"
        # what a program may have set leaves no test out
        f'flag_{_HEX}.Parse()\nflag_{_HEX}.Set("test.run", "")\nflag_{_HEX}.Set("test.list", "")\n'
        f"code := m.Run()\nline, _ := bufio_{_HEX}.NewReader(os_{_HEX}.Stdin).ReadString(10)\n"
        f"if code == 0 && held_{_HEX} == {len(tests)} && held_{_HEX} > 0 "
        f'{{ fmt_{_HEX}.Fprintf(os_{_HEX}.Stderr, "\\n%s held\\n", line[:len(line)-1]) }}\n'
        f"os_{_HEX}.Exit(code)\n}}\n"
    )
    return f"{source}\n{test}\n{main}"


def _d(source: str, test: str) -> str:
    """Unit tests run before main, unless a program puts its own runner in their place."""
    main = find_place(r"\bvoid\s+main\s*\(\s*\)\s*\{\s*\}", test, "void main(){}")
    proof = (
        "void main() { import core.stdc.stdio; char[256] line = 0; "
        "fgets(line.ptr, 255, stdin); foreach (ref c; line) if (c == 10) c = 0; "
        f'if (held_{_HEX}) fprintf(stderr, "\\n%s held\\n", line.ptr); }}'
    )
    end = body_end(test, find_place(r"\bunittest\b", test, "unittest").start())
    test = (
        f"{test[:end]}\nheld_{_HEX} = true;\n{test[end : main.start()]}{proof}{test[main.end() :]}"
    )
    return f"{source}\n__gshared bool held_{_HEX};\n{test}\n"


def _scala(source: str, test: str) -> str:
    own = (
        f"\n    private var held_{_HEX} = 0\n"
        f'    def check_{_HEX}(good: Boolean, told: => Any = ""): Unit = '
        f'{{ if (!good) throw new AssertionError("wrong"); held_{_HEX} += 1 }}\n    '
    )
    proof = (
        f"\n    if (held_{_HEX} > 0) "
        '_root_.java.lang.System.err.println("\\n" + _root_.scala.io.StdIn.readLine() + " held")\n'
    )
    test = re.sub(r"(?<![\w.])assert\s*\(", f"check_{_HEX}(", test)
    main = re.search(r"\bdef\s+main\s*\(", test)
    if main:  # an App has a main already
        source = re.sub(r"(\bobject\s+\w+)\s+extends\s+App\b", r"\1", source)
    place = main.start() if main else 0
    test = test[:place] + own + test[place:]
    if main is None:  # an object that is an App: its body is the program
        find_place(r"\}\s*\Z", test, "} at its end")
    end = body_end(test, place + len(own)) if main else test.rindex("}")
    return f"{source}\n{test[:end]}{proof}{test[end:]}\n"


def _javascript(source: str, test: str) -> str:
    """Functions that the tests need are taken before the program runs: nobody replaces them then.

    The way to them is syntax alone, as the program's own functions are there before its first line.
    """
    first = (
        f"const held_{_HEX} = (() => {{ const all = (() => {{}}).constructor('return this')(); "
        "const load = all.process.mainModule.require; let count = 0; "
        "for (const name of ['node:assert', 'assert/strict']) "
        "{ all.Object.freeze(load(name)); all.Object.freeze(load(name).prototype); } "
        "const { readFileSync, writeSync } = load('node:fs'), { stringify } = all.JSON; "
        "return { count: () => count, strict: load('assert/strict'), assert: load('node:assert'), "
        "stringify, check: (good) => { if (!good) throw new all.Error('wrong'); count += 1; }, "
        "end: () => writeSync(2, '\\n' + readFileSync(0, 'utf8').trim() + ' held\\n') }; })();\n"
    )
    counted = "console.assert" in test
    for pattern, own in _OWN_JAVASCRIPT:
        test = re.sub(pattern, f"held_{_HEX}.{own}", test)
    proof = f"held_{_HEX}.end();"
    if counted:
        proof = f"if (held_{_HEX}.count() > 0) {proof}"
    # in a function, those of the tests cannot be assigned to beforehand, and may bear any name;
    # nothing is exported from one
    block = not re.search(r"^\s*(?:import|export|\})", test, re.M if "export" in test else 0)
    start, end = (";(() => {", "})();") if block else ("", "")
    return f"{first_line(first, source, '//')}\n{start}\n{test}\n{proof}\n{end}\n"


def _typescript(source: str, test: str) -> str:
    test = re.sub(r"^declare var require: any;", "", test, flags=re.M)
    made = _javascript(source, test).replace(f"const held_{_HEX} =", f"const held_{_HEX}: any =", 1)
    made = made.replace("(good) =>", "(good: any) =>", 1)
    declared = re.search(r"\bdeclare\s+(?:var|let|const|function)\s+require\b", source)
    return made if declared else f"declare var require: any;\n{made}"


#: What tests call, and the functions taken beforehand. Node's console.assert prints and goes on.
_OWN_JAVASCRIPT = (
    (r"(?<![\w.])console\.assert\b", "check"),
    (r"(?<![\w.])JSON\.stringify\b", "stringify"),
    (r"(?<![\w.])require\(\s*([\"'])(?:node:)?assert\1\s*\)", "assert"),
    (r"(?<![\w.])require\(\s*([\"'])(?:node:)?assert/strict\1\s*\)", "strict"),
)
_TOKEN = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\])*\"|'(?:\\.[^']*|[^'\\])'|[{}]", re.DOTALL
)


def braces(text: str, start: int = 0) -> Iterator[tuple[int, str]]:
    """Braces of the C family's and where they stand, but for strings, characters and comments."""
    for token in _TOKEN.finditer(text, start):
        if token.group() in "{}":
            yield token.start(), token.group()


def body_end(text: str, start: int) -> int:
    """Where the first braces after start close. Raises ValueError if they do not."""
    depth = 0
    for place, brace in braces(text, start):
        depth += 1 if brace == "{" else -1
        if depth == 0:
            return place
    raise ValueError("the braces of the test's main do not close")


_C_INCLUDES = "#include <stdio.h>\n#include <stdlib.h>"
_MAKERS: dict[str, Callable[[str, str], str]] = {
    **PROOFS,
    "c": _c_family(_C_INCLUDES),
    "cpp": _c_family(_C_INCLUDES),
    "cs": _csharp,
    "d": _d,
    "go": _go,
    "java": _java,
    "js": _javascript,
    "rs": _rust,
    "scala": _scala,
    "ts": _typescript,
}
