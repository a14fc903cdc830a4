"""HTML signals: how much of a page a reader would see (paper 2.1.1, A).

The idea: the rule wants one number, the length of the visible text, so the page is scanned once,
from left to right, and no tree is built: a stack of open names says whether a text is shown, and
whether its blanks count. What is markup, an entity or stray text is decided as ``html.parser`` of
Python 3.11 does (quirks included), the text as Beautiful Soup joins it; unlike theirs, the scan is
linear on any input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from html.entities import html5
from typing import TYPE_CHECKING

from assets.refinecode.filters.comments.spans import most_steps

if TYPE_CHECKING:
    from assets.refinecode.filters.source import Signal, Source

#: Tags are tried for at most this many characters of unfinished tags per character of the page.
UNFINISHED_BUDGET = 4
#: The quick way looks so far for the end of a tag, and may look in vain from each ``<``. Longer
#: tags are read the other way, with the same result.
TIDY_CHARS = 256


@dataclass(frozen=True)
class Page:
    """What is left of a page: the length of its visible text in code points."""

    text_chars: int


def parse(source: Source) -> Page | None:
    """The page; None only for a marked section of an unknown kind (``<![foo[``) under the
    ``opencoder`` rules, where it ends the parse. Never raises."""
    reader = _Reader(source.raw, lenient=source.rules != "opencoder")
    try:
        reader.read()
    except _UnknownSection:
        return None
    return Page(reader.visible.chars)


def cate_ast(source: Source) -> float:
    """1.0 if the page could be read (practically always), else 0.0."""
    return 0.0 if source.tree is None else 1.0


def frac_words_text(source: Source) -> float | None:
    """Visible characters (not words) per character of the file, in [0, 1] but for the odd entity
    of two characters; None if the file is empty or could not be read."""
    page = source.tree
    if not source.raw or not isinstance(page, Page):
        return None
    return round(page.text_chars / len(source.raw), 8)


def num_chars_text(source: Source) -> float | None:
    """Visible characters, >= 0; None if the file could not be read."""
    page = source.tree
    return float(page.text_chars) if isinstance(page, Page) else None


SIGNALS: Mapping[str, Signal] = {
    "qsc_codehtml_cate_ast": cate_ast,
    "qsc_codehtml_frac_words_text": frac_words_text,
    "qsc_codehtml_num_chars_text": num_chars_text,
}

_BLANKS = " \n\t\f\r"
_VOID = frozenset(
    {
        *("area", "base", "basefont", "bgsound", "br", "col", "command", "embed", "frame", "hr"),
        *("image", "img", "input", "isindex", "keygen", "link", "menuitem", "meta", "nextid"),
        *("param", "source", "spacer", "track", "wbr"),
    }
)
#: Elements whose strings are not text of the page, and those that keep their blanks.
_HIDDEN = frozenset({"rp", "rt", "script", "style", "template"})
_BLANKS_KEPT = frozenset({"pre", "textarea"})
#: Elements whose content is no markup.
_OPAQUE = {
    "script": re.compile(r"</\s*+[sS][cC][rR][iI][pP][tT]\s*+>"),
    "style": re.compile(r"</\s*+[sS][tT][yY][lL][eE]\s*+>"),
}
_ENTITIES = {name.rstrip(";"): text for name, text in html5.items()}

_MARKUP = re.compile(r"<(?=[a-zA-Z/!?])")
#: Nearly all tags, written as they should be.
_TIDY_TAG = re.compile(
    r"""<(?:/([a-zA-Z][a-zA-Z0-9:_-]*+)[ \t\r\n\f]*+>
    |([a-zA-Z][a-zA-Z0-9:_-]*+)
     (?:[ \t\r\n\f]++[^\s/>="'<]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'>]++))?+)*+
     [ \t\r\n\f]*+(/?)>)
    """,
    re.VERBOSE,
)
_NAME = re.compile(r"[a-zA-Z][^\t\n\r\f />\0]*+")
#: Attributes of any tag. One starts after a blank, a slash or a quote; a quote that never closes
#: is no value, but may begin the next attribute.
_ATTRIBUTES = re.compile(
    r"""(?:\s|/(?!>))*+
    (?:(?<=['"\s/])[^\s/>][^\s/=>]*+
       (?:\s*+=+\s*(?:'[^']*+'|"[^"]*+"|(?!['"])[^>\s]*+))?+
       (?:\s|/(?!>))*+
    )*+
    """,
    re.VERBOSE,
)
_END_TAG = re.compile(r"</\s*+([a-zA-Z][-.a-zA-Z0-9:_]*+)\s*+>")
_COMMENT_END = re.compile(r"--\s*+>")
_SECTION = re.compile(r"[a-zA-Z][-_.a-zA-Z0-9]*+\s*+")
_SECTION_ENDS = {
    **dict.fromkeys(("temp", "cdata", "ignore", "include", "rcdata"), re.compile(r"]\s*+]\s*+>")),
    **dict.fromkeys(("if", "else", "endif"), re.compile(r"]\s*+>")),
}
#: A number, a name, or what looks like the start of one (no group); other ampersands are text.
_REFERENCE = re.compile(
    r"""&(?:\#(?:([0-9]+)|[xX]([0-9a-fA-F]+))(?=[^0-9a-fA-F]);?
    |([a-zA-Z][-.a-zA-Z0-9]*)(?=[^a-zA-Z0-9]);?
    |(?=[#A-Za-z])|\Z)
    """,
    re.VERBOSE,
)


class _UnknownSection(Exception):
    """A marked section that html.parser knows no end for."""


class _Visible:
    """Length of the visible text, fed with texts and tags in the order of the page."""

    def __init__(self) -> None:
        self.chars = 0
        self._pending = 0  # characters since the last tag
        self._blank = True  # all of them
        self._open: list[str] = []
        self._times_open: dict[str, int] = {}
        self._closed_void: dict[str, int] = {}  # their end tags, still to come, mean nothing
        self._hidden = 0
        self._kept = 0

    def text(self, piece: str) -> None:
        self._pending += len(piece)
        if self._blank and piece.strip(_BLANKS):
            self._blank = False

    def end_text(self) -> None:
        """Between two tags: a text of blanks only is one blank, except where blanks are kept."""
        if self._pending:
            if not self._hidden:
                self.chars += 1 if self._blank and not self._kept else self._pending
            self._pending = 0
            self._blank = True

    def character_data(self, piece: str) -> None:
        """A CDATA section: shown wherever it stands."""
        self.end_text()
        self.chars += len(piece) if self._kept or piece.strip(_BLANKS) else 1

    def start(self, name: str) -> None:
        self.end_text()
        self._open.append(name)
        self._times_open[name] = self._times_open.get(name, 0) + 1
        if name in _HIDDEN:
            self._hidden += 1
        elif name in _BLANKS_KEPT:
            self._kept += 1

    def void(self, name: str) -> None:
        """An element without content: open and closed at once."""
        self.end_text()
        self._closed_void[name] = self._closed_void.get(name, 0) + 1

    def end(self, name: str) -> None:
        if self._closed_void.get(name):
            self._closed_void[name] -= 1
            return
        self.end_text()
        if not self._times_open.get(name):
            return
        closed = ""
        while closed != name:
            closed = self._open.pop()
            self._times_open[closed] -= 1
            if closed in _HIDDEN:
                self._hidden -= 1
            elif closed in _BLANKS_KEPT:
                self._kept -= 1


class _Reader:
    """One pass over a page. ``position`` moves only forward; what failed to the end of the page
    once (no ``>``, no end of a comment) is not searched for again."""

    def __init__(self, text: str, *, lenient: bool) -> None:
        self.text = text
        self.lenient = lenient
        self.visible = _Visible()
        self.last_angle = text.rfind(">")
        self.last_semicolon = text.rfind(";")
        self.budget = UNFINISHED_BUDGET * len(text)
        self.name_end = 0
        self.no_end_after: dict[re.Pattern[str], int] = {}
        #: html.parser reads to the first thing unfinished or odd, then a second time from there;
        #: at the next odd reference it takes all the rest as text.
        self.second_pass = False

    def read(self) -> None:
        text, visible = self.text, self.visible
        tidy, find = _TIDY_TAG.match, _MARKUP.search
        size = len(text)
        position, untidy = 0, most_steps(text)
        while position < size:
            markup = find(text, position)
            start = markup.start() if markup else size
            if position < start:
                piece = text[position:start]
                if "&" in piece:
                    position = self._with_references(position, start)
                    if position != start:
                        continue
                else:
                    visible.text(piece)
                if start == size:
                    break
            tag = tidy(text, start, start + TIDY_CHARS) if start < self.last_angle else None
            if tag is None:
                untidy -= 1
                if not untidy:  # no page that anybody wrote: the rest is text
                    visible.text(text[start:])
                    break
                position = self._untidy(start)
                continue
            position = tag.end()
            ended, name, slash = tag.groups()
            if ended:
                visible.end(ended.lower())
            else:
                position = self._started(name.lower(), bool(slash), position)
        visible.end_text()

    def _started(self, name: str, closes: bool, position: int) -> int:
        """A start tag that ends at ``position``; where to read on."""
        visible = self.visible
        if closes:
            visible.start(name)
            visible.end(name)
        elif name in _VOID:
            visible.void(name)
        else:
            visible.start(name)
            if name in _OPAQUE:
                return self._opaque(name, position)
        return position

    def _opaque(self, name: str, position: int) -> int:
        """Where a script or style ends; without its end tag the rest of the page belongs to it."""
        found = self._search(_OPAQUE[name], position)
        if found is None:
            return len(self.text)
        self.visible.end(name)
        return found.end()

    def _search(self, end: re.Pattern[str], position: int) -> re.Match[str] | None:
        if position >= self.no_end_after.get(end, len(self.text) + 1):
            return None
        found = end.search(self.text, position)
        if found is None:
            self.no_end_after[end] = position
        return found

    def _untidy(self, start: int) -> int:
        """Markup that is not a tag as it should be; where to read on."""
        text = self.text
        sign = text[start + 1 : start + 2]
        if sign.isascii() and sign.isalpha():
            after = self._untidy_tag(start)
        elif sign == "/":
            after = self._end_tag(start)
        elif text.startswith("<!--", start):
            comment = self._search(_COMMENT_END, start + 4)
            after = -1 if comment is None else comment.end()
            if comment:
                self.visible.end_text()
        elif text.startswith("<![", start):
            after = self._section(start)
        else:
            is_doctype = text[start : start + 9].lower() == "<!doctype"
            after = self._to_angle(start + (9 if is_doctype else 2))
            if after >= 0:
                self.visible.end_text()
        if after >= 0:
            return after
        self.second_pass = True
        after = self._to_angle(start + 1)
        if after < 0:
            after = text.find("<", start + 1)
            if after < 0:
                after = start + 1
        self.visible.text(text[start:after])
        return after

    def _to_angle(self, position: int) -> int:
        """Behind the next ``>``; -1 if there is none."""
        return self.text.find(">", position) + 1 or -1 if position <= self.last_angle else -1

    def _untidy_tag(self, start: int) -> int:
        text = self.text
        if start >= self.name_end:  # else a name inside the last one, which ends where that ends
            name = _NAME.match(text, start + 1)
            assert name is not None
            self.name_end = name.end()
        name_end = self.name_end
        if start > self.last_angle and text[name_end : name_end + 1] != "\0":
            return -1
        if self.budget <= 0:
            return -1
        attributes = _ATTRIBUTES.match(text, name_end)
        assert attributes is not None
        end = attributes.end()
        sign = text[end : end + 1]
        if sign == ">" or sign == "/":
            name_read = text[start + 1 : name_end].lower()
            return self._started(name_read, sign == "/", end + (1 if sign == ">" else 2))
        if not sign or sign == "=" or (sign.isascii() and sign.isalpha()):
            self.budget -= end - start
            return -1
        self.visible.text(text[start:end])
        return end

    def _end_tag(self, start: int) -> int:
        text = self.text
        after = self._to_angle(start + 1)
        if after < 0:
            return -1
        tag = _END_TAG.match(text, start)
        if tag:
            self.visible.end(tag[1].lower())
            return tag.end()
        name = _NAME.match(text, start + 2)
        if name:
            self.visible.end(name[0].lower())
        elif after > start + 3:
            self.visible.end_text()
        return after

    def _section(self, start: int) -> int:
        text = self.text
        kind = _SECTION.match(text, start + 3)
        if start + 3 == len(text) or (kind and kind.end() == len(text)):
            return -1
        ending = _SECTION_ENDS.get(kind[0].strip().lower()) if kind else None
        if ending is None:
            if not self.lenient:
                raise _UnknownSection
            after = self._to_angle(start + 3)
            if after >= 0:
                self.visible.end_text()
            return after
        found = self._search(ending, start + 3)
        if found is None:
            return -1
        content = text[start + 3 : found.start()]
        if content[:6].upper() == "CDATA[":
            self.visible.character_data(content[6:])
        else:
            self.visible.end_text()
        return found.end()

    def _with_references(self, position: int, end: int) -> int:
        """Text with character references up to a ``<`` or the end; where to read on."""
        text, visible = self.text, self.visible
        for reference in _REFERENCE.finditer(text, position, end + 1):  # the < ends a name, too
            start = reference.start()
            if position < start:
                visible.text(text[position:start])
            if reference.lastindex is None:
                return self._odd_reference(start, text[start + 1 : start + 2])
            name = reference[3]
            visible.text(_ENTITIES.get(name, f"&{name}") if name else _character(reference))
            position = reference.end()
        if position < end:
            visible.text(text[position:end])
        return end

    def _odd_reference(self, start: int, following: str) -> int:
        """An unfinished or malformed reference: the first starts the second pass, in the second
        pass all the rest is text."""
        text, visible = self.text, self.visible
        if following == "#" and start < self.last_semicolon:
            visible.text("&#")
            start += 2
        if not self.second_pass:
            self.second_pass = True
            return start
        if following.isalpha() and start + 2 == len(text):
            start += 1  # html.parser loses this one sign
        visible.text(text[start:])
        return len(text)


def _character(number: re.Match[str]) -> str:
    """One character; which one matters only for blanks."""
    digits = (number[1] or number[2]).lstrip("0")
    if len(digits) > 3:
        return "x"
    code = int(digits or "0", 10 if number[1] else 16)
    return chr(code) if chr(code) in _BLANKS else "x"
