"""How many processes a user has, where nothing but the kernel can know.

The limit on processes (RLIMIT_NPROC) counts all of a user, in every container. Where programs run
as the user of the harness, theirs is therefore so many above what is there already, most of which
may be out of sight.
"""

from __future__ import annotations

import errno
import os
import resource
from bisect import bisect_left
from functools import partial

_MOST = 1 << 22  # the largest number of processes that Linux has


def processes_of_user(guess: int = 0) -> int:
    """Processes and threads that the kernel counts for this user; 0 for one whom no limit binds.

    It tells nobody, but refuses to fork above the limit: the answer is searched for, and found at
    once where the guess is right. Raises OSError when it refuses at any limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    most = _MOST if hard == resource.RLIM_INFINITY else hard
    can_fork = partial(_can_fork, hard=hard)
    try:
        if guess < most and can_fork(guess + 1) and not can_fork(guess):
            return guess
        enough = min(max(64, guess), most)
        while not can_fork(enough):
            if enough == most:
                raise OSError(errno.EAGAIN, f"no process can be started at a limit of {most}")
            enough = min(2 * enough, most)
        return max(0, bisect_left(range(enough), True, key=can_fork) - 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))


def _can_fork(limit: int, hard: int) -> bool:
    resource.setrlimit(resource.RLIMIT_NPROC, (limit, hard))
    try:
        child = os.fork()
    except BlockingIOError:
        return False
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return True
