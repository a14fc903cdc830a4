# ruff: noqa: E501 - programs are data
"""Programs of every language: right, wrong, crashing, and forging ones, with tests for them.

CASES have tests of MultiPL-E's shape and, from SHAPES, of those of other benchmarks. SLOW ones have
toolchains that need long.
"""

from __future__ import annotations

from dataclasses import dataclass

SLOW = (
    *("coffeescript", "common_lisp", "cs", "d", "elixir", "emacs_lisp", "erlang", "fortran", "go"),
    *("groovy", "haskell", "java", "pascal", "r", "rkt", "rs", "scala", "scheme", "ts"),
    *("ts-console", "java-lists", "rs-module"),
)


@dataclass(frozen=True)
class Case:
    """head + body + test is a program; what is also right, and each forgery, takes the place of head
    and body."""

    head: str
    right: str
    wrong: str
    crash: str
    test: str
    forgeries: tuple[str, ...] = ()
    right_too: tuple[str, ...] = ()


CASES = {
    "c": Case(
        "#include <assert.h>\n#include <stdlib.h>\nint largest(const int *v, int n) {\n",
        "int m = v[0]; for (int i = 1; i < n; i++) if (v[i] > m) m = v[i]; return m;",
        "return v[0];",
        "return *(int *)0;",
        "}\nint main(void) {\n  int v[3] = {3, 9, 4};\n  assert(largest(v, 3) == 9);\n"
        "  assert(largest(v, 1) == 3);\n  return 0;\n}\n",
        (
            "#include <assert.h>\n#include <stdlib.h>\n__attribute__((constructor)) void first(void)"
            " { exit(0); }\nint largest(const int *v, int n) { return 0;",
            "#include <stdlib.h>\n#include <assert.h>\n#undef assert\n#define assert(e) ((void)0)\n"
            "int largest(const int *v, int n) { return 0;",
            "#include <assert.h>\n#include <stdlib.h>\n#define abort() ((void)0)\nint largest(const int *v, int n) { return v[0];",
            "#include <stdlib.h>\nint largest(const int *v, int n) { return 0; }\n"
            "#define largest(...) 1 || 0\nint x(void) { return 0;",
        ),
    ),
    "coffeescript": Case(
        "largest = (v) ->\n",
        "  Math.max v...",
        "  v[0]",
        "  v.x.y",
        "assertEqual = (actual, expected) ->\n  throw new Error('wrong') unless actual is expected\n"
        "main = ->\n  assertEqual largest([3, 9, 4]), 9\nmain()\n",
        ("largest = (v) ->\n  process.exit 0",),
    ),
    "common_lisp": Case(
        "(defun largest (v)\n",
        "(reduce #'max v))",
        "(first v))",
        '(error "x"))',
        "(defun check-largest ()\n(assert (equal (largest '(3 9 4)) 9))\n"
        "(assert (equal (largest '(1)) 1)))\n(check-largest)",
        (
            "(defun largest (v) (sb-ext:exit :code 0 :abort t))",
            "(sb-ext:unlock-package :cl)\n(defmacro assert (&rest forms) nil)\n(defun largest (v) 0)",
            "(defun largest (v) 0)\n#+nil #+nil #+nil",
            "(sb-ext:unlock-package :cl)\n(sb-ext:unlock-package :sb-impl)\n(defmacro unless (&rest r) nil)\n(defun largest (v) 0)",
        ),
    ),
    "cpp": Case(
        "#include <cassert>\n#include <vector>\nint largest(std::vector<int> v) {\n",
        "int m = v[0]; for (int x : v) if (x > m) m = x; return m;",
        "return v.back();",
        "throw v;",
        "}\nint main() {\n  auto candidate = largest;\n  assert(candidate({3, 9, 4}) == (9));\n"
        "  assert(candidate({-1}) == (-1));\n}\n",
        (
            "#include <cassert>\n#include <vector>\n#include <cstdlib>\n"
            "struct First { First() { std::exit(0); } } first;\n"
            "int largest(std::vector<int> v) { return 0;",
            "#include <vector>\n#include <cassert>\n#undef assert\n#define assert(...) (0)\n"
            "int largest(std::vector<int> v) { return 0;",
            "#include <vector>\n#include <cstdlib>\n#include <cstdio>\n#define candidate(...) 1 || 0\nint largest(std::vector<int> v) { return 0;",
        ),
        right_too=(
            "#include <vector>\n#include <algorithm>\n#define line 1\n#define c 2\n#define place 3\n"
            "int largest(std::vector<int> v) { return *std::max_element(v.begin(), v.end());",
        ),
    ),
    "cs": Case(
        "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\nclass Problem {\n"
        "public static int Largest(List<int> v) {\n",
        "int m = v[0]; foreach (int x in v) if (x > m) m = x; return m;",
        "return v[0];",
        "throw new Exception();",
        "}\npublic static void Main(string[] args) {\n"
        "Debug.Assert(Largest(new List<int>(new int[]{3, 9, 4})) == (9));\n}\n}\n",
        (
            "using System;\nusing System.Diagnostics;\nusing System.Collections.Generic;\n"
            "class Problem {\npublic static int Largest(List<int> v) { Environment.Exit(0); return 0;",
        ),
    ),
    "d": Case(
        "import std.algorithm;\nint largest(int[] v) {\n",
        "return v.maxElement;\n}",
        "return v[0];\n}",
        "return v[99];\n}",
        "unittest\n{\n    alias candidate = largest;\n    assert(candidate([3, 9, 4]) == 9);\n"
        "    assert(candidate([1]) == 1);\n}\nvoid main(){}\n",
        (
            "import core.stdc.stdlib;\nint largest(int[] v) { exit(0); return 0;\n}",
            "import core.runtime;\nshared static this() { Runtime.extendedModuleUnitTester = function() "
            "{ return UnitTestResult(1, 1, true, false); }; }\nint largest(int[] v) { return 0;\n}",
        ),
    ),
    "elixir": Case(
        "defmodule Numbers do\ndef largest(v) do\n",
        "Enum.max(v)\nend\nend",
        "hd(v)\nend\nend",
        'raise "x"\nend\nend',
        "ExUnit.start()\ndefmodule NumbersTest do\nuse ExUnit.Case\n"
        'test "largest" do\nassert Numbers.largest([3, 9, 4]) == 9\nend\nend\n',
        (
            "defmodule Numbers do\ndef largest(_) do\nSystem.halt(0)\nend\nend",
            "Application.put_env(:ex_unit, :exclude, [:test])\n"
            "defmodule Numbers do\ndef largest(_) do\n0\nend\nend",
            "defmodule Numbers do\ndef largest(_) do\n0\nend\nend\nCode.compiler_options(ignore_module_conflict: true)\ndefmodule ExUnit.Assertions do\ndefmacro assert(_), do: true\nend\n",
        ),
    ),
    "emacs_lisp": Case(
        "(require 'cl-lib)\n(defun largest (v)\n",
        "(apply #'max v))",
        "(car v))",
        '(error "x"))',
        "(defun check-largest ()\n(cl-assert (equal (largest '(3 9 4)) 9))\n"
        "(cl-assert (equal (largest '(1)) 1)))\n(check-largest)",
        (
            "(defun largest (v) (kill-emacs 0))",
            "(require 'cl-lib)\n(defmacro cl-assert (&rest _) nil)\n(defun largest (v) 0)",
            "(require 'cl-lib)\n(fset 'error #'ignore)\n(defun largest (v) 0)",
            "(require 'cl-lib)\n(defmacro unless (&rest _) nil)\n(defun largest (v) 0)",
        ),
    ),
    "erlang": Case(
        "-module(numbers).\n-export([largest/1, test/0]).\n\nlargest(V) ->\n",
        "lists:max(V).",
        "hd(V).",
        "error(x, [V]).",
        "test() ->\n9 = largest([3, 9, 4]),\n1 = largest([1]),\nok.",
        ("-module(numbers).\n-export([largest/1, test/0]).\nlargest(_) -> halt(0).",),
    ),
    "fortran": Case(
        "    function largest(v) result(m)\n        integer, intent(in) :: v(:)\n        integer :: m\n",
        "        m = maxval(v)\n    end function largest\nend program main",
        "        m = v(1)\n    end function largest\nend program main",
        "        m = 1\n        error stop 3\n    end function largest\nend program main",
        "program main\n    implicit none\n    call assert(largest([3, 9, 4]) == 9)\n"
        "    call assert(largest([1]) == 1)\n\n  contains\n\n  subroutine assert(condition)\n"
        "    logical, intent(in) :: condition\n    if (.not. condition) then\n"
        "      write(*, *) 'Assertion failed!'\n      stop\n    end if\n  end subroutine assert\n",
        (
            "    function largest(v) result(m)\n        integer, intent(in) :: v(:)\n"
            "        integer :: m\n        m = 0\n        stop\n    end function largest\n"
            "end program main",
        ),
    ),
    "go": Case(
        'package largest_test\n\nimport (\n    "testing"\n    "fmt"\n)\n\nfunc largest(v []int) int {\n',
        "m := v[0]\nfor _, x := range v {\nif x > m {\nm = x\n}\n}\nreturn m\n}",
        "return v[0]\n}",
        "return v[99]\n}",
        "func TestLargest(t *testing.T) {\n  candidate := largest\n\ttype test struct {\n"
        "\t\tactual   interface{}\n\t\texpected interface{}\n\t}\n   tests := []test{\n"
        "     { actual: candidate([]int{3, 9, 4}), expected: 9 },\n"
        "     { actual: candidate([]int{1}), expected: 1 },\n   }\n\n"
        '\tfor i, tc := range tests {\n\t\tt.Run(fmt.Sprintf("test num % d", i), func(t *testing.T) {\n'
        '\t\t\tif fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected) {\n'
        "\t\t\t\tt.Errorf(\"expected '%s', got '%s'\", tc.expected, tc.actual)\n"
        "\t\t\t}\n\t\t})\n\t}\n}\n",
        (
            'package largest_test\n\nimport (\n    "testing"\n    "fmt"\n    "os"\n)\n\n'
            "func largest(v []int) int { os.Exit(0); return 0\n}",
            'package largest_test\n\nimport (\n    "testing"\n    "fmt"\n    "flag"\n)\n\n'
            'func init() { flag.Set("test.run", "TestLargest/none") }\n'
            "func largest(v []int) int { return 0\n}",
        ),
    ),
    "groovy": Case(
        "int largest(List<Integer> v) {\n",
        "    return v.max()\n}",
        "    return v[0]\n}",
        "    throw new Exception('x')\n}",
        "assert largest([3, 9, 4]) == 9\nassert largest([1]) == 1\n",
        ("int largest(List<Integer> v) { System.exit(0); return 0 }",),
    ),
    "haskell": Case(
        "module Main where\n\nimport Data.List (sort)\nimport System.Exit\nimport System.IO.Unsafe\n\n"
        "largest :: [Int] -> Int\nlargest numbers =\n",
        "  last (sort numbers)",
        "  head numbers",
        '  error "x"',
        "check :: ([Int] -> Int) -> IO ()\ncheck f = do\n"
        '  if f [3, 9, 4] == 9 then putStrLn "Pass" else error "Test failed"\n\n'
        "main :: IO ()\nmain = check largest\n",
        (
            "module Main where\n\nimport System.Exit\nimport System.IO.Unsafe\n\n"
            "largest :: [Int] -> Int\nlargest _ = unsafePerformIO exitSuccess",
            "module Main where\n\nimport Prelude hiding (error)\n\nerror :: String -> IO ()\nerror _ = return ()\n\nlargest :: [Int] -> Int\nlargest _ = 0",
            "{-# LANGUAGE RebindableSyntax #-}\nmodule Main where\n\nimport Prelude\n\nifThenElse :: Bool -> a -> a -> a\nifThenElse _ a _ = a\n\nlargest :: [Int] -> Int\nlargest _ = 0",
        ),
        right_too=(
            "-- the largest\n{-# LANGUAGE TupleSections #-}\nimport Data.List (sort)\n"
            "largest :: [Int] -> Int\nlargest v = fst (last (map (, 0) (sort v)))\n",
        ),
    ),
    "java": Case(
        "import java.util.*;\nclass Problem {\npublic static int largest(ArrayList<Integer> v) {\n",
        "int m = v.get(0); for (int x : v) if (x > m) m = x; return m;",
        "return v.get(0);",
        "return v.get(99);",
        "}\npublic static void main(String[] args) {\n"
        "assert(largest(new ArrayList<Integer>(Arrays.asList(3, 9, 4))) == (9));\n"
        'String text = "} // {";\n}\n}\n',
        (
            "import java.util.*;\nclass Problem {\n"
            "public static int largest(ArrayList<Integer> v) { System.exit(0); return 0;",
        ),
    ),
    "js": Case(
        "function largest(v) {\n",
        "return Math.max(...v);\n}",
        "return v[0];\n}",
        "return v.x.y;\n}",
        "const assert = require('node:assert');\nfunction test() {\n  let candidate = largest;\n"
        "  assert.deepEqual(candidate([3, 9, 4]), 9);\n  assert.deepEqual(candidate([1]), 1);\n}\n"
        "test();\n",
        (
            "function largest(v) { process.exit(0);\n}",
            "require('assert').deepEqual = () => {};\nfunction largest(v) { return 0;\n}",
            "const r=require;\nrequire = n => String(n).includes('assert') ? {deepEqual(){}, equal(){}} : r(n);\nfunction largest(v) { return 0;\n}",
            "const M=require('module'), o=M._load;\nM._load=function(n){ return n.includes('assert') ? {deepEqual(){}} : o.apply(this,arguments); };\nfunction largest(v) { return 0;\n}",
            "function require(name) { return { deepEqual() {} }; }\nfunction largest(v) { return 0;\n}",
            "test = () => {};\nfunction largest(v) { return 0;\n}",
            "function largest(v) { return 0;\n}\nif (false)",
        ),
        right_too=(
            "#!/usr/bin/env node\n'use strict';\nfunction largest(v) { return Math.max(...v); }\n",
            "async function main() { await null; console.error('told late'); }\n"
            "function largest(v) { return Math.max(...v); }\nmain();\n",
        ),
    ),
    "lua": Case(
        "function largest(v)\n",
        "local m = v[1]\nfor _, x in ipairs(v) do if x > m then m = x end end\nreturn m\nend",
        "return v[1]\nend",
        "return v.a.b\nend",
        "local candidate = largest\nassert(candidate({3, 9, 4}) == 9)\n",
        (
            "function largest(v)\nos.exit(0)\nend",
            "assert = function(...) return ... end\nfunction largest(v)\nreturn v[1]\nend",
        ),
        right_too=("#!/usr/bin/lua\nfunction largest(v) return math.max(table.unpack(v)) end\n",),
    ),
    "pascal": Case(
        "{$ASSERTIONS ON}\nuses\n  SysUtils, Math;\n"
        "function largest(const v: array of integer): integer;\n",
        "begin\n  largest := MaxIntValue(v);\nend;",
        "begin\n  largest := v[0];\nend;",
        "begin\n  raise Exception.Create('x');\nend;",
        "procedure testLargest;\nbegin\n  Assert(largest([3, 9, 4]) = 9);\n"
        "  Assert(largest([1]) = 1);\nend;\n\nbegin\n  testLargest;\nend.\n",
        (
            "{$ASSERTIONS ON}\nuses\n  SysUtils, Math;\n"
            "function largest(const v: array of integer): integer;\nbegin\n  Halt(0);\nend;",
            "{$ASSERTIONS ON}\nuses\n  SysUtils, Math;\nprocedure Assert(held: boolean);\nbegin\nend;\n"
            "function largest(const v: array of integer): integer;\nbegin\n  largest := 0;\nend;",
        ),
    ),
    "php": Case(
        "<?php\nfunction largest($v) {\n",
        "return max($v);\n}",
        "return $v[0];\n}",
        "throw new Exception('x');\n}",
        "function test(): void {\n  if (largest([3, 9, 4]) !== 9) { throw new Exception('wrong'); }\n"
        "}\ntest();\n",
        ("<?php\nfunction largest($v) { exit(0);\n}",),
    ),
    "pl": Case(
        "sub largest {\n  my ($v) = @_;\n",
        "my $m = $v->[0]; for (@$v) { $m = $_ if $_ > $m } return $m;\n}",
        "return $v->[0];\n}",
        "die 'x';\n}",
        "use Test::Deep;\nsub testing {\n  my $candidate = \\&largest;\n"
        "  if (eq_deeply($candidate->([3, 9, 4]), 9)) { print 'ok!' } else { exit 1; }\n}\ntesting();\n",
        (
            "sub largest { exit 0;\n}",
            "BEGIN { *CORE::GLOBAL::exit = sub (;$) { 0 }; }\nsub largest { return 0;\n}",
            "sub largest { return 0;\n}\n{ no strict; no warnings; *main::eq_deeply = sub { 1 }; }\n",
            "sub largest { return 0;\n}\nmy $x = <<'testing();';\n",
            "BEGIN { $INC{'Test/Deep.pm'}=1; *Test::Deep::import=sub { *main::eq_deeply=sub{1} }; }\nsub largest { return 0;\n}\n",
        ),
        right_too=(
            "$/ = undef;\n$, = ' ';\nsub largest { return (sort { $b <=> $a } @{$_[0]})[0]; }\n",
        ),
    ),
    "r": Case(
        "largest <- function(v) {\n",
        "max(v)\n}",
        "v[1]\n}",
        "stop('x')\n}",
        "test_humaneval <- function() {\n    candidate <- largest\n"
        "    stopifnot(isTRUE(all.equal(candidate(c(3, 9, 4)), 9)))\n"
        "    stopifnot(isTRUE(all.equal(candidate(c(1)), 1)))\n}\ntest_humaneval()",
        (
            "largest <- function(v) quit(status = 0)",
            "stopifnot <- function(...) NULL\nlargest <- function(v) 0",
            "isTRUE <- function(x) TRUE\nlargest <- function(v) 0",
            "`{` <- function(...) invisible(NULL)\nlargest <- function(v) 0",
            "`::` <- function(a,b) { n <- as.character(substitute(b)); if (n=='stopifnot') return(function(...) NULL); get(n, envir=baseenv()) }\nlargest <- function(v) 0",
            "test_humaneval <- function() NULL\nlockBinding('test_humaneval', environment())\n`<-` <- function(a,b) NULL\nlargest = function(v) 0",
            "options(error = function() NULL)\nlargest <- function(v) 0",
        ),
        right_too=(
            "rm(list = ls())\nlargest <- function(v) max(v)\n",
            "rm(list = ls(all.names = TRUE))\nlargest <- function(v) max(v)\n",
        ),
    ),
    "rb": Case(
        "def largest(v)\n",
        "v.max\nend",
        "v[0]\nend",
        "raise 'x'\nend",
        "raise 'wrong' unless largest([3, 9, 4]) == 9\n",
        (
            "def largest(v)\nexit 0\nend",
            "at_exit { exit! 0 }\ndef largest(v)\n0\nend",
            "def raise(*a); end\ndef largest(v)\n0\nend",
            "class Integer; def ==(o); true; end; end\ndef largest(v)\n0\nend",
        ),
    ),
    "rkt": Case(
        "#lang racket\n\n(define (largest v)\n",
        "(apply max v))",
        "(first v))",
        "(error 'x))",
        "(require rackunit)\n\n(define (test-humaneval)\n  (let (( candidate largest))\n"
        "    (check-within (candidate (list 3 9 4)) 9 0.001)\n"
        "    (check-within (candidate (list 1)) 1 0.001)\n))\n\n(test-humaneval)",
        (
            "#lang racket\n(define (largest v) (exit 0))",
            "#lang racket\n(require (only-in rackunit current-check-around))\n"
            "(current-check-around void)\n(define (largest v) 0)",
            "#lang racket\n(require (only-in rackunit current-check-handler))\n"
            "(current-check-handler void)\n(define (largest v) 0)",
            "#lang racket\n(require (only-in rackunit check-true))\n(check-true #t)\n(define (largest v) 0)\n#<<(test-humaneval)\n",
            "#lang racket\n(require (only-in rackunit check-true))\n(check-true #t)\n(define (largest v) 0)\n#;#;#;",
            "#lang racket\n(require (prefix-in r: rackunit))\n(define (largest v) 0)\n(r:check-true #t)\n(r:current-check-around (lambda (t) (void)))",
        ),
        right_too=(
            ";; the largest\n#| of\nall |#\n#lang racket\n(define (largest v) (apply max v))",
        ),
    ),
    "rs": Case(
        "fn largest(v: Vec<i32>) -> i32 {\n",
        "*v.iter().max().unwrap()",
        "v[0]",
        "v[99]",
        "}\nfn main() {\n    let candidate = largest;\n    assert_eq!(candidate(vec![3, 9, 4]), 9);\n"
        "    assert_eq!(candidate(vec![1]), 1);\n}\n",
        (
            "fn largest(v: Vec<i32>) -> i32 { std::process::exit(0)",
            "macro_rules! assert_eq { ($a:expr, $b:expr) => { let _ = ($a, $b); } }\n"
            "fn largest(v: Vec<i32>) -> i32 { 0",
            "extern crate std as real;\nextern crate self as std;\npub use real::{string, io};\n#[macro_export] macro_rules! assert_eq { ($($t:tt)*) => {}; }\n#[macro_export] macro_rules! eprintln { ($($t:tt)*) => { real::eprintln!($($t)*) }; }\nfn largest(v: Vec<i32>) -> i32 { 0",
        ),
    ),
    "scala": Case(
        "import scala.math._\nimport scala.collection.mutable._\nobject Problem {\n"
        "    def largest(v : List[Int]) : Int = {\n",
        "        v.max",
        "        v.head",
        "        v(99)",
        "    }\n    def main(args: Array[String]) = {\n"
        "    assert(largest((List[Int](3, 9, 4))) == (9));\n"
        "    assert(largest((List[Int](1))) == (1));\n    }\n\n}\n",
        (
            "object Problem {\n    def largest(v : List[Int]) : Int = { sys.exit(0)",
            "object Problem {\n    def assert(held : Boolean): Unit = {}\n"
            "    def largest(v : List[Int]) : Int = { 0",
        ),
    ),
    "scheme": Case(
        "#lang racket\n(require rackunit)\n(define (largest v)\n",
        "(apply max v))",
        "(first v))",
        "(error 'x))",
        "(define (check largest)\n(check-equal? (largest '(3 9 4)) 9)\n"
        "(check-equal? (largest '(1)) 1))\n(check largest)",
        (
            "#lang racket\n(require rackunit)\n(define (largest v) (exit 0))",
            "#lang racket\n(require rackunit)\n(check-true #t)\n(define (largest v) 0)\n#;#;",
        ),
    ),
    "sh": Case(
        "largest() {\n",
        'm=$1; for x in "$@"; do (( x > m )) && m=$x; done; echo "$m"',
        'echo "$1"',
        "false",
        '}\ncandidate() {\n    largest "$@"\n}\nset -e\nrun_test() {\n'
        '    [[ $(candidate 3 9 4) = "9" ]]\n    [[ $(candidate 1) = "1" ]]\n}\nrun_test\n',
        (
            "trap 'exit 0' EXIT\nlargest() {\necho 0",
            "exit 0\nlargest() {\n:",
            "set() { :; }\nlargest() {\necho 0",
            "shopt -s expand_aliases\nalias '[[=: [['\nlargest() {\necho 0",
            "largest() { :; }\n: <<'run_test'\n",
        ),
    ),
    "tcl": Case(
        "proc largest {v} {\n",
        "return [tcl::mathfunc::max {*}$v]\n}",
        "return [lindex $v 0]\n}",
        "error x\n}",
        "if {[largest {3 9 4}] != 9} { exit 1 }\n",
        (
            "proc largest {v} { exit 0 \n}",
            "proc exit args {}\nproc largest {v} { return 0 \n}",
            "rename if _if\nproc if args {}\nproc largest {v} { return 0 \n}",
        ),
    ),
    "ts": Case(
        "function largest(v: number[]): number {\n",
        "return Math.max(...v);\n}",
        "return v[0];\n}",
        "throw new Error('x');\n}",
        "declare var require: any;\nconst assert = require('node:assert');\nfunction test() {\n"
        "  assert.deepEqual(largest([3, 9, 4]), 9);\n}\ntest();\n",
        (
            "declare var require: any;\nvar r = require;\nrequire = (n: string) => n.indexOf('assert') >= 0 ? { deepEqual() {} } : r(n);\nfunction largest(v: number[]): number {\nreturn 0;\n}",
        ),
        right_too=(
            "#!/usr/bin/env ts-node\nconst largest = (v: number[]): number => v.sort((a, b) => a - b).at(-1)!;\n"
            "function test(): void {}\n",
        ),
    ),
}


