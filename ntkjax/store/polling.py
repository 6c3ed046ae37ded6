"""Waiting for files that other processes write."""

import time
from collections.abc import Callable


_PAUSE = 0.2


def wait_until(is_there: Callable[[], bool]) -> None:
    """Returns when the condition holds.

    It is for what a process of the same run owes: if that one is lost, JAX ends this
    one, too, within the heartbeat time-out.
    """
    while not is_there():
        time.sleep(_PAUSE)
