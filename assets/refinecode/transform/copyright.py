"""Cut the licence header: the comment blocks about copyright that a file begins with.

A block is a block comment, or a run of line comments; it goes if it speaks of copyright or of a
licence, and so does the next one. Shebang, encoding line, markup prologs and tool directives stay.
More than 15 % of files begin with such a header (paper 2.1.1, copyright notice removal).
"""

from __future__ import annotations

import re

from assets.refinecode.transform.comments import CommentSyntax, comment_syntax

#: What only headers about rights say; plain "license" alone may be the topic of the code.
_RIGHTS = re.compile(
    r"copyright\W{0,5}(?:\(c\)|©|\d{4}|by\b|the\b|holder)|\(c\)\W{0,3}(?:copyright|\d{4})|©\W{0,3}\d{4}"
    r"|spdx-license-identifier|spdx-filecopyrighttext|all rights reserved"
    r"|(?:licensed|released|distributed) under"
    r"|permission is hereby granted|permission to use, copy|redistribution and use in source"
    r"|general public license|apache license|mozilla public license|(?:mit|bsd|isc|zlib) license"
    r"|licen[sc]e\W{1,3}(?:mit|bsd|apache|gpl|lgpl|agpl|mpl|isc|public domain)\b"
    r"|(?:see|in) (?:the )?(?:file )?licen[sc]e\b|governed by a|subject to the (?:terms|license)"
    r"|this file is part of|public domain|copyright notice|@license\b|@copyright\b",
    re.IGNORECASE,
)
#: Comment lines that tools read: they stay when the lines around them go.
_DIRECTIVE = re.compile(
    r"coding[:=]|-\*-|\bvim?:|eslint|jshint|jslint|@ts-|@flow|@jsx|@jest|frozen_string_literal"
    r"|go:build|\+build|go:generate|pylint:|mypy:|ruff:|flake8|noqa|cython:|distutils:"
    r"|shellcheck|clang-format|isort:|type: ignore|syntax=docker|^#!|prettier-ignore|istanbul",
    re.IGNORECASE,
)
_PROLOG = re.compile(
    r"\ufeff?(?:#![^\n]*(?:\n|\Z))?"
    r"(?:[ \t\f]*#[^\n]*?coding[:=][^\n]*(?:\n|\Z))?"
    r"(?:\s*<\?xml\b[^>]*\?>)?(?:\s*<!DOCTYPE\b[^>]*>)?"
    r"(?:\s*<\?php\b)?",
    re.IGNORECASE,
)
_SPACE = re.compile(r"\s*+")
_BLANK_LINES = re.compile(r"(?:[ \t\r\f\v]*+\n)*+")
#: No header is longer: what is, is documentation that also speaks of rights.
_MAX_HEADER_CHARS = 65_536


def cut_copyright(content: str, language: str) -> tuple[str, int]:
    """(text without its licence header, number of blocks cut).

    >>> cut_copyright("#!/bin/sh\\n# Copyright 2024 A. Nobody\\n\\necho hi\\n", "shell")
    ('#!/bin/sh\\necho hi\\n', 1)
    """
    syntax = comment_syntax(language)
    if syntax is None:
        return content, 0
    start = _end(_PROLOG, content, 0)
    kept = content[:start]
    cut = 0
    while True:
        at = _end(_SPACE, content, start)
        end = _block_end(content, at, syntax)
        if end is None or end - at > _MAX_HEADER_CHARS:
            break
        block = content[at:end]
        if not _RIGHTS.search(block):
            break
        kept += _directives(block, syntax)
        start = _end(_BLANK_LINES, content, end)
        cut += 1
    if not cut:
        return content, 0
    rest = content[start:]
    if kept.endswith(("?>", ">", "<?php")) and not rest.startswith(("\n", "\r")):
        kept += "\n"
    return kept + rest, cut


def _end(pattern: re.Pattern[str], content: str, at: int) -> int:
    """Where a match of ``pattern`` at ``at`` ends; ``at`` itself if there is none."""
    match = pattern.match(content, at)
    return match.end() if match else at


def _block_end(content: str, at: int, syntax: CommentSyntax) -> int | None:
    """End (behind its line break) of the comment block that starts at ``at``; None if none does."""
    for opening, closing in syntax.blocks:
        if content.startswith(opening, at):
            end = content.find(closing, at + len(opening))
            if end < 0:
                return None
            line_end = content.find("\n", end)
            line_end = len(content) if line_end < 0 else line_end + 1
            after = content[end + len(closing) : line_end]
            # Code behind the comment on its last line stays.
            return line_end if not after.strip() else end + len(closing)
    end = at
    while end < len(content):
        line_end = content.find("\n", end)
        line_end = len(content) if line_end < 0 else line_end + 1
        if not content[end:line_end].lstrip(" \t").startswith(syntax.lines or ("\0\0",)):
            bare = content[end:line_end].strip().upper()
            if bare not in _BARE_MARKS or f"{bare} " not in syntax.lines:
                break
        end = line_end
    return end if end > at else None


#: Word-like line marks that stand alone on an empty comment line.
_BARE_MARKS = {"REM", "@REM", "C", "*"}


def _directives(block: str, syntax: CommentSyntax) -> str:
    """The line comments of a block that tools read."""
    if not syntax.lines or not block.lstrip().startswith(syntax.lines):
        return ""
    return "".join(
        line for line in block.splitlines(keepends=True) if _DIRECTIVE.search(line.strip())
    )
