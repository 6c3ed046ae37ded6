"""Progress of a long pass: a bar on a terminal, plain lines elsewhere, on stderr.

And the seconds that each stage of a run took.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress(what: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Context that yields `advance(count)`; shows rate and time left.

    Args:
        what: What is being done.
        total: How many units there are.
        unit: Their plural name.
    """
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
    yield _plain_lines(what, total, unit)


def _plain_lines(what: str, total: int, unit: str) -> Callable[[int], None]:
    started = last = time.monotonic()
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


class Clock:
    """Seconds by stage, in `laps`."""

    def __init__(self):
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, stage: str) -> None:
        """Books the time since the last call on `stage`."""
        now = time.monotonic()
        self.laps[stage] = round(now - self._last, 2)
        self._last = now
