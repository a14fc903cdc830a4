"""Chat answers that hold the whole function: programs of their own, which the tests go on.

A chat model answers with all of the function, and with what it likes beside it: helpers before and
after, blank lines, another layout of the head, the class around it, imports, examples, a main or
tests of its own. Strings that end a base model's continuation would cut such an answer anywhere.
So the answer stays as it is, but for a main and tests, where the benchmark has its own; it gets
what only the prompt has: imports, helpers, the class. Tests that begin with the closing brace of a
function find an empty one's open.
"""

from __future__ import annotations

import re

from evaluation.benchmarks.go_files import go_imports, go_name, without_go_imports
from evaluation.sandbox.instrument import body_end, braces

_TYPED = (
    r"^[ \t]{0,99}(?!(?:return|else|new|throw|delete|await|yield|case|goto)\b)"
    r"[\w:<>,.*&?!\[\]() \t@\"]{0,300}[\w>\]*&?)][ \t*&]{1,20}%s[ \t]*(?:<[^(){};]*>)?"
    r"\((?:[^;{}()]|\((?:[^;{}()]|\([^;{}()]*\))*\))*\)[^;{}()]*(?:\{|=>)"
)
#: Characters; no right answer is longer, and patterns take their time with one that is.
_LONGEST = 50_000
#: How a function of a name is defined; a group holds the name.
_DEFINED = {
    "cpp": _TYPED,
    "cs": _TYPED,
    "d": _TYPED,
    "java": _TYPED,
    "go": r"^func[ \t]+%s\b",
    "js": r"^[ \t]*(?:export[ \t]+(?:default[ \t]+)?)?(?:async[ \t]+)?(?:function\b\*?[ \t]*%s\b"
    r"|(?:const|let|var)[ \t]+%s\b"
    r"(?=[^\n]*?=[ \t]*(?:async\b|function\b|<|\([^;]*?\)[^;\n]*=>|\w+[ \t]*=>)))",
    "lua": r"^[ \t]*(?:local[ \t]+)?(?:function[ \t]+%s\b|%s[ \t]*=[ \t]*function\b)",
    "php": r"^[ \t]*function[ \t]+&?%s\b",
    "pl": r"^[ \t]*sub[ \t]+%s\b",
    "r": r"^[ \t]*%s[ \t]*(?:<-|=)[ \t]*(?:function\b|\\\()",
    "rb": r"^[ \t]*def[ \t]+(?:self\.)?%s(?![\w?!])",
    "rkt": r"^[ \t]*\(define\*?[ \t]+\(*%s(?=[\s()])",
    "rs": r"^[ \t]*(?:pub(?:\([^)]*\))?[ \t]+)?(?:(?:const|async|unsafe)[ \t]+)*fn[ \t]+%s\b",
    "scala": r"^[ \t]*(?:(?:private|protected|final|override|implicit|@\w+)[ \t]+)*"
    r"(?:def|val)[ \t]+%s\b",
    "sh": r"^[ \t]*(?:function[ \t]+%s\b|%s[ \t]*\([ \t]*\))",
}
_DEFINED["ts"] = _DEFINED["js"]
_NAME = {"rkt": r"([^\s()]+)", "rb": r"(\w+[?!]?)", "sh": r"([\w-]+)"}

#: A main of the answer's own, and Go's tests.
_MAIN = {
    "cpp": r"^[ \t]*(?:int|void|auto|signed)\s+main\s*\(",
    "cs": r"^[ \t]*(?:(?:public|private|internal|static|async)\s+)*"
    r"(?:void|int|Task(?:<int>)?)\s+Main\s*\(",
    "d": r"^(?:void|int)\s+main\s*\(",
    "go": r"^func[ \t]+(?:main\(\)|(?:Test|Benchmark|Example)\w*\()",
    "java": r"^[ \t]*(?:(?:public|protected|private|static|final)\s+)*void\s+main\s*\(",
    "rs": r"^[ \t]*(?:pub\s+)?fn\s+main\s*\(",
    "scala": r"^[ \t]*(?:override\s+)?def\s+main\s*\(",
}
#: Lines that say what a program uses.
_USES = {
    "cpp": r"#include\b.*|using\s.*;",
    "cs": r"using\s[^(]*;",
    "d": r"import\s.*;",
    "java": r"import\s.*;",
    "rkt": r"#lang\s.*",
    "rs": r"use\s.*;",
    "scala": r"import\s.*",
}
#: What the tests close first, where they begin with a closing brace.
_LEFT_OPEN = {
    "cpp": "namespace {",
    "cs": "static void LeftOpen() {",
    "java": "static void leftOpen() {",
    "rs": "mod left_open {",
    "scala": "def leftOpen(): Unit = {",
    "sh": "{ :",
}
#: Languages in which statements may stand beside functions.
_SCRIPTS = ("js", "lua", "php", "pl", "r", "rb", "ts")
_TYPE = re.compile(r"\b(class|object|struct|record|interface|trait)\s+(\w+)[^{};]*\Z")


