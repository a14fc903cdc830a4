"""Code and comments: our scanners against Pygments itself, and our own rules."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from assets.refinecode.filters.comments import SCANNERS, Split, lexers, normalised, split

#: (program, text, its comments as the reference has them)
SNIPPETS = [
    ("c", "int a; // one \\\ntwo\nint b; /* x */ int c;\n", "// one \\\ntwo\n/* x */"),
    ("c", 'char *s = "// no"; char c = \'"\'; /* yes */\n', "/* yes */"),
    ("c", "#include <a.h>  // why\n#define U \"http://x\" \\\n  /* in */ 1\nint x; // y\n",
     "  // why//x\" \\\n/* in */// y\n"),
    ("c", "#if 0\n// dead\n#if X\n#endif\n/* dead */\n#else\n// alive\n#endif\n", "// alive\n"),
    ("c", 'char *s = "open // no\nint x; // yes\n', "// yes\n"),
    ("c", "int x; /* never closed\nint y;\n", "/* never closed\nint y;\n"),
    ("c", "/* a */ #define X // b\nint y; # // c\n", "/* a */// b\n// c\n"),
    ("c", "/\\\n* folded *\\\n/ int x;\n", "/\\\n* folded *\\\n/"),
    ("cpp", 'auto s = R"x(" // no )" )x"; // yes\nauto t = FOOR"(//"; // t\n', "// yes\n// t\n"),
    ("cpp", "int n = 1'000'000; // n\nchar c = '\\''; // c\n", "// n\n// c\n"),
    ("csharp", 'var s = @"c:\\"; // one\nvar t = $"{x} // no"; /* two */\n#region // not\n',
     "// one\n/* two */"),
    ("csharp", '[Route("a//b")] // one\n  [X /* in an attribute */]\nint[] a; // two\n',
     "// one\n// two\n"),
    ("csharp", 'var s = @"a""b // no"; var c = \'"\'; // yes\nvar u = "open // no\nint x; // z\n',
     "// yes\n// z\n"),
    ("java", 'String s = "a\\"b // no"; // one\nchar c = \'"\'; /** two */\n', "// one/** two */"),
    ("java", 'var s = """\n  " // no """; // yes\nX.class; // z\n', "// yes// z"),
    ("java", 'record = "a // b";\nint x; // c\n', '// b";// c'),
    ("java", "int x; /* never closed\n// yes\n", "// yes"),
    ("go", "s := `a // no\n` // yes\nr := '\"' /* two */\n", "// yes/* two */"),
    ("go", 's := "open // \\" yes\n', "// \\\" yes"),
    ("javascript", "#!/usr/bin/env node\nvar a = 1 / 2; // one\nvar r = /[/]\\/\\/ no/g; // two\n",
     "#!/usr/bin/env node// one// two"),
    ("javascript", "f(`a ${b /* in */ + `// no`} // no`); <!-- // odd\n", "/* in */// odd"),
    ("javascript", "x => /a/ // b\nreturn /'/; // c\nthis / 2; // d\n", "// b// c"),
    ("javascript", "a\n/ 2 // lost line\nb // back\n", "// back"),
    ("javascript", "'don't // x\n// y\n", "// x// y"),
    ("typescript", "private readonly x: A = 'a'; // one\n@Input() /b/ // two\n", "// one// two"),
    ("python", '#!/bin/python\n"""Doc."""\nx = """no"""  # one\nf(\n  r\'\'\'yes\'\'\'\n)\n',
     '#!/bin/python"""Doc."""# one\'\'\'yes\'\'\''),
    ("python", 'x = f"{d["a"]:#>{w}} # no {{"  # one\ny = rf"""{\'#\'}" # no"""  # two\n',
     "# one# two"),
    ("python", '"""ends here \\""" + "x"  # one\nx = "open # no\ny = 1  # two\n',
     '"""ends here \\"""# one# two'),
    ("python", "class # odd\n  'x'\nclass A: # fine\n", "# fine"),
    ("html",
     "<!-- one --><a b='<!-- no -->' c=d>&<!--no-->;<script>x // two\n</script><!-- no end\n",
     "<!-- one -->// two"),
    ("html", "<style>/* not counted */</style><SCRIPT type=a>/* yes */</SCRIPT\n>", "/* yes */"),
    ("html", "<script>\n// never closed\n<!-- one -->\n", "// never closed<!-- one -->"),
    ("html", "<a b=>\n<!-- one --><script c=>\n// no\n<b \" ' <!-- no --> x>", "<!-- one -->"),
    ("shell", "#!/bin/sh\necho a#b '# no' \"# no $(ls # in\n) # no\" # one\n",
     "#!/bin/sh\n# in\n# one\n"),
    ("shell", "cat <<EOF # here\n# no\nEOF\nx=$((16#ff)) ${x#a} $# # one\nif#two\n12#three\n",
     "# one\n#two\n#three\n"),
    ("sql", "select '--no' -- one\n, \"/*\" /* two /* in */ out */ from t;\n",
     "-- one\n/* two /* in */ out */"),
    ("json", '{"a": "// no", // one\n "b": /* two */ "\\u12"/**/}\n', "// one/* two */"),
    ("xml", "<a b='<!-- no -->'><![CDATA[<!-- no -->]]><!-- one --></a>\n", "<!-- one -->"),
    ("yaml",
     "a: b#c # one\nt: |\n  # text\n  x\n# two\nk: v\n  # goes on\nf: [a, # three\n  '#']\n",
     "# one# two# three"),
    ("rust",
     "//! a\n/// b\n//// c\nfn f<'a>(x: &'a str) { '\"'; r#\"// \"no\"#; } /* d /* e */ */\n",
     "//! a\n/// b\n//// c\n/* d /* e */ */"),
    ("rust", "#[doc = \"]\" // in it\n] // one\nlet x: 'static = b'\\xff'; // two\n",
     "// one\n// two\n"),
    ("css", "/* of another type */ a { b: c }\n", ""),
]  # fmt: skip

