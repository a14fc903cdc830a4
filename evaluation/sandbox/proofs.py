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


def _called(function: str, test: str) -> str:
    """The test with calls of what it defines by this pattern and never names again."""
    names = [found.group(1) for found in re.finditer(function, test, re.M)]
    idle = [name for name in names if len(re.findall(rf"\b{name}\b", test)) == 1]
    return test + "".join(f"\n{name}()" for name in idle)


def _appended(proof: str) -> Maker:
    return lambda source, test: f"{source}\n{test}\n{proof}\n"


def _elixir(source: str, test: str) -> str:
    """ExUnit runs when the program ends, unless it is told to now."""
    test = re.sub(r"\bExUnit\.start\(\s*\)", "ExUnit.start(autorun: false)", test)
    proof = (
        f"found_{HEX} = ExUnit.run()\n"
        f"if Map.delete(found_{HEX}, :total) == %{{excluded: 0, failures: 0, skipped: 0}} "
        f"and found_{HEX}.total > 0 do\n"
        '  IO.puts(:stderr, "\\n" <> String.trim(IO.gets("")) <> " held")\n'
        "else\n  System.halt(1)\nend\n"
    )
    return f"{source}\n{test}\n{proof}"


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
    """main is put into another main."""
    find_place(r"^main\b", test, "main")
    test = re.sub(r"^main\b", f"main_{HEX}", test, flags=re.M)
    header = re.search(r"^module\s+Main\b.*?\bwhere\b[^\n]*\n", source, re.M | re.S)
    at = header.end() if header else 0
    imports = f"import qualified System.IO as IO_{HEX}\n"
    proof = (
        f"\nmain :: IO ()\nmain = do\n  main_{HEX}\n  line <- getLine\n"
        f'  IO_{HEX}.hPutStrLn IO_{HEX}.stderr ("\\n" ++ line ++ " held")\n'
    )
    return f"{source[:at]}{imports}{source[at:]}\n{test}\n{proof}"


def _lisp(assertion: str, check: str, proof: str) -> Maker:
    """An assertion of our own takes the place of one that a program may define anew."""
    asserted = re.compile(rf"\({assertion}(?=[\s(])")

    def make(source: str, test: str) -> str:
        return f"{source}\n{check}\n{asserted.sub(f'(check_{HEX}', test)}\n{proof}\n"

    return make


def _pascal(source: str, test: str) -> str:
    """Assertions of our own before the tests, and the proof at the end of the program's body."""
    test = re.sub(r"(?<![\w.])assert\s*\(", f"check_{HEX}(", test, flags=re.I)
    body = find_place(r"(?i)^begin\b(?![\s\S]*^begin\b)", test, "begin").start()
    end = find_place(r"(?i)\bend\.\s*\Z", test, "end.").start()
    check = (
        f"procedure check_{HEX}(good: boolean; const told: string = '');\n"
        "begin if not good then System.Halt(1) end;\n\n"
    )
    own = (
        f"procedure held_{HEX};\nvar line: string;\nbegin\n  ReadLn(line);\n"
        "  WriteLn(StdErr); WriteLn(StdErr, line, ' held');\nend;\n\n"
    )
    return f"{source}\n{check}{test[:body]}{own}{test[body:end]};held_{HEX};\n{test[end:]}\n"


def _php(source: str, test: str) -> str:
    """Text after a closing tag is printed, not run; assert depends on settings, a check does not."""
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


def _r(source: str, test: str) -> str:
    # by full name, a function of the program's cannot stand in for the library's
    test = re.sub(r"(?<![\w.:])(stopifnot|isTRUE|all\.equal|identical)\(", r"base::\1(", test)
    proof = (
        'base::cat("\\n", base::readLines(base::file("stdin"), n = 1), " held\\n", sep = "", '
        "file = base::stderr())"
    )
    return f"{source}\n{test}\n{proof}\n"


def _racket(source: str, test: str) -> str:
    """A check that fails says so and goes on; rackunit counts them."""
    proof = (
        f"(require (prefix-in log-{HEX}: rackunit/log))\n"
        f"(let ([found (log-{HEX}:test-log #:display? #f)])\n"
        "  (if (and (zero? (car found)) (positive? (cdr found)))\n"
        '    (eprintf "\\n~a held\\n" (read-line))\n    (exit 1)))\n'
    )
    return f"{source}\n{test}\n{proof}"


PROOFS: dict[str, Maker] = {
    "coffeescript": _appended(
        "do (files = require 'fs') -> "
        "files.writeSync 2, '\\n' + files.readFileSync(0, 'utf8').trim() + ' held\\n'"
    ),
    "common_lisp": _lisp(
        "assert",
        f"(defmacro check_{HEX} (good &rest told) (declare (ignore told)) "
        '`(unless ,good (error "wrong")))',
        '(format *error-output* "~%~a held~%" (read-line))',
    ),
    "elixir": _elixir,
    "emacs_lisp": _lisp(
        "cl-assert",
        f'(defmacro check_{HEX} (good &rest _told) `(unless ,good (error "wrong")))',
        '(princ (concat "\\n" (read-string "") " held\\n") #\'external-debugging-output)',
    ),
    "erlang": _erlang,
    "fortran": _fortran,
    "groovy": _appended('System.err.println("\\n" + System.in.newReader().readLine() + " held")'),
    "haskell": _haskell,
    "lua": _appended("io.stderr:write('\\n' .. io.read('l') .. ' held\\n')"),
    "pascal": _pascal,
    "php": _php,
    "pl": _appended('{ my $line = <STDIN>; chomp $line; print STDERR "\\n$line held\\n"; }'),
    "r": _r,
    "rb": _appended('STDERR.write("\\n" + STDIN.gets.strip + " held\\n")'),
    "rkt": _racket,
    "scheme": _racket,  # McEval's Scheme is the language of Racket
    "sh": _appended('IFS= read -r line && printf "\\n%s held\\n" "$line" >&2'),
    "tcl": _appended('puts stderr "\\n[gets stdin] held"'),
}
