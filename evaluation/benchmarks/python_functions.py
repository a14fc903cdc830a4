"""Shared by benchmarks that ask for a Python function: how text becomes a program.

A base model continues the prompt; a chat model's answer is its first code block. Either is put
after the prompt, whose imports and helpers the tests may need. Sanitising picks the block that
defines the function and drops lines before and after that cannot belong to it.
"""

from __future__ import annotations

import re

from evaluation.answers import defines, extract_code, parses, trim_to_parsable, without_preface
from evaluation.sandbox.runner import may_use_packages

STOP = ("<|endoftext|>", "</s>", "\nif __name__", "\ndef main(", "\nprint(")
STOP_BASE = ("\ndef ", "\nclass ", "\nimport ", "\nfrom ", "\nassert ", "\n```", "\n@", "\n#")
STOP_CHAT = ("<|endoftext|>", "</s>")
IMPORTS = """\
import math, re, sys, copy, datetime, itertools, collections, heapq, functools, hashlib, string
from typing import *
from collections import *

"""

_FUTURE = re.compile(r"^from __future__ import (?:\([^()]{,500}\)|.*)", re.M)


def program(code: str) -> str:
    """Code after the imports that every answer finds, but what must stand first does.

    >>> program("from __future__ import annotations\\nx = 1\\n").partition("import math")[0]
    'from __future__ import annotations\\n'
    """
    return future_first(IMPORTS + code.removeprefix("\ufeff"))


def profile_of(source: str) -> str:
    """The sandbox's profile for an answer: with this environment's packages if it imports any."""
    return "packages" if may_use_packages(source.encode("utf-8", "replace")) else "python"


def future_first(code: str) -> str:
    """Code with its imports from the future, which may stand nowhere else, at the start."""
    found = _FUTURE.findall(code)
    return "".join(f"{line}\n" for line in found) + _FUTURE.sub("", code) if found else code


def completed(prompt: str, completion: str) -> tuple[str, str]:
    """A prompt and its continuation as a program: raw, and sanitised.

    A continuation may begin with the line after the prompt's text, or within its last line.
    """
    head = prompt.rstrip() + "\n"
    begun = prompt[len(head) - 1 :].lstrip(" \t\r")[:1] != "\n"  # the last line has text
    indented = not prompt.endswith("\n") and not completion[:1].isspace()
    code = prompt + completion if begun or indented else head + completion.removeprefix("\n")
    return code, trim_to_parsable(code, minimum_lines=head.count("\n"))


def closed(prompt: str) -> str:
    """A prompt as a program of its own: its function passes, and what cannot parse goes.

    >>> closed("import math\\n\\ndef f(x):\\n"), closed("import math\\n# Write f.\\n")
    ('import math\\n\\ndef f(x):\\n    pass\\n', 'import math\\n# Write f.\\n')
    """
    head = prompt.rstrip() + "\n"
    passing = f"{head}    pass\n"
    return passing if parses(passing) else trim_to_parsable(head)


def answered(prompt: str, text: str, entry_point: str) -> tuple[str, str]:
    """A chat answer as a program after the prompt that it completes: raw, and sanitised."""
    raw = _after(prompt, extract_code(text), entry_point)
    chosen = _after(prompt, without_preface(extract_code(text, name=entry_point)), entry_point)
    return raw, trim_to_parsable(chosen, minimum_lines=prompt.rstrip().count("\n") + 1)


def standalone(text: str, entry_point: str = "") -> tuple[str, str]:
    """A chat answer as a whole program of its own: raw, and sanitised."""
    return extract_code(text), trim_to_parsable(
        without_preface(extract_code(text, name=entry_point))
    )


def _after(prompt: str, body: str, entry_point: str) -> str:
    # a whole function stands after the prompt's own imports and helpers
    whole = defines(body, entry_point)
    return future_first(f"{closed(prompt)}\n{body}" if whole else completed(prompt, body)[0])