_WORDS = {
    "c": ["int x", "#if 0\n", "#endif\n", "#else\n", "#include <", "#include \"", "\n#define A "],
    "cpp": ["R\"(", ")\"", "#if 0\n", "#endif\n", "\n#", "u8R\"x(", ")x\""],
    "csharp": ["@", "$", "[", "]", "using ", "#if", "#region", "\"\"", "("],
    "go": ["`", "\\n"],
    "html": ["<a ", ">", "<script>", "</script>", "<style>", "</style>", "<!--", "-->", "&", "="],
    "java": ["class ", ".class", "record", "import ", "var ", "\"\"\"", "(", "public "],
    "javascript": ["`", "${", "}", "=>", "return", "=", "<!--", "x", "[", ")", "++", "this", "#!/"],
    "json": ["{", "\\u", "\\u12", ":"],
    "python": ['"""', "'''", "f", "r", "rb", "{", "}", ":", "(", "class ", "    ", "x = "],
    "rust": ["r#", "b", ":", "'a", "#[", "]", "->", "Vec", "///", "/**", "/*!"],
    "shell": ["$(", "${", "$((", ")", "}", "`", "<<", "EOF", "$", "if", "a", "12", "<<-'EOF'\n"],
    "sql": ["--", "''"],
    "typescript": ["`", "${", "}", "=>", "return", ": string", "private ", "@x"],
    "xml": ["<a ", ">", "<!--", "-->", "=", "&", "<![CDATA[", "]]>", "<?", "</a>"],
    "yaml": ["a: ", "- ", "? ", "|\n", ">2\n", "  ", "[", "{", "}", "]", ",", "&b ", "!t ",
             "---", "%YAML 1.2"],
}  # fmt: skip
_ANYWHERE = ['"', "'", "//", "/*", "*/", "/", "#", "\\", "\n", " ", "x", "é", "-", "*", "\t"]


@functools.cache
def _lexer(program: str) -> Callable[[str], tuple[str, str]]:
    pygments = pytest.importorskip("pygments")
    if pygments.__version__ != "2.18.0":
        pytest.skip(f"the reference is Pygments 2.18.0, here is {pygments.__version__}")
    from pygments.lexers import get_lexer_by_name
    from pygments.token import Comment, String

    lexer = get_lexer_by_name(program)
    kinds = {Comment.Multiline, Comment.Single, Comment.Hashbang, Comment.Special, String.Doc}

    def reference(text: str) -> tuple[str, str]:
        tokens = list(lexer.get_tokens(text))
        code = "".join(value for kind, value in tokens if kind not in kinds)
        return code, "".join(value for kind, value in tokens if kind in kinds)

    return reference


def _opencoder(text: str, program: str) -> tuple[str, str]:
    found = split(text, program, "opencoder")
    return found.code, found.comments


@pytest.mark.parametrize(("program", "text", "comments"), SNIPPETS)
def test_tricky_text_is_split_as_pygments_does(program: str, text: str, comments: str) -> None:
    assert _opencoder(text, program)[1] == comments
    assert _opencoder(text, program) == _lexer(program)(text)


@pytest.mark.parametrize("program", sorted(_WORDS))
def test_scanners_equal_pygments_on_any_text(program: str) -> None:
    # A call with a comment in it is where C and C++ are known to differ: no brackets there.
    pieces = st.lists(st.sampled_from(_ANYWHERE + _WORDS[program]), max_size=30).map("".join)

    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(pieces)
    def check(text: str) -> None:
        assert _opencoder(text, program) == _lexer(program)(text)

    check()