def _in_shape(language: str, test: str, *forgeries: str, head: str = "") -> Case:
    """A case of the language with a test of another benchmark's shape."""
    case = CASES[language]
    return Case(head or case.head, case.right, case.wrong, case.crash, test, forgeries)


#: Language and test as other benchmarks have them: what they call does not fail by itself, or ends
#: the program, or runs after the last line.
SHAPES = {
    "js-console": _in_shape(
        "js",
        "const testLargest = () => {\n  console.assert(largest([3, 9, 4]) === 9)\n"
        "  console.assert(JSON.stringify([largest([1])]) === JSON.stringify([1]))\n}\n\n"
        "testLargest()\n",
        "console.assert = () => {};\nfunction largest(v) { return 0;\n}",
        "JSON.stringify = () => 'x';\nfunction largest(v) { return 9;\n}",
    ),
    "ts-console": _in_shape(
        "ts", '(() => {\n    console.assert(largest([3, 9, 4]) === 9, "Test 1");\n})();\n'
    ),
    "php-assert": _in_shape(
        "php",
        'function main(){\n    assert(largest([3, 9, 4]) === 9, "Test 1");\n'
        "    assert(largest([1]) === 1);\n}\nmain();\n?>\n",
        "<?php\nini_set('zend.assertions', '0');\nini_set('assert.exception', '0');\n"
        "function largest($v) { return 0; }\n",
        "<?php\nfunction largest($v) { return 0; }\nif (false)\n",
    ),
    "php-text": _in_shape(
        "php",
        "function main(){\n    if (largest([3, 9, 4]) != 9){\n        exit(1);\n    }\n}main();\n?>",
        head="function largest($v) {\n",
    ),
    "php-idle": _in_shape("php", "function main(){\n    assert(largest([3, 9, 4]) === 9);\n}\n"),
    "rb-unit": _in_shape(
        "rb",
        "require 'test/unit'\nclass TestHumanEval < Test::Unit::TestCase\n  def test_largest\n"
        "    candidate = method(:largest)\n    assert_equal(9, candidate.call([3, 9, 4]))\n"
        "    assert_equal(1, candidate.call([1]))\n  end\nend\n",
        "at_exit { exit! 0 }\ndef largest(v)\n0\nend\n",
        "require 'test/unit'\nTest::Unit::AutoRunner.need_auto_run = false\ndef largest(v)\n0\nend\n",
        "def largest(v)\n0\nend\nx = <<'end'\n",
        "module Test; module Unit; class TestCase; end; end; end\ndef require(n); true; end\n"
        "def largest(v)\n0\nend\n",
    ),
    "lua-unit": _in_shape(
        "lua",
        "lu = require('luaunit')\n\nfunction test_humaneval()\nlocal candidate = largest\n"
        "    lu.assertEquals(candidate({3, 9, 4}), 9)\n    lu.assertEquals({candidate({1})}, {1})\n"
        "end\n\nos.exit(lu.LuaUnit.run())",
        "package.preload['luaunit'] = function() return {assertEquals = function() end, "
        "LuaUnit = {run = function() return 0 end}} end\nos.exit = function() end\n"
        "function largest(v)\nreturn 0\nend\n",
    ),
    "pl-more": _in_shape(
        "pl",
        "sub check {\nmy $func = shift;\nuse Test::More tests => 2;\n"
        'is_deeply &$func([3, 9, 4]), 9, "Test 1 passed!";\n'
        'is_deeply [&$func([1])], [1], "Test 2 passed!";\n}\n\ncheck(\\&largest);\n',
        "END { $? = 0 }\nuse Test::More;\nTest::More->builder->failure_output(\\*STDOUT);\n"
        "sub largest { return 0;\n}\n",
    ),
    "pl-die": _in_shape(
        "pl",
        'die "Test failed!" unless largest([3, 9, 4]) == 9;\n',
        "BEGIN { *CORE::GLOBAL::die = sub { 0 }; }\nsub largest { return 0;\n}",
    ),
    "sh-exit": _in_shape(
        "sh",
        '}\ntest_largest() {\n[[ $(largest 3 9 4) == "9" ]] || { echo "Test 1 failed"; exit 1; }\n}\n'
        "test_largest\n",
        "exit() { return 0; }\nlargest() { echo 0;",
        "exit() { return 0; }\nunset() { :; }\nbuiltin() { :; }\nlargest() { echo 0;",
    ),
    "tcl-error": _in_shape(
        "tcl",
        'proc check {largest} {\nif {[largest {3 9 4}] == 9} {\nputs "Test case 1 Passed"\n'
        '} else {\nerror "Test case 1 Failed"\n}\n}\ncheck largest\n',
        "proc error args {}\nproc largest {v} { return 0 }\n",
        "proc interp args {}\nproc largest {v} { return 0 }\n",
    ),
    "java-lists": _in_shape(
        "java",
        "}\n}\nclass Other {\n}\nclass Problem {\n    public static void main(String[] args) {\n"
        "        Solution s = new Solution();\n        List<Boolean> correct = Arrays.asList(\n"
        "                s.largest(new ArrayList<Integer>(Arrays.asList(3, 9, 4))) == 9\n        );\n"
        "        if (correct.contains(false)) {\n            throw new AssertionError();\n"
        "        }\n    }\n}\n",
        "import java.util.*;\nclass Arrays { @SafeVarargs static <T> List<T> asList(T... x) "
        "{ return new ArrayList<T>(); } }\nclass Solution { public int largest(List<Integer> v) "
        "{ return 0;",
        head="import java.util.*;\nclass Solution {\npublic static int largest(ArrayList<Integer> v) {\n",
    ),
    "rs-module": _in_shape(
        "rs",
        "}\nmod tests {\n    use super::*;\n\n    pub fn test_largest() {\n"
        "        assert_eq!(largest(vec![3, 9, 4]), 9);\n    }\n\n}\n\nfn main() {\n"
        "    tests::test_largest();\n}\n",
    ),
}
CASES |= SHAPES
