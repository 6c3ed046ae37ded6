"""Waiting for files that other processes write."""

import time
from collections.abc import Callable

from ntkjax.store.run_path import RunPath


_PAUSE = 0.2
_LONGEST_PAUSE = 10.0
_SHARE = 0.05
"""A pause is this share of the time waited: looks into a bucket are not free."""


def wait_until(is_there: Callable[[], bool]) -> None:
    """Returns when the condition holds.

    It is for what a process of the same run owes: if that one is lost, JAX ends this
    one, too, within the heartbeat time-out.
    """
    started = time.monotonic()
    while not is_there():
        waited = time.monotonic() - started
        time.sleep(min(max(_PAUSE, _SHARE * waited), _LONGEST_PAUSE))


def is_seen_within(path: RunPath, seconds: float) -> bool:
    """Whether a path is there, or appears in so many seconds."""
    end = time.monotonic() + seconds
    while not path.exists():
        if time.monotonic() >= end:
            return False
        time.sleep(_PAUSE)
    return True
