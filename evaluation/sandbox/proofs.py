"""The proof of instrument.py for languages without braces to look into.

Most take it after the last line of the tests: it reads the nonce and writes it, if all went well.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable

HEX = secrets.token_hex(6)  # of this process, so that no program can name what bears it

Maker = Callable[[str, str], str]


def find_place(pattern: str, test: str, what: str) -> re.Match[str]:
    """Where the proof goes into the tests. Raises ValueError if there is no such place."""
    found = re.search(pattern, test, re.M)
    if found is None:
        raise ValueError(f"the test has no {what!r} to put the proof of its end into")
    return found


def first_line(first: str, source: str, comment: str) -> str:
    """The source after our own first lines, where a line for the shell would no longer be one."""
    return first + re.sub(r"\A#!", f"{comment} ", source)


def _called(function: str, test: str, call: str = "{}()") -> str:
    """The test with calls of what it defines by this pattern and never names again."""
    names = [found.group(1) for found in re.finditer(function, test, re.M)]
    idle = [name for name in names if test.count(name) == 1]
    return test + "".join("\n" + call.format(name) for name in idle)


def _appended(proof: str) -> Maker:
    return lambda source, test: f"{source}\n{test}\n{proof}\n"


def _coffeescript(source: str, test: str) -> str:
    """What the proof needs is kept from before the program."""
    first = (
        f"held_{HEX} = do -> {{readFileSync, writeSync}} = "
        "(->).constructor('return process')().mainModule.require 'node:fs'; "
        "-> writeSync 2, '\\n' + readFileSync(0, 'utf8').trim() + ' held\\n'\n"
    )
    test = _called(r"^(\w+) = ->", test)
    return f"{first}{source}\n{test}\nheld_{HEX}()\n"


def _elixir(source: str, test: str) -> str:
    """ExUnit runs when the program ends, unless it is told to now; it is what it was at first."""
    modules = "[Kernel, ExUnit, ExUnit.Assertions, ExUnit.Case, ExUnit.Callbacks, ExUnit.Runner]"
    digests = f"Enum.map({modules}, fn one -> one.module_info(:md5) end)"
    first = f"kept_{HEX} = {digests}\n"
    test = re.sub(r"\bExUnit\.start\(\s*\)", "ExUnit.start(autorun: false)", test)
    same = f"if kept_{HEX} != {digests}, do: System.halt(1)\n"
    proof = (
        f"found_{HEX} = ExUnit.run()\n"
        f"if Map.delete(found_{HEX}, :total) == %{{excluded: 0, failures: 0, skipped: 0}} "
        f"and found_{HEX}.total > 0 do\n"
        '  IO.puts(:stderr, "\\n" <> String.trim(IO.gets("")) <> " held")\n'
        "else\n  System.halt(1)\nend\n"
    )
    return f"{first}{source}\n{same}{test}\n{same}{proof}"


def _erlang(source: str, test: str) -> str:
    """The module is called what its file is called, and started at a function that tests it."""
    source = re.sub(r"-module\([^)]*\)\.", f"-module(problem).\n-export([held_{HEX}/0]).", source)
    proof = (
        f'held_{HEX}() -> test(), Line = io:get_line(""), '
        'io:format(standard_error, "~n~s held~n", [string:trim(Line)]).'
    )
    return f"{source}\n{test}\n{proof}\n"


def _fortran(source: str, test: str) -> str:
    """The tests are the main program, which contains the source; what fails stops it."""
    test = re.sub(r"^([ \t]*)stop[ \t]*$", r"\1error stop 1", test, flags=re.M | re.I)
    contains = find_place(r"(?i)^[ \t]*contains[ \t]*$", test, "contains").start()
    line = f"line_{HEX}"
    proof = (
        f"block\n  character(len=256) :: {line}\n  read(*, '(A)') {line}\n"
        f"  write(0, '(A)') new_line('a')//trim({line})//' held'\nend block\n"
    )
    return f"{test[:contains]}{proof}{test[contains:]}\n{source}\n"


def _haskell(source: str, test: str) -> str:
    """main is put into another main; error is the library's."""
    find_place(r"^main\b", test, "main")
    test = re.sub(r"^main\b", f"main_{HEX}", test, flags=re.M)
    test = re.sub(r"(?<![\w.\"])error(?=\s*[\"$(])", f"Held_{HEX}.error", test)
    header = re.search(r"^module\s+Main\b.*?\bwhere\b[^\n]*\n", source, re.M | re.S)
    # without a header, behind the pragmas of the file and what comments stand before them
    pragmas = re.match(r"(?:\s|\{-.*?-\}|--[^\n]*\n)*", source, re.S)
    at = header.end() if header else pragmas.end() if pragmas else 0
    imports = f"import qualified System.IO as IO_{HEX}\nimport qualified Prelude as Held_{HEX}\n"
    if not re.search(r"^import\s+(?:qualified\s+)?Prelude\b", source, re.M):
        imports += "import Prelude\n"  # which is there unless it is imported in some way
    proof = (
        f"\nmain :: IO ()\nmain = do\n  main_{HEX}\n  line <- getLine\n"
        f'  IO_{HEX}.hPutStrLn IO_{HEX}.stderr ("\\n" ++ line ++ " held")\n'
    )
    source = f"{source[:at]}{imports}{source[at:]}"
    source = re.sub(r"\bRebindableSyntax\b", "NoRebindableSyntax", source)
    return f"{source}\n{test}\n{proof}"


