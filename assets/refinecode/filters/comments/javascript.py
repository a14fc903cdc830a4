"""Comments of JavaScript and TypeScript, with regular expressions told from divisions.

One possessive pattern runs over everything but slashes and template strings. At a slash the token
before it decides, as in the lexer of the paper's filters (appendix A): after an operator, a bracket
that opens or a keyword a regular expression is expected, and a line on which none can be read is
given up to its end. Templates nest; the first ``}`` ends a field of one.
"""

from __future__ import annotations

import functools
import re

from assets.refinecode.filters.comments.spans import Finder, Span, most_steps

_DOUBLE = r'"[^"\\]*+(?:\\[\s\S][^"\\]*+)*+"'
_SINGLE = r"'[^'\\]*+(?:\\[\s\S][^'\\]*+)*+'"
_TEMPLATE = re.compile(r"[^`\\$]*+(?:(?:\\[\s\S]|\$(?!\{))[^`\\$]*+)*+")
_HASHBANG = re.compile(r"#! ?/[^\n]*+")
_REGEX = re.compile(
    r"/(?:\\[\s\S]|[^\[/\\\n]++|\[(?:\\[\s\S]|[^\]\\\n]++)*+\])++/(?:[gimuysd]+\b|\B)"
)
#: All that a regular expression may be looked for in: up to a line end that is not escaped.
_REGEX_SPACE = re.compile(r"[^\\\n]*+(?:\\[\s\S][^\\\n]*+)*+")
#: Characters that may be looked through for regular expressions that are none, before such are only
#: looked for on one line: a bound that only made-up files reach.
_MAX_VAIN = 2_000_000
#: Words after which a regular expression may stand.
_WORDS = frozenset(
    (
        "typeof", "instanceof", "in", "void", "delete", "new", "for", "while", "do", "break",
        "return", "continue", "switch", "case", "default", "if", "else", "throw", "try",
        "catch", "finally", "yield", "await", "async", "this", "of", "static", "export",
        "import", "debugger", "extends", "super", "var", "let", "const", "with", "function",
        "class",
    )
)  # fmt: skip
_TYPESCRIPT_WORDS = _WORDS | frozenset(
    (
        "abstract", "implements", "private", "protected", "public", "readonly", "enum",
        "interface", "override",
    )
)  # fmt: skip
_OPERATORS = "~?:<>=!*|&+-%^/."
_OPERATOR_TOKENS = re.compile(
    r"(\.\.\.|=>)|\+\+|--|~|\?\?=?|\?|:|(?:<<|>>>?|==?|!=?|(?:\*\*|\|\||&&|[-<>+*%&|^/]))=?|(\.)"
)
_WORD = re.compile(r"[\w$]{1,12}\Z")


def javascript_comments(text: str) -> list[Span]:
    """Where the comments of a JavaScript text are, ends excluded."""
    return _Scanner(text, _WORDS).run()


def typescript_comments(text: str) -> list[Span]:
    """Where the comments of a TypeScript text are, ends excluded."""
    return _Scanner(text, _TYPESCRIPT_WORDS).run()


@functools.cache
def _plain(double: bool, single: bool, field: bool) -> re.Pattern[str]:
    """What holds no comment. ``double`` and ``single``: whether such strings can still end;
    ``field``: in a field of a template, which a brace ends."""
    stops = "`/" + '"' * double + "'" * single + "}" * field
    parts = [f"[^{stops}]++", _DOUBLE * double, _SINGLE * single]
    return re.compile(f"(?:{'|'.join(filter(None, parts))})*+")


