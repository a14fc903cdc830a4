# ruff: noqa: E501 - programs are data
"""Answers of chat models in many languages: what they put around a function costs no verdict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evaluation.benchmarks.whole_answers import whole_answer
from evaluation.run import score_samples
from tests.evaluation.benchmarks.test_canonical import ready

#: Language: right answers to "the largest of a list"; `BEST` is what makes them right.
ANSWERS = {
    "cpp": (
        "#include <bits/stdc++.h>\nusing std::vector;\n#define int long long\n\nlong helper(vector<long>& v);\n\n"
        "long max_element(vector<long> l)\n{\n    // main {\n    return helper(l);\n}\n\n"
        "long helper(vector<long>& v)\n{\n    std::sort(v.begin(), v.end());\n    return v[v.size() - 1];\n}\n\n"
        'signed main() {\n    std::cout << max_element({1, 2}) << "}";\n}\n',
        "long max_element(std::vector<long> l) {\n    long m = l[0];\n    for (long x : l) {\n        if (x > m) m = x;\n    }\n\n"
        "    return m;\n}\n\nint main() {\n    assert(max_element({1, 2}) ==",  # it ended here
    ),
    "cs": (
        "public static long MaxElement(List<long> l)\n{\n    long m = l[0];\n    foreach (long x in l)\n    {\n"
        "        if (x > m)\n        {\n            m = x;\n        }\n    }\n\n    return m;\n}\n",
        "using System;\nusing System.Collections.Generic;\n\nnamespace Demo\n{\n    public class Solution\n    {\n"
        "        public long MaxElement(List<long> numbers)\n        {\n            return Best(numbers);\n        }\n\n"
        "        private static long Best(List<long> l) => l.Max();\n    }\n\n    class Problem\n    {\n"
        '        static void Main()\n        {\n            Console.WriteLine("}");\n        }\n    }\n}\n',
    ),
    "d": (
        "import std.algorithm;\n\nlong helper(long[] l)\n{\n    return l.maxElement;\n}\n\nlong max_element(long[] l)\n{\n"
        "    auto m = helper(l);\n\n    return m;\n}\n\nvoid main()\n{\n}\n",
    ),
    "go": (
        'package main\n\nimport (\n\t"fmt"\n\t"sort"\n\t"testing"\n)\n\ntype pair struct {\n\ta, b int\n}\n\n'
        "func helper(v []int) int {\n\tsort.Ints(v)\n\treturn v[len(v)-1]\n}\n\nfunc max_element(l []int) int {\n"
        "\tseen := map[int]struct{}{}\n\tseen[1] = struct{}{}\n\n\treturn helper(l)\n}\n\n"
        "func TestMax_Element(t *testing.T) {\n}\n\nfunc main() {\n\tfmt.Println(max_element([]int{1}))\n}\n",
    ),
    "java": (
        "public static long maxElement(ArrayList<Long> l) {\n    long m = l.get(0);\n    for (long x : l) {\n"
        "        if (x > m) {\n            m = x;\n        }\n    }\n\n    return m;\n}\n",
        "import java.util.*;\nimport org.javatuples.Triplet;\n\npublic class Main {\n    record P(long a) {}\n\n"
        "    public static long maxElement(ArrayList<Long> l)\n    {\n        // assert { main(\n"
        "        return new Triplet<>(helper(l), 1, 2).setAt1(\"x\").getValue0();\n    }\n\n"
        "    private static long helper(List<Long> l) {\n        String s = \"} class Problem { assert(\";\n"
        "        return Collections.max(l);\n    }\n\n    public static void main(String[] args) {\n"
        "        System.out.println(maxElement(new ArrayList<>(List.of(1L))));\n    }\n}\n\nclass Extra {\n    int x;\n}\n",
        "class Solution {\n    public long maxElement(ArrayList<Long> v) {\n"
        "        return v.stream().mapToLong(Long::longValue).max().getAsLong();\n    }\n}\n"
        "public class Problem {\n    public static void main(String[] a) {\n"
        "        System.out.println(new Solution().maxElement(new ArrayList<>(Arrays.asList(1L))));\n    }\n}\n",
    ),
    "js": (
        "'use strict';\nconst max_element = (l) => Math.max(...l);\n\nmodule.exports = max_element;\n"
        "if (require.main === module) {\n  console.log(max_element([1]));\n}\n",
        "class Solver {\n  constructor(v) { this.v = v; }\n  get max() { return this.v.reduce((a, b) => (a > b ? a : b)); }\n}\n\n"
        "function max_element(numbers) {\n  let all = (numbers);\n\n  all = [...all];\n  return new Solver(numbers).max;\n}\n\n"
        "function test() {\n  console.assert(max_element([1, 2]) === 2);\n}\ntest();\n",
    ),
    "lua": (
        "local function better(a, b)\n  return a > b and a or b\nend\n\nfunction max_element(t)\n  local m = t[1]\n\n"
        "  for i = 2, #t do m = better(m, t[i]) end\n\n  return m\nend\n\nprint(max_element({1, 2}))\n",
    ),
    "php": (
        "<?php\ndeclare(strict_types=1);\n\nnamespace App;\n\nfunction max_element(array $numbers): int\n{\n"
        "    $m = $numbers[0];\n\n    // assert }\n    return max($numbers);\n}\n\necho max_element([1]);\n?>\n",
    ),
    "pl": (
        "use strict;\nuse warnings;\n\nsub better {\n    my ($a, $b) = @_;\n    return $a > $b ? $a : $b;\n}\n\n"
        "sub max_element {\n    my ($list) = @_;\n    my $m = $list->[0];\n\n    $m = better($m, $_) for @$list;\n\n"
        "    return $m;\n}\n\nprint max_element([1, 2]), qq(\\n);\n1;\n",
    ),
    "r": (
        "helper <- function(x) {\n  max(x)\n}\n\n# the largest\nmax_element <- function(l) {\n\n  helper(unlist(l))\n}\n\n"
        "print(max_element(c(1, 2)))\n",
        "max_element = function(l) max(l)\n",
    ),
    "rb": (
        "# frozen_string_literal: true\n\ndef better(a, b)\n  a > b ? a : b\nend\n\ndef max_element(list)\n"
        "  m = list.first\n\n  list.each { |x| m = better(m, x) }\n\n  m\nend\n\nputs max_element([1]) if __FILE__ == $0\n",
    ),
    "rkt": (
        "#lang racket/base\n\n(define (helper l)\n  (apply max l))\n\n(define (max_element numbers)\n\n  (helper numbers))\n\n"
        "(displayln (max_element '(1 2)))\n",
    ),
    "rs": (
        "#![allow(dead_code)]\nuse std::cmp::max;\n\npub fn max_element(l: Vec<isize>) -> isize {\n    // '{'\n    helper(&l)\n}\n\n"
        "fn helper(v: &[isize]) -> isize {\n    v.iter().fold(isize::MIN, |a, &b| max(a, b))\n}\n\n"
        'fn main() {\n    println!("{}", max_element(vec![1]));\n}\n\n'
        "#[cfg(test)]\nmod tests {\n    use super::*;\n\n    #[test]\n    fn works() {\n        assert_eq!(max_element(vec![1]), 1);\n    }\n}\n",
    ),
    "scala": (
        "object Solution {\n  def maxElement(l: List[Long]): Long = {\n    helper(l)\n  }\n\n  private def helper(l: List[Long]): Long = l.max\n}\n\nprintln(Solution.maxElement(List(1L)))\n"
        "object Main extends App {\n  println(Solution.maxElement(List(1L)))\n}\n",
        "def maxElement(l : List[Long]) : Long = l.foldLeft(Long.MinValue)((a, b) => if (a > b) a else b)\n",
    ),
    "sh": (
        "#!/usr/bin/env bash\nset -euo pipefail\n\nmax_element()\n{\n    local m=\n\n    for x in $1; do\n"
        "        if [[ -z $m || $x -gt $m ]]; then\n            m=$x\n        fi\n    done\n    echo \"$m\"\n}\n\n"
        'if [[ $# -lt 1 ]]; then\n    exit 1\nfi\nmax_element "$1"\n',
        "function max_element {\n  tr ' ' '\\n' <<< \"$1\" | sort -n | tail -1\n}\n",
    ),
    "ts": (
        "function best<T>(v: T[], less: (a: T, b: T) => boolean): T {\n  return v.reduce((a, b) => (less(a, b) ? b : a));\n}\n\n"
        "export function max_element(numbers: number[]): number {\n\n  return best<number>(numbers, (a, b) => a < b);\n}\n",
    ),
}  # fmt: skip
SLOW = ("cpp", "cs", "d", "go", "java", "r", "rkt", "rs", "scala", "ts")


@pytest.mark.usefixtures("benchmark_files", "sandbox_here")
@pytest.mark.parametrize(
    "language",
    [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in ANSWERS],
)
@pytest.mark.timeout(300)
def test_a_whole_answer_keeps_its_verdict(language: str, tmp_path: Path) -> None:
    ready(f"multipl-e-{language}")
    path = tmp_path / "samples.jsonl"
    rows = []
    for code in ANSWERS[language]:
        told = "Sure:\n\n```\nEND\n```\n\nThis holds since `m` } is the largest.\n"
        if code.endswith("=="):
            told = "```\nEND"
        text = told.replace("END", code.replace("\n", "\r\n") if language == "cs" else code)
        rows.append({"task_id": "HumanEval_35_max_element", "completion": text})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    score_samples(f"multipl-e-{language}", path, tmp_path / "out", chat=True)
    found = [json.loads(line) for line in (tmp_path / "out/results.jsonl").open()]
    told = [(row["passed"], row["passed_sanitised"], row["error"]) for row in found]
    assert told == [(True, True, "")] * len(rows)


def test_what_only_the_prompt_has_is_kept() -> None:
    prompt = (
        "#include<vector>\n#include<string>\nusing namespace std;\nint twice(int x){\n    return 2 * x;\n}\n\n"
        "int f(int x){\n"
    )
    answer = "#include <map>\nint f(int x)\n{\n    return twice(x);\n}\n"
    raw, _ = whole_answer(prompt, answer, "cpp", "int main(){}") or ("", "")
    assert raw.index("#include<string>") < raw.index("int twice") < raw.index("int f(int x)\n{")
    own = f"int twice(int x) {{ return x + x; }}\n{answer}"
    raw, _ = whole_answer(prompt, own, "cpp", "int main(){}") or ("", "")
    assert raw.count("int twice") == 1
    assert whole_answer(prompt, "    return twice(x);\n}\n", "cpp", "int main(){}") is None
    assert whole_answer(prompt, answer, "swift", "") is None


def test_words_before_parentheses_in_comments_are_no_function() -> None:
    prompt = "/*\nThe letters (of any case) in it.\n>>> f([3L])\n3L\n*/\nlong f(long[] l) \n"
    answer = (
        "/**\n * The letters (of any case) in it.\n */\nlong f(long[] l)\n{\n    return 1;\n}\n"
    )
    raw, _ = whole_answer(prompt, answer, "d", "unittest {}") or ("", "")
    assert raw == answer


def test_names_that_a_rust_answer_imports_again_do_not_clash() -> None:
    prompt = "use std::collections::HashMap;\nfn f() -> usize {\n"
    answer = "use std::collections::{HashMap, HashSet};\nfn f() -> usize {\n    1\n}\n"
    raw, _ = whole_answer(prompt, answer, "rs", "fn main() {}") or ("", "")
    assert raw.startswith("use std::collections::{HashMap")
    assert "mod given {\npub use std::collections::HashMap;\n}" in raw


def test_a_method_goes_into_the_class_of_the_prompt() -> None:
    prompt = "import java.util.*;\n\nclass Solution {\n    /** It */\n    public int f(List<Integer> v) {\n"
    alone = "import java.util.stream.*;\npublic int f(List<Integer> v) {\n    return 1;\n}\n"
    raw, _ = whole_answer(prompt, alone, "java", "public class Main {}") or ("", "")
    assert raw.startswith("import java.util.stream.*;\nimport java.util.*;\n\nclass Solution {")
    assert raw.count("{") == raw.count("}") == 2
    named = "package a.b;\npublic class Answer {\n    public int f(List<Integer> v) { return 1; }\n}\nrecord R(int x) {}\n"
    raw, _ = whole_answer(prompt, named, "java", "public class Main {}") or ("", "")
    assert "package" not in raw and "public class" not in raw
    assert raw.index("record R") < raw.index("class Solution {")
    nested = "class A { class B { public int f(List<Integer> v) { return 1; } } }\n"
    assert whole_answer(prompt, nested, "java", "") is None


@pytest.mark.parametrize("language", ["cpp", "js", "scala"])
@pytest.mark.parametrize("unit", [" ", "const f = (\n", "int f("])
def test_an_endless_answer_is_no_whole_function(language: str, unit: str) -> None:
    answer = unit * (2_000_000 // len(unit))
    assert whole_answer("int f(int a) {\n", answer, language, "") is None