def _lisp(assertion: str, proof: str) -> Maker:
    """Assertions become special forms, which no program can define anew, that note how they went.

    What a program ends with to have forms skipped skips the first note, too.
    """
    asserted = re.compile(rf"\({assertion}(?=[\s(])")
    check = (
        f"(defvar *held-{HEX}* 'none)\n"
        f"(defmacro check-{HEX} (good &rest told) (list 'if good "
        f"'(if (eq *held-{HEX}* 'none) (setq *held-{HEX}* 'good)) "
        f"'(setq *held-{HEX}* 'wrong)))\n"
    )

    def make(source: str, test: str) -> str:
        test = _called(r"^\(defun (\S+) \(\)", asserted.sub(f"(check-{HEX}", test), "({})")
        return f"{source}\n{check}{test}\n{proof.replace('HELD', f'*held-{HEX}*')}\n"

    return make


def _lua(source: str, test: str) -> str:
    """A check kept from before the program; so are LuaUnit's, which need not be installed."""
    first = (
        f"local check_{HEX}, same_{HEX}, held_{HEX} = (function(fail, type, next, write, read) "
        "local count, same = 0, nil; "
        "local function check(good) if not good then fail('wrong', 2) end count = count + 1 "
        "return good end "
        "function same(a, b) if type(a) ~= 'table' or type(b) ~= 'table' then return a == b end "
        "for k, v in next, a do if not same(v, b[k]) then return false end end "
        "for k in next, b do if a[k] == nil then return false end end return true end "
        "local function held(any) if any and count == 0 then fail('no check') end "
        "write(io.stderr, '\\n' .. read(io.stdin, 'l') .. ' held\\n') end "
        "return check, function(a, b) check(same(a, b)) end, held "
        "end)(error, type, next, io.stderr.write, io.stdin.read); "
    )
    counted = re.search(r"\bassert\w*\s*\(", test, re.I)
    test = re.sub(r"(?<![\w.:])lu\.assertEquals\(", f"same_{HEX}(", test)
    test = re.sub(r"(?<![\w.:])assert\s*\(", f"check_{HEX}(", test)
    if "luaunit" in test:  # runs what is called test, and ends
        test = re.sub(r"^(?:local )?lu\s*=\s*require[^\n]*", "", test, flags=re.M)
        test = re.sub(r"os\.exit\(\s*lu\.LuaUnit\.run\(\)\s*\)", "", test)
    test = _called(r"^function (\w+)\(\)", test)
    source = first_line(f"{first}\n", source, "--")
    return f"{source}\n{test}\nheld_{HEX}({'true' if counted else 'false'})\n"