def whole_answer(prompt: str, code: str, language: str, test: str) -> tuple[str, str] | None:
    """The answer as a program's beginning: raw, and without what follows its last function or is
    imported in vain. None where it lacks the function whose head the prompt ends in."""
    if len(code) > _LONGEST:
        return None
    heads = _definitions(f"{prompt.rstrip()} {{", language)
    code = code.replace("\r\n", "\n")
    if not heads or heads[-1][0] not in dict(_definitions(code, language)):
        return None
    name, head = heads[-1]
    opening = prompt[: head.start()]
    if language == "go":
        return _go(opening, code, sanitised=False), _go(opening, code, sanitised=True)
    code = _without_mains(code, language)
    if language in ("cs", "java", "scala"):
        whole = _in_class(opening, head.group(), name, code, language, test)
        return (whole, whole) if whole else None
    if language == "sh":  # examples may end the program
        code = _through_last_function(code, language)
    uses, helpers = _missing(opening, code, language)
    if language == "rkt" and re.search(r"^#lang\b", code, re.M):
        uses = ""
    if language == "rs" and uses:  # names that the answer imports, too, may not be there twice
        pub = re.sub(r"^[ \t]*use\b", "pub use", uses, flags=re.M)
        code = f"{code.rstrip()}\n#[allow(unused_imports)]\nuse given::*;\nmod given {{\n{pub}}}\n"
        uses = ""
    before = f"{uses}{helpers}"
    after = f"{_LEFT_OPEN[language]}\n" if test.lstrip().startswith("}") else ""
    trimmed = _through_last_function(code, language) if language in _SCRIPTS else code
    return f"{before}{code.rstrip()}\n{after}", f"{before}{trimmed.rstrip()}\n{after}"


def _definitions(code: str, language: str) -> list[tuple[str, re.Match[str]]]:
    """Functions that are defined, by their names, in order."""
    pattern = _DEFINED.get(language, r"(?!)").replace("%s", _NAME.get(language, r"([\w$]+)"))
    return [
        (next(filter(None, found.groups())), found) for found in re.finditer(pattern, code, re.M)
    ]


def _missing(opening: str, code: str, language: str) -> tuple[str, str]:
    """Lines of use, and helpers, that precede the function in the prompt and not in the answer."""
    uses, rest = [], []
    there = {line.strip() for line in code.split("\n")}
    for line in opening.split("\n"):
        if not re.fullmatch(_USES.get(language, r"(?!)"), line.strip()):
            rest.append(line)
        elif line.strip() not in there:
            uses.append(f"{line}\n")
    helpers = "\n".join(rest).strip("\n") + "\n"
    named = [name for name, _ in _definitions(helpers, language)]
    named += re.findall(r"^(?:struct|union|class)\s+(\w+)[^;\n]*\{", helpers, re.M)
    own = {name for name, _ in _definitions(code, language)}
    own.update(re.findall(r"\b(?:struct|union|class)\s+(\w+)", code))
    return "".join(uses), "" if own.intersection(named) or not named else helpers


def _closing(code: str, start: int) -> int:
    """Where the first braces after start close: its end, if it breaks off before."""
    try:
        return body_end(code, start)
    except ValueError:
        return len(code)


def _without_mains(code: str, language: str) -> str:
    while found := re.search(_MAIN.get(language, r"(?!)"), code, re.M):
        code = code[: found.start()] + code[_closing(code, found.end()) + 1 :]
    return code


