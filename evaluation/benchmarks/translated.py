"""Shared by benchmarks in many languages: fences, and how a chat answer continues a prompt.

A translated task's prompt ends in a function's head, and its tests begin where the function ends
(for many languages with the closing brace). A base model's continuation is cut at the language's
stop strings; a chat model repeats the head, so its answer is cut to what follows the head.
Sanitising also keeps helpers and imports that the answer has before the head.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

from evaluation.answers import extract_code
from evaluation.benchmarks.generative import GenerativeBenchmark, Task
from evaluation.benchmarks.python_functions import answered
from evaluation.benchmarks.whole_answers import whole_answer
from evaluation.generation import cut_at_stop
from evaluation.sandbox import Job, LanguageTest, Limits, Program
from evaluation.sandbox.languages import LANGUAGES, toolchain

#: Fence tags of languages whose tag is more than their own name.
_TAGS = {
    "common_lisp": ("lisp", "common-lisp", "commonlisp", "cl"),
    "cpp": ("cpp", "c++", "cc"),
    "cs": ("csharp", "c#", "cs"),
    "emacs_lisp": ("elisp", "emacs-lisp", "lisp"),
    "go": ("go", "golang"),
    "jl": ("julia", "jl"),
    "js": ("javascript", "js"),
    "pl": ("perl", "pl"),
    "py": ("python", "py", "python3"),
    "rb": ("ruby", "rb"),
    "rkt": ("racket", "rkt"),
    "rs": ("rust", "rs"),
    "scheme": ("racket", "scheme", "rkt"),
    "sh": ("bash", "sh", "shell"),
    "ts": ("typescript", "ts"),
}
_TITLES = {
    "c": "C", "coffeescript": "CoffeeScript", "common_lisp": "Common Lisp", "elixir": "Elixir",
    "emacs_lisp": "Emacs Lisp", "erlang": "Erlang", "fortran": "Fortran", "groovy": "Groovy",
    "haskell": "Haskell", "pascal": "Pascal", "scheme": "Scheme", "cpp": "C++",
    "cs": "C#", "d": "D", "go": "Go", "java": "Java", "jl": "Julia",
    "js": "JavaScript", "lua": "Lua", "php": "PHP", "pl": "Perl", "py": "Python", "r": "R",
    "rb": "Ruby", "rkt": "Racket", "rs": "Rust", "scala": "Scala", "sh": "Bash",
    "swift": "Swift", "ts": "TypeScript",
}  # fmt: skip

#: Library: language, a pattern that a program with it has, where Debian puts it, what to do.
_LIBRARIES = {
    "Boost": ("cpp", "<boost/", "/usr/include/boost", "install libboost-dev"),
    "OpenSSL": ("cpp", "<openssl/", "", "programs here are not linked with it"),
    "the crate rand": ("rs", r"\brand::(thread_rng|random)\b", "", "programs here have no crates"),
    "testify": (
        "go",
        '"github.com/stretchr/testify/',
        "/usr/share/gocode/src/github.com/stretchr/testify",
        "install golang-github-stretchr-testify-dev",
    ),
}


def title(language: str) -> str:
    """The language's name in a sentence."""
    return _TITLES.get(language, language)


def tags(language: str) -> tuple[str, ...]:
    """Tags that open a fenced block of the language."""
    return _TAGS.get(language, (language,))


def lacking_toolchain(language: str) -> str | None:
    """Why programs in the language cannot run here, None when they can."""
    if language not in LANGUAGES:
        return f"programs in {title(language)} cannot be run; doctor lists the languages that can"
    missing = toolchain(language).missing
    return f"{title(language)}: {missing}" if missing else None


def lacking_library(language: str, text: str) -> str | None:
    """Why a task cannot be checked here: a library that its own text or tests name is absent."""
    for library, (of, mark, place, how) in _LIBRARIES.items():
        if language == of and re.search(mark, text) and not (place and Path(place).exists()):
            return f"needs {library}: {how}"
    return None


def language_check(language: str, source: str, test: str, limits: Limits) -> Job:
    """The answer and its tests as one program."""
    if language == "py":
        return Program(source=source, test=test, limits=limits)
    if language == "rs":
        source, test = _without_crates(source), _as_main(test)
    if language == "java":
        source, test = _with_tuples(*_in_class_problem(source, test))
    if language == "scala":
        source, test = _in_object_problem(source), _in_object_problem(test)
    return LanguageTest(language=language, source=source, test=test, limits=limits)


def continued(prompt: str, completion: str) -> tuple[str, str]:
    """A base model's continuation, already cut at the stop strings: raw and sanitised alike."""
    return prompt + completion, prompt + completion


