"""Progress for people and for logs: a bar on a terminal, a line every tenth elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")
_log = logging.getLogger(__name__)


def track(items: Iterable[_Item], total: int, label: str) -> Iterator[_Item]:
    """Yield the items unchanged while showing how many of `total` are done."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label)
        return
    step = max(1, total // 10)
    for done, item in enumerate(items, start=1):
        yield item
        if done % step == 0 or done == total:
            _log.info("%s: %d of %d", label, done, total)