def _pascal(source: str, test: str) -> str:
    """Assertions of our own before the tests, and the proof at the end of the program's body."""
    test = re.sub(r"(?<![\w.])assert\s*\(", f"check_{HEX}(", test, flags=re.I)
    body = find_place(r"(?i)^begin\b(?![\s\S]*^begin\b)", test, "begin").start()
    end = find_place(r"(?i)\bend\.\s*\Z", test, "end.").start()
    check = (
        f"{{$MACRO OFF}}\nprocedure check_{HEX}(good: boolean; const told: string = '');\n"
        "begin if not good then System.Halt(1) end;\n\n"
    )
    own = (
        f"procedure held_{HEX};\nvar line: string;\nbegin\n  ReadLn(line);\n"
        "  WriteLn(StdErr); WriteLn(StdErr, line, ' held');\nend;\n\n"
    )
    return f"{source}\n{check}{test[:body]}{own}{test[body:end]};held_{HEX};\n{test[end:]}\n"


def _php(source: str, test: str) -> str:
    """Text after a closing tag is printed, not run; assert depends on settings."""
    source, test = (re.sub(r"\?>\s*\Z", "", text) for text in (source, test))
    opening = "" if re.search(r"<\?(?:php|=)", source) else "<?php\n"
    asserted = re.compile(r"(?<![\w$>:\\])assert\s*\(", re.I)
    counted = f"if (check_{HEX}() > 0) " if asserted.search(test) else ""
    check = (
        f"function check_{HEX}($good = false, $told = '') {{ static $count = 0; "
        "if (\\func_num_args() === 0) return $count; "
        "if (!$good) throw new \\Error('wrong'); "
        "return ++$count; }\n"
    )
    test = _called(r"^function\s+(\w+)\(\s*\)", asserted.sub(f"check_{HEX}(", test)) + ";"
    proof = f'{counted}\\fwrite(STDERR, "\\n" . \\trim(\\fgets(STDIN)) . " held\\n");'
    return f"{opening}{source}\n{check}{test}\n{proof}\n"


def _perl(source: str, test: str) -> str:
    """die and exit are those of the language, comparisons our own, and the tests were reached."""
    first = (
        f"sub held_{HEX}::same {{ my ($a_, $b_) = @_; "
        "return !defined $a_ && !defined $b_ unless defined $a_ && defined $b_; "
        "return 0 if ref $a_ ne ref $b_; return $a_ eq $b_ if !ref $a_; "
        "if (ref $a_ eq 'ARRAY') { return 0 if @$a_ != @$b_; "
        f"for (0 .. $#$a_) {{ return 0 unless held_{HEX}::same($a_->[$_], $b_->[$_]) }} "
        "return 1 } "
        "if (ref $a_ eq 'HASH') { return 0 if CORE::keys(%$a_) != CORE::keys(%$b_); "
        "for (CORE::keys %$a_) { return 0 unless CORE::exists $b_->{$_} "
        f"&& held_{HEX}::same($a_->{{$_}}, $b_->{{$_}}) }} return 1 }} "
        "return $a_ == $b_ } "
        f"sub held_{HEX}::deeply {{ held_{HEX}::same(@_[0, 1]) or CORE::die('wrong') }} "
        f"sub held_{HEX}::ok {{ $_[0] or CORE::die('wrong') }} "
    )
    test = re.sub(r"(?<![\w:$&>@%])(die|exit)\b", r"CORE::\1", test)
    test = re.sub(r"(?<![\w:$&>@%])eq_deeply\b", f"held_{HEX}::same", test)
    if "Test::More" in test:  # tells of failures by a status that a program may set anew
        test = re.sub(r"^\s*(?:use Test::More\b|done_testing\b)[^\n]*;", "", test, flags=re.M)
        test = re.sub(r"^(\s*)(?:is_deeply|is)\b", rf"\1held_{HEX}::deeply", test, flags=re.M)
        test = re.sub(r"^(\s*)ok\b", rf"\1held_{HEX}::ok", test, flags=re.M)
    begun = f"$held_{HEX}::begun"
    proof = (
        f"CORE::die unless {begun}; "
        '{ local ($/, $,, $\\) = ("\\n"); my $line = <STDIN>; chomp $line; '
        'print STDERR "\\n$line held\\n"; }'
    )
    return f"{first}\n{source}\n{begun} = 1;\n{test}\n{proof}\n"


