"""Go files put together from parts: a package clause, and every import once."""

from __future__ import annotations

import re

_GO_IMPORT = re.compile(r'^import\b[ \t]*(?:\(([^)]*)\)|([^\n(]*"[^\n]*))[^\n]*\n?', re.M)
#: What CodeGeeX's harness imports for a Go program that uses it.
_GO_PACKAGES = tuple(
    f'"{path}"'
    for path in (
        "bytes", "crypto/md5", "fmt", "math", "math/rand", "regexp", "sort", "strconv", "strings",
        "time",
    )
)  # fmt: skip


def go_imports(source: str) -> list[str]:
    """What a Go file imports: quoted paths, some with a name before them."""
    specs = (spec for found in _GO_IMPORT.finditer(source)
             for spec in re.split(r"[\n;]", found.group(1) or found.group(2)))  # fmt: skip
    told = (re.sub(r"\s*//.*", "", spec).strip() for spec in specs)
    return list(dict.fromkeys(spec for spec in told if spec.endswith('"')))


def go_name(spec: str) -> str:
    """The name that what is imported goes by."""
    return spec.split()[0] if " " in spec else spec.strip('"').rpartition("/")[2]


def go_program(setup: str, offered: str, source: str, test: str) -> str:
    """``source`` as the beginning of a file for ``test``, after ``setup``: a package clause and the
    imports of the test.

    As in CodeGeeX's harness, packages that are ``offered`` (imports of the prompt) or often needed
    are imported where they are used, once.
    """
    body = without_go_imports(source)
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", f"{body}\n{test}", flags=re.S)
    there, optional = go_imports(setup), {*go_imports(offered), *_GO_PACKAGES}
    imports = []
    for spec in dict.fromkeys([*go_imports(source), *_GO_PACKAGES]):
        used = re.search(rf"\b{re.escape(go_name(spec))}\.", code)
        if spec not in there and (used or spec not in optional):
            imports.append(f"import {spec}\n")
    return f"{setup}\n{''.join(imports)}{body}"


def without_go_imports(source: str) -> str:
    return _GO_IMPORT.sub("", re.sub(r"^package[ \t]+\w+[^\n]*\n", "", source, flags=re.M))
