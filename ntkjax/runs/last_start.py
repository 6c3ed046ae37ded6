"""What a run was doing, for its next start: a kill says nothing.

While a run works, a file in its directory says its stage and its peak memory. It goes
when the run ends with a word, be it an error; a process that was killed, or that the
system ended for want of memory, leaves it.
"""

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.runs.ledger import peak_mib
from ntkjax.runs.progress import announce
from ntkjax.settings.flag_names import flag_of
from ntkjax.store.atomic import json_text, write_bytes
from ntkjax.store.bucket import bucket_errors
from ntkjax.store.run_directory import read_json
from ntkjax.store.run_path import RunPath, is_remote


_GROWTH = 1.05
"""So much more memory is worth a note."""


def say_last_start(
    path: RunPath, relief: Mapping[str, str], free: Sequence[str]
) -> None:
    """Says what the start before was doing, if it ended without a word.

    Args:
        path: The file of `noted`.
        relief: Stage ↦ the setting that lowers its memory; `""` for all others.
        free: Settings that may change when a run goes on.
    """
    try:
        found = read_json(path)
        stage, peak = str(found["stage"]), float(found["peak_mib"])
    except (InputError, KeyError, TypeError, ValueError):  # nothing to say
        return
    name = relief.get(stage, relief[""])
    where = "" if name in free else ", in a new directory,"
    announce(
        f"the last start ended without a word in {stage}, at a peak of {peak:,.0f} MiB;"
        f" if it ran out of memory, a smaller {flag_of(name)}{where} needs less. Going "
        "on."
    )


@contextlib.contextmanager
def noted(path: RunPath) -> Iterator[None]:
    """Keeps stage and peak memory in a file while the context lasts."""
    stopped = threading.Event()
    writer = threading.Thread(target=_keep, args=(path, stopped), daemon=True)
    writer.start()
    try:
        yield
    finally:
        stopped.set()
        writer.join()
        with contextlib.suppress(*_said_elsewhere(path)):
            path.unlink(missing_ok=True)


def _keep(path: RunPath, stopped: threading.Event) -> None:
    """Writes a note at each new stage and each rise of memory until it is stopped."""
    pause = 30.0 if is_remote(path) else 0.5
    stage, peak = "", 0.0
    while True:
        now, mib = processes.stage(), peak_mib()
        if now != stage or mib > _GROWTH * peak:
            stage, peak = now, mib
            note = {"stage": stage, "peak_mib": round(peak, 1)}
            with contextlib.suppress(*_said_elsewhere(path)):
                write_bytes(path, json_text(note).encode())
        if stopped.wait(pause):
            return


def _said_elsewhere(path: RunPath) -> tuple[type[Exception], ...]:
    """What the run itself meets, and says, where its files cannot be written."""
    return (OSError, InputError, *(bucket_errors() if is_remote(path) else ()))
