"""Which sandbox level the data path and the scores of this machine use.

``COOKBOOK_SANDBOX`` names one. Where it names none, ``strict`` is taken, and where the user may not
limit the memory of a process tree by control group (most laptops) ``user``, said once in the log.
The level stands in every result row; without either nothing untrusted runs.
"""

from __future__ import annotations

import logging
import os

log = logging.getLogger("cookbook")
SETTING = "COOKBOOK_SANDBOX"


def settle_level() -> str:
    """Name the level for this process and its children, and return it.

    Raises ``SandboxError`` if the named level, or neither ``strict`` nor ``user``, holds here.
    """
    from evaluation.sandbox import SandboxError, ensure_level

    if os.environ.get(SETTING):
        return ensure_level()
    try:
        level = ensure_level("strict")
    except SandboxError as refusal:
        level = ensure_level("user")
        log.warning("sandbox level user instead of strict: %s", refusal)
    os.environ[SETTING] = level
    return level
