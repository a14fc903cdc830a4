"""CPU seconds of one verdict for texts that were made to be slow: the bound is 1 s a megabyte.

    python tests/benchmarks/bench_filters_hostile.py                   # every text, every language
    python tests/benchmarks/bench_filters_hostile.py --programs python javascript --top 40
    python tests/benchmarks/bench_filters_hostile.py --mb 8 --only "a "    # one line of 8 MB

Texts (units repeated, nests, random tokens, binary, code that is broken somewhere) are blown up to
``--mb`` and judged under a name of each language. All of it takes hours; ``--every 10`` minutes.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATHS = {
    "python": "a.py", "javascript": "a.js", "html": "a.html", "c": "a.c", "cpp": "a.cpp",
    "csharp": "a.cs", "go": "a.go", "java": "a.java", "typescript": "a.ts", "rust": "a.rs",
    "shell": "a.sh", "sql": "a.sql", "yaml": "a.yml", "json": "a.json", "xml": "a.xml",
    "perl": "a.pl", "ruby": "a.rb", "php": "a.php", "css": "a.css", "text": "a.md",
}  # fmt: skip
#: Repeated as they are.
UNITS = (
    "a", "a ", " ", "\t", "\n", "a\n", "\r", "\r\n", "0", "_", ".", ",", ";", ":", "+", "-", "*",
    "/", "<", ">", "&", "#", "@", "!", "?", "=", '\\', "|", "~", "%", "^", "$", "\x00", "\x1b",
    "\ufffd", "é", "\ud800", "\u2028", "́", "İ", "\ufdfa", "\u4e2d", "\u6587\u5b57", "\u3042",
    "\U0001f600", "Á", "\uff11", "(", "[", "{", ")", "]", "}", "()", "[]", "{}", "([{", "(a,",
    "f(", "a[", "{a:", "a(b", "(\n", "[\n", "'", '"', "`", "'''", '"""', "'\n", '"\n', '"a',
    "'a", '"a\n', "'\\", '"\\', "`${", "${", "`a`", "''", '""', "f'{", 'f"{', "f'{a", "f'{{",
    "rb'", "u'a'", "'a' ", "'\\x41'", "'\\N{BULLET}'", '"""\n', '"""a"""\n', "a=", "a=b\n",
    "a = 1\n", "a=1;", "a,b=", "a.b", "a.b.", "a.b=", "a()()", "a[0]", "a+", "a+b", "-a", "--",
    "not ", "a if b else ", "lambda:", "lambda a:", "a and ", "a or ", "a<", "a<b", "a==",
    "a in ", "await ", "yield ", "*a,", "**a,", "if a:\n", "if a: b\n", "else:\n",
    "for a in b:\n ", "def f():\n ", "def f(): pass\n", "class A:\n ", "class A: pass\n",
    "class A {", "function f(){", "function f(){}\n", "return ", "return;", "return a\n",
    "import ", "import a\n", "from a import b\n", "@a\n", "with a:\n ", "try:\n ", "try{",
    "catch(e){", "print a\n", "exec 'a'\n", "a:int\n", "a:b=c\n", "del a\n", "global a\n",
    "match a:\n case b: c\n", "a:=b,", "(a:=", "[a for a in ", "{**a,", "(yield ", "a@b", "1_",
    "1e", "0x", "0xFF,", "1.", "1j", "1if 2else ", "var a=1;", "var a,", "let a=",
    "const a=()=>{", "=>", "a=>", "async ", "async()=>", "a?b:", "a?.b", "a??", "...a", "new ",
    "new a(", "typeof ", "a:", "a b ", "if(a)", "else ", "for(;;)", "while(1)", "do ",
    "switch(a){", "case 1:", "/a/", "/(/;\n", "/[/]/,", "a/b/", "/*", "*/", "/**/", "//",
    "//a\n", "-->", "<!--", "<a>", "</a>", "<a", "<a b", "<a b=", "<a b='", '<a b="c">',
    "<a b='>' c=", "<a/>", "<a>b</a>",
    "<script>", "</script>", "<style>", "<![", "<!", "<?", "&amp", "&amp;", "&#",
    "&#1", "&a", "<p>a", "<b/ ", "module.exports.a=b;", "'use strict';", "export ",
    "export default ", "yield* ", "#a", "#!", "#if 0\n", "#endif\n", "#define a \\\n",
    "#include <a>\n", "int a;", "int a(", "int f(int a){", "int *", "std::", "template<", 'R"(',
    'R"a(', "L'a'", "using a;", "public int a{get;}", "namespace a{", 'new String[]{"a"}', '@"',
    '$"{', "package a\n", "func f(){\n", "import (\n", "var a int\n", "a:=b\n",
    "select a from b;", "--a\n", "$$", 'r#"', "r#", "&'a ", "/*/*", "<<E\n", "<<'E'\n", "$(",
    "$((", "`a", "${a", "[[", "- a\n", "- ", "a: b\n", "a: |\n b\n", "? ", "&a ", "*a ", "!a ",
    "0x41,", "\\x41", "\\u0041", "QUJD", "41 ", "AB, ", "http://a.b ", "(http://a)", "(http",
    "<a>(http://", "TODO ", "todo\n", "fixme", "assert", "The quick (brown) fox; and then? ",
    "=begin\n", "=cut\n", "=a\n", "%w(", "?a", "<?php ", "?>", "$a=", "a => b, ", "{'a':1},",
    '{"a":1},', '["a",', "[1,", "true,", "- [ ] a\n", "* a\n", "> a\n", "| a ", "~~~\n", "```\n",
    "if a:\n\tb\n        c\n", " a\n", "\ta\n", "a\\\n", "a \\\n", "\x0c", "a\x0b", "\xa0",
    "\u3000a", "\u2009", "x" * 70 + "\n", "x" * 1100 + " ", "'" + "a" * 30 + "' ", "a+'b'+'c'\n",
    "a='b'+'c'\n",
)  # fmt: skip
#: Opened to a depth and closed again, the whole repeated.
NESTS = (
    ("(", ")"), ("[", "]"), ("{", "}"), ("{a:", "}"), ("f(", ")"), ("a[", "]"), ("(a,", ")"),
    ("[a for a in ", "]"), ("(lambda:", ")"), ("function f(){", "}"), ("a=>{", "}"),
    ("`${", "}`"), ("if(a){", "}"), ("<a>", "</a>"), ("<div>", "</div>"), ("a?", ":b"),
    ("{'a':", "}"), ("f'{", "}'"), ("class A{", "}"), ("(a,b)=>", ""), ("new a(", ")"),
    ("/*", "*/"), ("$(", ")"), ("-(", ")"), ("not (", ")"), ("async()=>{", "}"), ("a?.[", "]"),
    ("...[", "]"), ("[...", "]"), ("({a}={a:", "})"), ("(yield ", ")"), ("(await ", ")"),
    ("(a:=", ")"), ("*(", ")"), ("{**", "}"), ("a.b(", ")"), ("a[b:", "]"), ("(a)(", ")"),
)  # fmt: skip
#: Drawn at random.
WORDS: dict[str, tuple[str, ...]] = {
    "python": (
        "def", "class", "if", "else", "elif", "for", "in", "while", "return", "pass", "import",
        "from", "as", "with", "try", "except", "finally", "lambda", "yield", "await", "async",
        "not", "and", "or", "is", "del", "global", "nonlocal", "raise", "assert", "match",
        "case", "print", "exec", "a", "b", "x1", "0", "1.5", "0x1", "'a'", '"b"', "'''c'''",
        "f'{a}'", "(", ")", "[", "]", "{", "}", ",", ":", ";", ".", "=", "==", "+=", "->", ":=",
        "+", "-", "*", "**", "/", "//", "%", "@", "&", "|", "^", "~", "<", ">", "<=", "!=", "#",
        "\\\n \n \n ", "", "\n\t", "...", "\n", " ",
    ),
    "javascript": (
        "function", "class", "if", "else", "for", "in", "of", "while", "do", "return", "var",
        "let", "const", "new", "this", "typeof", "void", "delete", "yield", "await", "async",
        "import", "export", "from", "default", "try", "catch", "finally", "throw", "switch",
        "case", "break", "continue", "extends", "super", "static", "get", "set", "null", "true",
        "0", "1.5", "0x1", "1n", "'a'", '"b"', "`c`", "`${", "/a/", "/[/]/g", "(", ")", "[", "]",
        "{", "}", ",", ":", ";", ".", "...", "=", "==", "===", "+=", "=>", "?", "?.", "??", "+",
        "-", "*", "**", "/", "%", "&", "|", "^", "~", "!", "<", ">", "<=", "++", "--", "&&",
        "||", "#", "@", "//", "/*", "*/", "\n a", "b", "x1", "$", "_", "</a>", "<a>", "<a", "\n",
        " ",
    ),
    "markup": (
        "<a>", "</a>", "<b", "<br/>", ">", "<", "/", "=", "'a'", '"b"', "a", "b", "&amp;", "&#",
        "&lt", "<!--", "-->", "<!", "<![CDATA[", "]]>", "<script>", "</script>", "<style>",
        "</style>", "<?", "?>", "\n ", "", ".", ";", 'class="x"', "<p>", "\n", " ",
    ),
    "curly": (
        "int", "void", "char", "unsigned", "static", "const", "struct", "class", "public",
        "private", "using", "namespace", "template", "typename", "if", "else", "for", "while",
        "return", "goto", "new", "delete", "import", "package", "func", "var", "type",
        "interface", "map", "chan", "go", "defer", "switch", "case", "break", "string", "bool",
        "String", "List<String>", "a", "b", "f", "x1", "0", "1.5", "0x1f", "'a'", '"b"',
        'R"(c)"', '@"d"', "(", ")", "[", "]", "{", "}", ",", ":", ";", ".", "::", "->", "=",
        "==", "+=", ":=", "+", "-", "*", "/", "%", "&", "|", "^", "~", "!", "<", ">", "<=", "++",
        "&&", "||", "#include", "#define", "#if", "#endif", "//", "/*", "*/", "\\\n \n \n\t",
        "<stdio.h>", "\n", " ",
    ),
}  # fmt: skip


