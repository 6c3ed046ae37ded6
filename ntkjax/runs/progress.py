"""Progress of a long pass: a bar on a terminal, plain lines elsewhere, on stderr."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator

from ntkjax.devices import processes


PATIENCE = 2.0
"""Seconds of reading that pass before anything is shown of it."""

_MIB = 2**20


@contextlib.contextmanager
def progress(
    what: str, total: int, unit: str, *, started: float | None = None
) -> Iterator[Callable[[int], None]]:
    """Context that yields `advance(count)`; shows rate and time left.

    Args:
        what: What is being done.
        total: How many units there are.
        unit: Their plural name.
        started: When it began, for one that is shown later; its first line comes with
            the first call. Default: now.
    """
    processes.note_stage(what)
    if not processes.is_first():
        yield lambda count: None
        return
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            task = bar.add_task(what, total=total)
            yield lambda count: bar.update(task, advance=count)
        return
    yield _plain_lines(what, total, unit, started)


@contextlib.contextmanager
def read_progress(what: str, num_bytes: int) -> Iterator[Callable[[int], None]]:
    """`progress` of reading so many bytes, in MiB; nothing is shown of a short one.

    Args:
        what: What is being done.
        num_bytes: How many there are; `advance` counts bytes too.
    """
    started, done, shown = time.monotonic(), 0, 0
    show: Callable[[int], None] | None = None
    with contextlib.ExitStack() as stack:

        def advance(count: int) -> None:
            nonlocal done, shown, show
            done += count
            if show is None and time.monotonic() - started >= PATIENCE:
                total = math.ceil(num_bytes / _MIB)
                show = stack.enter_context(
                    progress(what, total, "MiB", started=started)
                )
            if show is not None:
                whole = math.ceil(done / _MIB)
                show(whole - shown)
                shown = whole

        yield advance


def announce(line: str) -> None:
    """Says what begins now, on stderr."""
    if processes.is_first():
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def _plain_lines(
    what: str, total: int, unit: str, started: float | None
) -> Callable[[int], None]:
    last = time.monotonic() if started is None else -math.inf
    started = last if started is None else started
    done = 0

    def advance(count: int) -> None:
        nonlocal done, last
        done += count
        now = time.monotonic()
        if done == 0 or (now - last < 10 and done < total):
            return
        last = now
        rate = done / max(now - started, 1e-9)
        left = (total - done) / rate
        text = (
            f"{what}: {done}/{total} {unit}, {rate:.3g} per second, {left:.0f} s left"
        )
        print(text, file=sys.stderr, flush=True)  # noqa: T201

    return advance