class _Scanner:
    def __init__(self, text: str, words: frozenset[str]) -> None:
        self.text = text
        self.find = Finder(text)
        self.words = words
        self.spans: list[Span] = []
        # The end of the last token that tells nothing by its last character, and the end of the
        # last comment: what lies between is all that is looked at before a slash.
        self.vain = 0
        self.opaque = 0
        self.opaque_expects = True

    def run(self) -> list[Span]:
        text, size = self.text, len(self.text)
        double = single = True
        fields = 0
        position = 0
        hashbang = _HASHBANG.match(text)
        if hashbang:
            position = hashbang.end()
            self.spans.append((0, position))
        self.opaque = position
        # At the start of a text only a blank or a slash lets a regular expression follow.
        self.opaque_expects = position == 0 and text[:1].isspace()
        for _ in range(most_steps(text)):
            found = _plain(double, single, fields > 0).match(text, position)
            start = found.end() if found else position
            if start >= size:
                break
            character = text[start]
            if character == "/":
                position = self._slash(start)
            elif character == "`":
                position, opened = self._template(start + 1)
                fields += opened
            elif character == "}":
                position, opened = self._template(start + 1)
                fields += opened - 1
            else:  # a string without end is one odd sign, and so are the escaped quotes in it
                if character == '"':
                    double = False
                else:
                    single = False
                position = start + 1
        return self.spans

    def _template(self, start: int) -> tuple[int, int]:
        """Where the text of a template goes over into a field (1) or ends (0)."""
        found = _TEMPLATE.match(self.text, start)
        position = found.end() if found else start
        field = self.text.startswith("${", position)
        position = min(position + 1 + field, len(self.text))
        self._mark(position, expects=False)
        return position, int(field)

    def _mark(self, position: int, *, expects: bool) -> None:
        self.opaque = position
        self.opaque_expects = expects

    def _slash(self, start: int) -> int:
        text = self.text
        following = text[start + 1 : start + 2]
        if following == "/":
            end = self.find("\n", start)
            return self._comment(start, len(text) if end < 0 else end)
        if following == "*":
            end = self.find("*/", start + 2)
            if end >= 0:
                return self._comment(start, end + 2)
        if not self._regex_expected(start):
            self._mark(start + 1, expects=True)
            return start + 1
        line_end = self.find("\n", start)
        line_end = len(text) if line_end < 0 else line_end
        stop = len(text) if self.vain < _MAX_VAIN else line_end
        found = _REGEX.match(text, start, stop)
        if found is not None:
            self._mark(found.end(), expects=False)
            return found.end()
        space = _REGEX_SPACE.match(text, start, stop)
        self.vain += space.end() - start if space else 0
        # Nothing of the line can be read; at the start of the next a blank lets one follow.
        end = min(line_end + 1, len(text))
        self._mark(end, expects=text[end : end + 1].isspace())
        return end

    def _comment(self, start: int, end: int) -> int:
        self._mark(end, expects=self._expected(start))
        self.spans.append((start, end))
        return end

    def _regex_expected(self, start: int) -> bool:
        # A token that ends with the line: what stands in the first column of the next is new.
        if start == 0 or self.text[start - 1] == "\n":
            return True
        return self._expected(start)

    def _expected(self, start: int) -> bool:
        """Whether a regular expression may stand at ``start``, by the last token before it."""
        before = self.text[max(self.opaque, start - 64) : start].rstrip()
        if not before:
            if start - 64 <= self.opaque:
                return self.opaque_expects
            before = self.text[self.opaque : start].rstrip()
            if not before:
                return self.opaque_expects
        last = before[-1]
        if last in "{([;,":
            return True
        if last in "~?:<>=!*|&+-%^/":
            return self._after_operator(before)
        if last.isalnum() or last == "_":
            word = _WORD.search(before)
            return word is not None and word[0] in self.words
        return last == "\\" and self.text.startswith("\n", self.text.rfind("\\", 0, start) + 1)

    @staticmethod
    def _after_operator(before: str) -> bool:
        if before.endswith("<!--"):
            return False
        run = before[len(before.rstrip(_OPERATORS)) :][-12:]
        expected = True
        for token in _OPERATOR_TOKENS.finditer(run):
            expected = token[1] is None and token[2] is None
        return expected