def texts(size: int) -> Iterator[tuple[str, str]]:
    """(name, text of about ``size`` characters)."""
    for unit in UNITS:
        yield repr(unit)[:40], unit * (size // len(unit))
    for opening, closing in NESTS:
        for depth in (15, 95, 190, 1500, 0):
            deep = depth or size // (len(opening) + len(closing) + 1)
            nest = opening * deep + "a" + closing * deep
            name = f"{opening!r} {depth or 'all'} deep"
            yield name, (nest + ";\n") * max(1, size // (len(nest) + 2))
            yield f"{name}, open", (nest[:-1] + "\n") * max(1, size // (len(nest) + 1))
    for name, words in WORDS.items():
        for joint in (" ", ""):
            chosen = random.Random(name).choices(words, k=size // 2)
            yield f"random {name} {joint!r}", joint.join(chosen)[:size]
    draw = random.Random(0)
    binary = draw.randbytes(size)
    yield "binary as UTF-8, replaced", binary.decode("utf-8", "replace")
    yield "binary as Latin-1", binary.decode("latin-1")
    yield "binary with surrogates", binary.decode("utf-8", "surrogateescape")
    yield "any characters", "".join(map(chr, draw.choices(range(0x110000), k=size // 3)))
    yield "ASCII noise", "".join(map(chr, draw.choices(range(32, 127), k=size)))
    yield "noise in lines", "".join(map(chr, draw.choices([10, *range(32, 127)], k=size)))
    names = [f"n{draw.getrandbits(40)}" for _ in range(size // 13)]
    yield "one line of names", " ".join(names)
    for unit in (
        "a\n",
        "a=b\n",
        "a,b,\nc;\n",
        "def f(a,b):\n return a\n",
        "f(a,b)(c)[d].e(g=h,*i)\n",
    ):
        tokens = len(re.findall(r"\w+|[^\w ]", unit))
        body = unit * int(0.1499 * size / tokens)
        for error in ("", "a b\n", "/*\n"):
            pad = "#" + " " * (size - len(body)) + "\n"
            yield f"{unit!r}, as many as are parsed, {error!r} at the end", pad + body + error
    for name, text in WHOLE.items():
        body = text * (size // len(text))
        half = body.find("\n", size // 2) + 1
        yield f"{name}, repeated", body
        yield f"{name}, on one line", body.replace("\n", " ")
        for where, place in (("start", 0), ("middle", half), ("end", len(body))):
            for error in ("(\n", ")\n", '"""\n', "a b\n", "`\n", "/*\n", "<a\n"):
                yield f"{name}, {error!r} at the {where}", body[:place] + error + body[place:]


#: Code that parses, to be repeated and broken.
WHOLE = {
    "python code": (
        "class Store(Base):\n    def get(self, key, default=None):\n        try:\n"
        "            return self.items[key]\n        except KeyError:\n"
        "            return f'{key!r}: {default}' if default else default\n\n"
        "x = [i ** 2 for i in range(10) if i % 2]\nprint(x, file=sys.stderr, **{'a': 1})\n"
    ),
    "python literals": "a = [1, 2, 3, 'x', {'y': (4, 5)}, -6.5, None, b'z', f'{w}']\n",
    "python tokens": "a=b\n",
    "python calls": "f(a,b)(c)[d].e(g=h,*i)\n",
    "javascript code": (
        "const load = async (a, {b = 1, ...c} = {}) => { const d = await fetch(`${a}/x?${b}`);\n"
        "  if (!d.ok) { throw new Error('no: ' + d.e); } return (await d.f()).map(g => g.h);\n};\n"
        "function add(a, b) { for (var i = 0, n = a.length; i < n; i++) { a[i] += /x/g.test(b) }\n"
        "  return a }\nclass A extends B { constructor() { super(); this.a = [1, {c: 'd'}] } }\n"
    ),
    "javascript minified": (
        "var a=function(b,c){return b?c[0]:(c.d=!1,e(function(){return b}))},f=[1,2,3],g={h:i};"
    ),
    "javascript tokens": "a=b;",
    "javascript commas": "a,b,\nc;\n",
    "jsx": "const a = <b c='d' e={() => f(1)}>{g.map(h => <i key={h}>{h} text</i>)}</b>;\n",
}  # fmt: skip


def seconds(text: str, path: str, rules: str) -> float:
    """CPU seconds of one verdict."""
    from assets.refinecode.filters import evaluate

    started = time.process_time()
    evaluate(text, path, rules)  # type: ignore[arg-type]
    return time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--mb", type=float, default=1.0, help="size of each text")
    parser.add_argument("--programs", nargs="+", choices=list(PATHS), default=list(PATHS))
    parser.add_argument("--rules", nargs="+", default=["cookbook", "opencoder"])
    parser.add_argument("--top", type=int, default=3, help="slowest texts shown of a language")
    parser.add_argument("--every", type=int, default=1, help="only each n-th text")
    parser.add_argument("--only", default="", help="texts whose name has this in it")
    arguments = parser.parse_args()
    size = int(arguments.mb * 1e6)
    for rules in arguments.rules:
        print(f"\nrules {rules}: CPU seconds a MB, slowest of all texts")
        for program in arguments.programs:
            path = PATHS[program]
            for text in ("a\n", "é\n", "中文中文\n"):
                seconds(text, path, rules)
            took = []
            for number, (name, text) in enumerate(texts(size)):
                if number % arguments.every == 0 and arguments.only in name:
                    megabytes = len(text.encode("utf-8", "surrogatepass")) / 1e6
                    # Of slow ones the better of two: another process may have had the cache.
                    first = seconds(text, path, rules)
                    if first > 0.5 * megabytes:
                        first = min(first, seconds(text, path, rules))
                    took.append((first / max(megabytes, 0.01), name))
            took.sort(reverse=True)
            above = sum(second > 1.0 for second, _ in took)
            print(f"{program:<12}{len(took):>5} texts, {above} above 1 s", flush=True)
            for second, name in took[: arguments.top]:
                print(f"    {second:6.2f}  {name}", flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