@pytest.mark.parametrize("program", [*sorted(SCANNERS), "makefile", "toml", "ruby"])
def test_every_character_is_code_or_comment(program: str) -> None:
    @settings(max_examples=25, deadline=None, derandomize=True, database=None)
    @example("")
    @example("\r\n\ufeff\r")
    @example("\ud800 # \x00 // \u2028 <!--")
    @given(st.text(max_size=200))
    def check(text: str) -> None:
        code, comments = _opencoder(text, program)
        assert sorted(code + comments) == sorted(normalised(text))
        ours = split(text, program)
        assert ours.code.count("\n") >= normalised(text).count("\n") - comments.count("\n")
        assert not ours.comments or ours.comments.endswith("\n")

    check()


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("c", "x(/*\n"), ("c", "\n#/"), ("c", "#include <a\n"), ("cpp", 'R"ab('), ("cpp", "/**/"),
        ("csharp", "[\n"), ("csharp", '@""'), ("go", "x/**"), ("go", '"\\"'), ("html", "<a b='&x"),
        ("html", "<script>\n"), ("html", "&a"), ("java", "public static "), ("java", '\'"'),
        ("javascript", "\\\n/["), ("javascript", "/**/ /"), ("javascript", "`${"), ("json", '/"'),
        ("perl", '=~ /"\\'), ("python", "f'{"), ("python", '"""x""" '), ("python", "class "),
        ("rust", 'r#"'), ("rust", "/*"), ("shell", "<<ab1 "), ("shell", '"$('), ("sql", "'/*"),
        ("xml", "<a b"), ("yaml", "!a "), ("yaml", "- ["), ("makefile", "a:"), ("vue", "/*"),
    ],
)  # fmt: skip
@pytest.mark.timeout(30)
def test_text_made_to_be_slow_is_split(program: str, text: str) -> None:
    # Any step whose time grows with the square of the size would run into the time limit.
    text = normalised(text * (50_000 // len(text)))
    code, comments = _opencoder(text, program)
    assert len(code) + len(comments) == len(text)
    split(text, program)


def test_comments_stay_on_their_lines() -> None:
    c = "int a; // one\nint b; /* two */ int c;\n// three\n// four\n/* five\nsix */\n"
    assert split(c, "c") == Split(
        code="int a; \nint b;  int c;\n\n\n\n",
        comments="// one\n/* two */\n// three\n// four\n/* five\nsix */\n",
    )
    python = "# one\n# two\nx = 1  # three\n"
    assert split(python, "python").comments == "# one\n# two\n# three\n"
    assert split(python, "python").code == "\n\nx = 1  \n"
    assert split(python, "python", "opencoder").comments == "# one# two# three"


def test_without_lexer_a_line_comment_opens_a_block_in_the_reference_only() -> None:
    text = "# c1\ncode one\n// c2\nmore code\n/* x */\nlast"
    assert split(text, "option list", "opencoder") == Split("last", text[: -len("last")])
    ours = split(text, "option list")
    assert ours.comments == "# c1\n// c2\n/* x */\n"
    assert [line for line in ours.code.split("\n") if line] == ["code one", "more code", "last"]


def test_without_lexer_the_comment_signs_are_those_of_the_language() -> None:
    assert (
        split("; one\n(a) # no\n#| two\n|# (b)\n", "common lisp").comments == "; one\n#| two\n|#\n"
    )
    assert split("REM one\nset a=1\n:: two\n# no\n", "batchfile").comments == "REM one\n:: two\n"


def test_perl_comments_behind_code_count_under_our_rules_only() -> None:
    text = (
        "#!/usr/bin/perl\nmy $n = $#a; # one\n=pod\n\ntext\n\n=cut\nprint '# no' if m#x#; # two\n"
    )
    assert split(text, "perl", "opencoder").code.startswith("my $n = $#a; # one\n")
    ours = split(text, "perl")
    assert ours.comments.splitlines() == [
        "#!/usr/bin/perl", "# one", "=pod", "", "text", "", "=cut", "# two",
    ]  # fmt: skip
    assert "print '# no' if m#x#; \n" in ours.code


def test_other_languages_go_to_pygments_as_long_as_they_are_small() -> None:
    text = "x = 1 # one\n# two\n"
    assert _opencoder(text, "ruby") == _lexer("ruby")(text)
    assert split(text, "ruby").comments == "# one\n# two\n"
    large = "x = 1\n" * lexers.MAX_CHARS + "# one\ny\n"
    assert _opencoder(large, "ruby")[1] == "# one\ny\n"  # line by line, as without lexer
    assert split(large, "ruby").comments == "# one\n"


def test_a_lexer_that_takes_too_long_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexers, "MAX_SECONDS", -1.0)
    assert lexers.lexer_comments("ruby", "# one\n" * 1000) is None
    assert split("# one\nx\n" * 1000, "ruby").comments == "# one\n" * 1000


def test_a_scanner_lets_the_rest_of_a_made_up_text_go() -> None:
    last = "\n// last\n"
    for program, dense in (("javascript", "a/b/"), ("typescript", "a/b/"), ("html", "& ")):
        end = last if program != "html" else "<!-- last -->"
        scan = SCANNERS[program]
        few, many = dense * 1_000 + end, dense * 100_000 + end
        assert len(scan(many)) < len(scan(few)) == 1, program
    comments = "// a\n" * 20_000  # more than the 10,000 of a small text
    assert len(SCANNERS["javascript"]("x = 1;\n" * 30_000 + comments)) == 20_000
    assert len(SCANNERS["html"]("&lt;b&gt;" * 50_000 + "<!-- last -->")) == 1
