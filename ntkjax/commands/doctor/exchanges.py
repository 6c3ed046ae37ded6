"""Steps in which a process needs the others: each one ends, and says how."""

import contextlib
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Iterator

import jax

from ntkjax.devices import processes


LOST = 75
"""Exit code where another process was lost: the same command may go well."""

FAILED = 1
"""Exit code where the same command would fail again."""

_HUNG_UP = re.compile(r"(closed|reset) by (remote )?peer|broken pipe", re.IGNORECASE)


class NoAnswer(Exception):
    """An exchange that failed.

    Attributes:
        code: Exit code of the process.
    """

    def __init__(self, line: str, code: int) -> None:
        """Takes the line to print."""
        super().__init__(line)
        self.code = code


@contextlib.contextmanager
def limited(step: str, seconds: float, who: str) -> Iterator[None]:
    """Ends this process, with a line and the exit code 1, if a step takes too long.

    Nothing milder can: a process that waits for others in a collective cannot be woken.

    Args:
        step: What happens inside, in words.
        seconds: At most.
        who: The process.
    """
    processes.note_stage(step)
    timer = threading.Timer(seconds, _give_up, (step, seconds, who))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def exchange(step: str, seconds: float, who: str) -> Iterator[None]:
    """`limited`, for what goes through the network between devices.

    Args:
        step: What happens inside, in words.
        seconds: At most. JAX itself ends a process that has lost another, and names
            that one; so this should be longer than it takes for that.
        who: The process.

    Raises:
        NoAnswer: If JAX raises an error.
    """
    try:
        with limited(step, seconds, who):
            yield
    except jax.errors.JaxRuntimeError as error:
        reason = first_line(error)
        if _HUNG_UP.search(reason):
            raise NoAnswer(
                f"{who}: lost another process in the step {step!r} ({reason}); run the "
                "same command again.",
                LOST,
            ) from error
        time.sleep(seconds)  # JAX ends this process if another one is lost
        raise NoAnswer(
            f"{who}: the step {step!r} failed, though no process was lost ({reason}); "
            "are the ports between the hosts open?",
            FAILED,
        ) from error


def first_line(error: BaseException) -> str:
    """What an error says first."""
    return str(error).strip().partition("\n")[0]


def this_host() -> str:
    """This host, where the number of the process is not known yet."""
    return f"host {socket.gethostname()}"


def _give_up(step: str, seconds: float, who: str) -> None:
    print(  # noqa: T201
        f"ntkjax: {who}: the step {step!r} did not end within {seconds:.0f} s; a "
        "process without such a line hangs before it, one that names another step "
        "hangs there.",
        file=sys.stderr,
        flush=True,
    )
    os._exit(FAILED)
