"""Small faults in Python code: one operator, constant, comparison or name changed at a time.

Mutants are of the same length within a few bytes, parse, and differ from the original in one place;
which places are chosen follows from the text alone.
"""

from __future__ import annotations

import hashlib
import io
import keyword
import tokenize

from evaluation.answers import parses

_SWAPS = {
    "+": "-", "-": "+", "*": "+", "/": "*", "//": "/", "%": "//", "<": "<=", "<=": "<",
    ">": ">=", ">=": ">", "==": "!=", "!=": "==", "and": "or", "or": "and", "True": "False",
    "False": "True", "min": "max", "max": "min", "is": "is not", "in": "not in",
    "append": "extend", "+=": "-=", "-=": "+=",
}  # fmt: skip


def mutants(prompt: str, solution: str, count: int) -> list[str]:
    """Up to `count` different faulty versions of the solution that parse after the prompt.

    >>> mutants("def f(a, b):\\n", "    return a + b\\n", 1)
    ['    return a - b\\n']
    """
    candidates: dict[str, None] = {}
    for start, end, replacement in _changes(prompt, solution):
        text = solution[:start] + replacement + solution[end:]
        if text != solution and parses(prompt + text):
            candidates[text] = None
    # spread over the text by hash, not by place, so that not all faults sit at the top
    ordered = sorted(candidates, key=lambda text: hashlib.sha256(text.encode()).hexdigest())
    return ordered[:count]


def _changes(prompt: str, solution: str) -> list[tuple[int, int, str]]:
    """Character ranges of the solution with what to put there."""
    whole = prompt + solution
    starts = [0]
    for line in whole.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(whole).readline))
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return []
    border = len(prompt)
    places = [
        (starts[token.start[0] - 1] + token.start[1], token)
        for token in tokens
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER) and token.string
    ]
    names = sorted(
        {
            token.string
            for place, token in places
            if place >= border
            and token.type == tokenize.NAME
            and not keyword.iskeyword(token.string)
        }
    )
    changes = []
    for place, token in places:
        if place < border:
            continue
        text, start, end = token.string, place - border, place - border + len(token.string)
        if text in _SWAPS:
            changes.append((start, end, _SWAPS[text]))
        elif token.type == tokenize.NUMBER and text.isdigit():
            changes.append((start, end, str(int(text) + 1)))
        elif text in names and len(names) > 1:
            changes.append((start, end, names[(names.index(text) + 1) % len(names)]))
    return changes