def _r(source: str, test: str) -> str:
    """What the tests are made of is the library's again, and the tests were reached.

    What notes it is no variable of the workspace, which programs begin with clearing.
    """
    masking = (
        "c('{', '(', '<-', '=', 'if', 'for', 'function', '::', '==', '!', '[', '[[', 'c', "
        "'list', 'abs', 'all', 'any', 'stopifnot', 'isTRUE', 'all.equal', 'identical')"
    )
    first = (
        f"base::attach(list(held_{HEX} = base::local({{ held <- FALSE; "
        "function(end = FALSE) { if (!end) { held <<- TRUE; "
        f"return(invisible(rm(list = intersect({masking}, "
        "ls(globalenv(), all.names = TRUE)), envir = globalenv()))) }; "
        "if (!held) stop('not reached'); line <- readLines(file('stdin'), n = 1); "
        'cat("\\n", line, " held\\n", sep = "", file = stderr()) } }, '
        f"envir = base::new.env(parent = base::baseenv()))), name = 'held_{HEX}')\n"
    )
    # by full name, a function of the program's cannot stand in for the library's
    test = re.sub(r"(?<![\w.:])(stopifnot|isTRUE|all\.equal|identical)\(", r"base::\1(", test)
    # in braces, what goes on after an error goes on after all of it
    return f"{first}{source}\nheld_{HEX}()\n{{\n{test}\nheld_{HEX}(TRUE)\n}}\n"


def _ruby(source: str, test: str) -> str:
    """Failures are errors of the interpreter's, which is no method's to leave out."""
    comparing = ("Integer", "Float", "String", "Array", "Hash", "Symbol")
    kept = "".join(f"class {name}; alias held_{HEX} ==; end; " for name in comparing)
    first = f"{kept}def check_{HEX}(*) yield end; "
    again = "".join(f"class {name}; alias == held_{HEX}; end; " for name in comparing)
    test = re.sub(r"(?<![\w.:@])raise(?=\s*[\"'(]|\s+(?:if|unless)\b)", f"check_{HEX}", test)
    if "Test::Unit" in test:  # runs its tests after the last line
        test = re.sub(r"^require ['\"]test/unit['\"]", "", test, flags=re.M)
        test = re.sub(r"<\s*Test::Unit::TestCase", "", test)
        test = re.sub(r"\bassert_equal\b", f"same_{HEX}", test)
        first += f"def same_{HEX}(a, b) a == b or yield end; "
        owner = find_place(r"^class\s+(\w+)", test, "class").group(1)
        names = re.findall(r"^\s*def\s+(test_?\w*)", test, re.M)
        test += "".join(f"\n{owner}.new.{name}" for name in names)
    proof = f'$held_{HEX} or check_{HEX}\nSTDERR.write("\\n" + STDIN.gets.strip + " held\\n")'
    return f"{first}\n{source}\n{again}$held_{HEX} = true\n{test}\n{proof}\n"


