"""File name -> language -> document type: sizes of the published maps and their edge cases."""

from collections import Counter

import pytest

from assets.languages import Detection, detect, language_maps


def test_maps_have_the_published_sizes() -> None:
    maps = language_maps()
    assert len(maps.extensions) == 1347
    assert len(set(maps.extensions.values())) == 606
    assert sum(key != key.lower() for key in maps.extensions) == 17
    assert {key for key in maps.extensions if "." in key} == {"html.hl", "sh.in", "rs.in"}
    assert len(maps.filenames) == 369
    assert len(set(maps.filenames.values())) == 95
    assert len({*maps.extensions.values(), *maps.filenames.values()}) == 644
    assert Counter(maps.doc_types.values()) == {"code": 541, "data": 167, "text": 23}
    assert len(maps.excluded) == 42
    reachable = {*maps.extensions.values(), *maps.filenames.values()}
    assert len(set(maps.doc_types) - reachable) == 87


PUBLISHED = {
    "python": "py pyw pyi py3 pyde pyp pyt xpy gyp gypi lmi tac wsgi bzl rpy spec",
    "c": "c h cats idc w",
    "cpp": "cpp cc cxx c++ cp hpp hh hxx h++ inl ipp tcc tpp txx ixx cppm ino re C H",
    "csharp": "cs csx cshtml cake linq pp",
    "java": "java jav jsh",
    "javascript": "js mjs cjs jsx es6 javascript jsm jss njs sjs ssjs jake jscad jsfl jsb bones "
    "pac xsjs xsjslib jslib jspre _js",
    "go": "go",
    "html": "html htm xht xhtml hta html.hl",
    "shell": "sh bash zsh ksh bats command tool tmux sh.in zsh-theme",
    "sql": "sql mysql ddl cql db2 pkb pks plb plsql prc udf pls pck tab viw",
}


@pytest.mark.parametrize("language", PUBLISHED)
def test_rule_languages_have_the_published_extensions(language: str) -> None:
    found = {key for key, program in language_maps().extensions.items() if program == language}
    assert found == set(PUBLISHED[language].split())


@pytest.mark.parametrize(
    ("path", "language", "doc_type"),
    [
        ("include/a.h", "c", "code"),
        ("a.H", "cpp", "code"),
        ("a.C", "cpp", "code"),
        ("a.R", "unknown", "unknown"),
        ("a.PY", "unknown", "unknown"),
        ("a.r", "r", "code"),
        ("Matrix.m", "limbo", "code"),
        ("Token.sol", "gerber image", "data"),
        ("a.v", "coq", "code"),
        ("a.t", "ejs", "code"),
        ("a.pp", "csharp", "code"),
        ("a.re", "cpp", "code"),
        ("pkg.spec", "python", "code"),
        ("a.cls", "apex", "code"),
        ("a.inc", "assembly", "code"),
        ("setup.cfg", "haproxy", "data"),
        ("a.fs", "f#", "code"),
        ("a.cl", "common lisp", "code"),
        ("a.pl", "perl", "code"),
        ("a.pro", "idl", "code"),
        ("a.ts", "typescript", "code"),
        ("a.tsx", "tsx", "code"),
        ("a.ipynb", "jupyter notebook", "excluded"),
        ("a.svg", "svg", "excluded"),
        ("a.csv", "csv", "excluded"),
        ("a.pkl", "pickle", "excluded"),
        ("a.xml", "xml", "data"),
        ("a.scss", "scss", "data"),
        ("a.less", "less", "code"),
        ("index.html", "html", "code"),
        ("README.md", "markdown", "text"),
        ("notes.txt", "text", "text"),
        ("docs/LICENSE", "text", "text"),
        ("requirements.txt", "text", "text"),
        ("CMakeLists.txt", "cmake", "code"),
        ("views/a.blade.php", "php", "code"),
        ("config.sh.in", "cmake", "code"),  # only the text after the last dot counts
        ("bin/run", "unknown", "unknown"),
        ("trailing.", "unknown", "unknown"),
        ("folder.py/script", "unknown", "unknown"),
        ("", "unknown", "unknown"),
    ],
)
def test_edge_cases(path: str, language: str, doc_type: str) -> None:
    assert detect(path) == Detection(language, doc_type)  # type: ignore[arg-type]