def _through_last_function(code: str, language: str) -> str:
    """Without what follows the last function, if its end is found."""
    found = [match.group() for _, match in _definitions(code, language)]
    widths = [len(text) - len(text.lstrip()) for text in found]
    outer = max(place for place, width in enumerate(widths) if width == min(widths))
    start = _definitions(code, language)[outer][1].start()
    first, *lines = code[start:].split("\n")
    if re.search(r"(?:\}|\bend);?[ \t]*$", first):
        return code[:start] + first
    indent = first[: len(first) - len(first.lstrip())]
    for number, line in enumerate(lines):
        if re.match(rf"{indent}(?:\}}|end\b)", line):
            return code[:start] + "\n".join([first, *lines[: number + 1]])
    return code


def _go(opening: str, code: str, *, sanitised: bool) -> str:
    """Imports are merged; what only the answer's own tests used goes with them."""
    body = _without_mains(without_go_imports(code), "go")
    kept = go_imports(opening)
    for spec in go_imports(code):
        used = rf"\b{re.escape(go_name(spec))}\."
        unused_at_all = not sanitised and not re.search(used, without_go_imports(code))
        if spec not in kept and (re.search(used, body) or unused_at_all):
            kept.append(spec)
    clause = re.search(r"^package[ \t]+\w+\n", opening, re.M)
    imports = "".join(f"import {spec}\n" for spec in kept)
    _, helpers = _missing(without_go_imports(opening), code, "go")
    return f"{clause.group() if clause else ''}{imports}{helpers}{body}"


def _in_class(
    opening: str, head: str, name: str, code: str, language: str, test: str
) -> str | None:
    """The method inside a class of the prompt's name; None where it stands deeper."""
    wrapping = re.compile(r"^(?:namespace|package)[ \t]+[\w.]+(\s*\{|[ \t]*;?[ \t]*$)", re.M)
    if found := wrapping.search(code):
        end = _closing(code, found.start()) if "{" in found.group() else len(code)
        code = f"{code[: found.start()]}{code[found.end() : end]}{code[end + 1 :]}"
    if language == "java":  # such a class has a file of its name
        code = re.sub(
            r"^public\s+(?=[\w ]*\b(?:class|interface|enum|record)\b)", "", code, flags=re.M
        )
    first, inside = opening[: opening.index("{") + 1], opening[opening.index("{") + 1 :]
    kind, wanted = _TYPE.findall(first[:-1])[-1]
    method = dict(_definitions(code, language))[name]
    if "static" in head.split() and "static" not in method.group().split():
        access = re.match(r"\s*(?:(?:public|private|protected|internal)\s+)?", method.group())
        at = method.start() + (access.end() if access else 0)
        code = f"{code[:at]}static {code[at:]}"
    is_open: list[int] = []
    for place, brace in braces(code):
        if place > method.start():
            break
        is_open = [*is_open, place] if brace == "{" else is_open[:-1]
    _, helpers = _missing(inside, code, language)
    last = f"\n{_LEFT_OPEN[language] if test.lstrip().startswith('}') else '}'}\n"
    if not is_open:
        lines = code.rstrip().split("\n")
        uses = [line for line in lines if re.fullmatch(_USES[language], line.strip())]
        rest = [line for line in lines if line not in uses]
        return "\n".join([*uses, first, helpers, *rest]) + last
    owner = _TYPE.search(code[: is_open[0]])
    if owner is None or len(is_open) > 1:
        return None
    end = _closing(code, is_open[0])
    start = code.rfind("\n", 0, owner.start()) + 1
    uses_, _ = _missing(opening, code, language)
    declared, body, others = code[start : is_open[0]], code[is_open[0] : end], code[end + 1 :]
    if language == "scala":  # an object that starts the answer's own main
        others = re.sub(r"^\w[\w.]*\(.*", "", others, flags=re.M)  # examples
        others = re.sub(
            r"^object\s+\w+\s*(?:extends\s+App\b|\{\s*\}).*", "", others, flags=re.S | re.M
        )
        declared = re.sub(r"\bclass\b", kind, declared)
    whole = f"{code[:start]}{others.strip()}\n{declared}{{\n{helpers}{body[1:].rstrip()}{last}"
    if owner.group(2) != wanted:
        whole = re.sub(rf"\b{wanted}\b", f"{wanted}Other", whole)
        whole = re.sub(rf"\b{owner.group(2)}\b", wanted, whole)
    return f"{uses_}{whole}"