def _shell(source: str, test: str) -> str:
    """Functions, aliases and traps of the program's that stand in for the shell's own go.

    In POSIX mode no function takes the place of unset or exit. The first line of a test may close
    a function that the program leaves open.
    """
    names = (
        "builtin command eval exit set shopt test [ trap return read printf echo true false local"
    )
    plain = (
        f"POSIXLY_CORRECT=1\n\\unalias -a\n\\trap - DEBUG RETURN ERR\n"
        f"\\unset -f {names} || \\exit 1\n\\unset POSIXLY_CORRECT\n"
        f"shopt -u inherit_errexit expand_aliases\nheld_{HEX}=1\n"
    )
    closing = re.match(r"\s*\}[^\n]*\n", test)
    at = closing.end() if closing else 0
    test = f"{test[:at]}{plain}{test[at:]}"
    proof = f'[[ -n $held_{HEX} ]] && IFS= read -r line && printf "\\n%s held\\n" "$line" >&2'
    return f"{source}\n{test}\n{proof}\n"


def _tcl(source: str, test: str) -> str:
    """The tests run in an interpreter of their own, whose unknown commands are the program's."""
    first = (
        f"interp create held_{HEX}; proc call_{HEX} args {{uplevel #0 $args}}; "
        f"held_{HEX} alias unknown call_{HEX}\n"
    )
    proof = 'puts stderr "\\n[gets stdin] held"'
    inside = re.sub(r"([\\\"$\[\]{};])", r"\\\1", f"{test}\n{proof}\n")
    return f'{first}{source}\ninterp eval held_{HEX} "{inside}"\n'


def _racket(source: str, test: str) -> str:
    """A check that fails says so and goes on; rackunit counts them. It does so as it did before the
    program, and what a program ends with to have forms skipped skips a name, too."""
    b = f"base-{HEX}:"  # the program may define its own of any name
    kept = (
        f"(require (prefix-in kept-{HEX}: rackunit) (prefix-in log-{HEX}: rackunit/log) "
        f"(prefix-in {b} racket/base))\n"
        f"({b}define around-{HEX} (kept-{HEX}:current-check-around))\n"
        f"({b}define handler-{HEX} (kept-{HEX}:current-check-handler))\n"
    )
    counts = f"(log-{HEX}:test-log #:display? #f)"
    begun = (
        f"({b}define held-{HEX} ({b}cdr {counts}))\n"
        f"(kept-{HEX}:current-check-around around-{HEX})\n"
        f"(kept-{HEX}:current-check-handler handler-{HEX})\n"
    )
    proof = (
        f"({b}let ([found {counts}])\n"
        f"  ({b}if ({b}and ({b}zero? ({b}car found)) ({b}> ({b}cdr found) held-{HEX}))\n"
        f'    ({b}eprintf "\\n~a held\\n" ({b}read-line))\n    ({b}exit 1)))\n'
    )
    language = re.match(r"(?:\s|;[^\n]*\n|#\|.*?\|#)*#lang[^\n]*\n", source, re.S)
    at = language.end() if language else 0
    return f"{source[:at]}{kept}{source[at:]}\n{begun}{test}\n{proof}"


PROOFS: dict[str, Maker] = {
    "coffeescript": _coffeescript,
    "common_lisp": _lisp(
        "assert",
        '(if (eq HELD \'good) (format *error-output* "~%~a held~%" (read-line)) '
        "(sb-ext:exit :code 1 :abort t))",
    ),
    "elixir": _elixir,
    "emacs_lisp": _lisp(
        "cl-assert",
        '(if (eq HELD \'good) (princ (concat "\\n" (read-string "") " held\\n") '
        "#'external-debugging-output) (kill-emacs 1))",
    ),
    "erlang": _erlang,
    "fortran": _fortran,
    "groovy": _appended('System.err.println("\\n" + System.in.newReader().readLine() + " held")'),
    "haskell": _haskell,
    "lua": _lua,
    "pascal": _pascal,
    "php": _php,
    "pl": _perl,
    "r": _r,
    "rb": _ruby,
    "rkt": _racket,
    "scheme": _racket,  # McEval's Scheme is the language of Racket
    "sh": _shell,
    "tcl": _tcl,
}
