"""Which marks open and close a comment, by language: enough to find a leading comment.

Languages are grouped into families; a language outside the table has no known comments, and
nothing of it is cut.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass


@dataclass(frozen=True)
class CommentSyntax:
    """Marks of line comments, and (opening, closing) pairs of block comments."""

    lines: tuple[str, ...] = ()
    blocks: tuple[tuple[str, str], ...] = ()


_C_BLOCK = ("/*", "*/")
_MARKUP = ("<!--", "-->")

_FAMILIES: tuple[tuple[CommentSyntax, str], ...] = (
    (
        CommentSyntax(("//",), (_C_BLOCK,)),
        "c|cpp|csharp|java|javascript|typescript|tsx|jsx|go|rust|kotlin|swift|scala|dart|groovy"
        "|gradle|solidity|zig|d|glsl|hlsl|cuda|opencl|objective-c|objective-c++|protocol buffer"
        "|less|scss|sass|stylus|verilog|systemverilog|vala|haxe|actionscript|qml|json with comments"
        "|json5|thrift|flatbuffers|unrealscript|processing|arduino|limbo|gradle kotlin dsl|metal"
        "|antlr|reason|rescript|apex|ragel|yacc|lex|bison|linker script|dtrace|swig|jison|pawn"
        "|sourcepawn|shaderlab|wgsl|cap'n proto|squirrel|chapel|ceylon|xtend|webidl|blade",
    ),
    (CommentSyntax((), (_C_BLOCK,)), "css|postcss"),
    (CommentSyntax(("//", "#"), (_C_BLOCK,)), "php|hack|hcl|terraform template|jsonnet|nix"),
    (
        CommentSyntax(("#",)),
        "python|shell|ruby|perl|r|yaml|toml|makefile|dockerfile|cmake|tcl|elixir|awk|nim|crystal"
        "|starlark|cython|graphql|ini|properties|java properties|meson|ninja|gettext catalog|fish"
        "|m4|sed|raku|gitignore|ignore list|git attributes|editorconfig|bitbake|mojo|just|nushell"
        "|systemd unit|unix assembly|gnuplot|puppet|snakemake|unity3d asset|git config|nginx|jq"
        "|requirements.txt|pip requirements|codeowners|dotenv|robotframework|coffeescript|gdscript"
        "|cfg|desktop|procfile|gherkin|sparql|turtle|gn|autoconf|openrc runscript|bazel|xonsh",
    ),
    (CommentSyntax(("#",), (("<#", "#>"),)), "powershell"),
    (CommentSyntax(("#",), (("#=", "=#"),)), "julia"),
    (CommentSyntax(("--",), (_C_BLOCK,)), "sql|plpgsql|plsql|tsql|sqlpl"),
    (CommentSyntax(("--",), (("--[[", "]]"),)), "lua|luau|moonscript"),
    (CommentSyntax(("--",), (("{-", "-}"),)), "haskell|elm|purescript|agda|idris|literate haskell"),
    (CommentSyntax(("--",)), "ada|vhdl|applescript|eiffel|dhall"),
    (CommentSyntax((";",), (("#|", "|#"),)),
     "common lisp|scheme|racket|emacs lisp|clojure|newlisp|fennel|hy"),
    (CommentSyntax((";", "#", "//", "@"), (_C_BLOCK,)), "assembly"),
    (CommentSyntax((";",)), "autohotkey|autoit|nsis|inno setup|llvm|webassembly"),
    (CommentSyntax(("%",)), "erlang|tex|matlab|postscript|mercury|bibtex"),
    (CommentSyntax(("%",), (_C_BLOCK,)), "prolog|logtalk"),
    (CommentSyntax((), (_MARKUP,)),
     "html|xml|svg|markdown|vue|svelte|xslt|wsdl|xpages|html+erb|html+php|astro|ant build system"
     "|maven pom|xml property list|java server pages|asp.net|mdx|webassembly interface type"),
    (CommentSyntax((), (("{#", "#}"), _MARKUP)), "jinja|twig|html+django|liquid|nunjucks"),
    (CommentSyntax((), (("<%doc>", "</%doc>"), _MARKUP)), "mako"),
    (CommentSyntax((), (("(*", "*)"),)), "ocaml|standard ml|coq|mathematica|f*"),
    (CommentSyntax(("//",), (("(*", "*)"),)), "f#"),
    (CommentSyntax(("//",), (("(*", "*)"), ("{", "}"))), "pascal|component pascal"),
    (CommentSyntax(("'", "REM ", "Rem ")),
     "visual basic .net|vba|vbscript|visual basic 6.0|freebasic"),
    (CommentSyntax(("REM ", "rem ", "Rem ", "@REM ", "@rem ", "@Rem ", "::")), "batchfile"),
    (CommentSyntax(('"',)), "vim script"),
    (CommentSyntax(("!", "C ", "c ", "* ")), "fortran|fortran free form"),
)  # fmt: skip


@functools.cache
def _table() -> dict[str, CommentSyntax]:
    return {name: syntax for syntax, names in _FAMILIES for name in names.split("|")}


def comment_syntax(language: str) -> CommentSyntax | None:
    """The comment marks of a language (lower-case linguist name), or None where not known."""
    return _table().get(language)