def fitted(
    prompt: str, text: str, language: str, stop: Sequence[str], test: str
) -> tuple[str, str]:
    """A chat answer as a program for the tests, raw and sanitised: what defines the function with
    all around it, else a continuation of the prompt."""
    code = extract_code(text, tags(language))
    continuation = f"{prompt.rstrip()}\n{cut_at_stop(code, stop)}"
    return whole_answer(prompt, code, language, test) or (continuation, continuation)


def _without_crates(source: str) -> str:
    """Rust prompts name crates in case they help; here are none, so those lines go."""
    return re.sub(r"^[ \t]*use (?:rand|regex|md5)\b[^;]*;", "", source, flags=re.M)


def _in_class_problem(source: str, test: str) -> tuple[str, str]:
    """The class that holds main goes by the name of the file that Java programs are put into."""
    if re.search(r"\bclass\s+Problem\b", source):
        return source, test
    if re.search(r"\bclass\s+Main\b", test):
        return source, re.sub(r"\b(?:public\s+)?class\s+Main\b", "class Problem", test)
    renamed = (re.sub(r"\bSolution\b", "Problem", text) for text in (source, test))
    return next(renamed), next(renamed)


def _with_tuples(source: str, test: str) -> tuple[str, str]:
    """Java prompts import a library of tuples: those that are used are written out here, as far as
    tests and answers go with them, and the import goes."""
    imported = r"^[ \t]*import\s+org\.javatuples\.[\w*]+\s*;"
    if not re.search(imported, source, re.M):
        return source, test
    source = re.sub(imported, "", source, flags=re.M)
    for size, name in enumerate(("Unit", "Pair", "Triplet", "Quartet", "Quintet"), start=1):
        used = re.search(rf"\b{name}\b", f"{source}\n{test}")
        if used and not re.search(rf"\b(?:class|record|interface)\s+{name}\b", source):
            test += _tuple(name, size)
    return source, test


def _tuple(name: str, size: int) -> str:
    types = [f"T{place}" for place in range(size)]
    values = [f"getValue{place}" for place in range(size)]
    all_types, all_values = ", ".join(types), ", ".join(values)
    parameters = ", ".join(f"{one} {value}" for one, value in zip(types, values, strict=True))
    setters = "".join(
        f"    <X> {name}<{', '.join([*types[:at], 'X', *types[at + 1 :]])}> setAt{at}(X x) "
        f"{{ return new {name}<>({', '.join([*values[:at], 'x', *values[at + 1 :]])}); }}\n"
        for at in range(size)
    )
    return (
        f"\nrecord {name}<{all_types}>({parameters}) {{\n"
        f"    static <{all_types}> {name}<{all_types}> with({parameters}) "
        f"{{ return new {name}<>({all_values}); }}\n{setters}"
        f"    java.util.List<Object> toList() {{ return java.util.Arrays.asList({all_values}); }}\n"
        "    Object getValue(int at) { return toList().get(at); }\n"
        "    public String toString() { return toList().toString(); }\n}\n"
    )


def _in_object_problem(text: str) -> str:
    """Scala starts the object of this name."""
    return re.sub(r"\b(?:Solution|Main)\b", "Problem", text)


def _as_main(test: str) -> str:
    """Rust unit tests as a main function that calls them one after the other."""
    names = re.findall(r"#\[test\]\s*fn\s+(\w+)", test)
    module = re.search(r"\bmod\s+(\w+)", test)
    if not names or module is None:
        return test
    test = re.sub(r"#\[test\]\s*fn", "pub fn", test.replace("#[cfg(test)]", ""))
    calls = "".join(f"    {module.group(1)}::{name}();\n" for name in names)
    return f"{test}\nfn main() {{\n{calls}}}\n"


class TranslatedBenchmark(GenerativeBenchmark):
    """Complete a function of one language: the prompts and answers of all translated sets."""

    language: str
    tests_field = "test"

    @abstractmethod
    def stops(self, task: Task) -> Sequence[str]:
        """Strings that end a base model's answer; the same for all tasks of a language."""

    def instruction(self, task: Task) -> str:
        return (
            f"Complete this {title(self.language)} code and answer with the whole function in one "
            f"code block:\n\n```{tags(self.language)[0]}\n{task.prompt.strip()}\n```\n"
        )

    def base_prompt(self, task: Task) -> str:
        return task.prompt

    def stop(self, *, chat: bool) -> tuple[str, ...]:
        return () if chat else tuple(self.stops(self.tasks()[0]))

    def programs(self, task: Task, completion: str, *, chat: bool) -> tuple[str, str]:
        if chat and self.language == "py":
            names = re.findall(r"^def (\w+)", task.prompt, re.M)
            return answered(task.prompt, completion, names[-1] if names else "")
        if chat:
            test = str(task.data[self.tests_field])
            return fitted(task.prompt, completion, self.language, self.stops(task), test)
        return continued(task.prompt, completion)
