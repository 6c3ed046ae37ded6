"""Do the processes see one folder? Each writes a file, and looks for another's."""

import contextlib
import secrets
import time
from dataclasses import dataclass

import jax

from ntkjax.devices.processes import from_first, gathered
from ntkjax.errors import InputError
from ntkjax.store.atomic import write_text
from ntkjax.store.bucket import require_reachable
from ntkjax.store.folders import make_folder
from ntkjax.store.run_path import RunPath


_PATIENCE = 10.0
"""Seconds until a file must be seen: network file systems are late by a few."""

_PAUSE = 0.2


@dataclass(frozen=True)
class Sighting:
    """What one process found.

    Attributes:
        error: Why it could not write; empty where it could.
        sees_first: Whether it sees the file of the first process.
        is_seen: Whether the first process sees its file.
    """

    error: str
    sees_first: bool
    is_seen: bool


def look_for_each_other(folder: RunPath) -> list[Sighting]:
    """What each process finds in its folder; all of them must call this.

    The first one looks for the files of all, the others for that of the first.

    Args:
        folder: Made where it is not there. The files are gone at the end.
    """
    token = from_first(secrets.token_hex(8))
    index, count = jax.process_index(), jax.process_count()
    names = [f"seen-{token}-{i}" for i in range(count)]
    try:
        errors = gathered(_write(folder / names[index]))
        written = {name for name, error in zip(names, errors, strict=True) if not error}
        wanted = names[1:] if index == 0 else names[:1]
        found = gathered(_seen(folder, [name for name in wanted if name in written]))
    finally:
        with contextlib.suppress(OSError):
            (folder / names[index]).unlink()
    found[0] += [name for name in names[:1] if name in written]  # its own
    return [
        Sighting(errors[i], names[0] in found[i], names[i] in found[0])
        for i in range(count)
    ]


def _write(path: RunPath) -> str:
    """Why it failed; empty where it did not."""
    try:
        require_reachable(path.parent, "out")
        make_folder(path.parent)
        write_text(path, "")
    except (OSError, InputError) as error:
        return str(error)
    return ""


def _seen(folder: RunPath, names: list[str]) -> list[str]:
    """Those that are there before the patience ends."""
    end = time.monotonic() + _PATIENCE
    while True:
        found = [name for name in names if _is_there(folder / name)]
        if len(found) == len(names) or time.monotonic() > end:
            return found
        time.sleep(_PAUSE)


def _is_there(path: RunPath) -> bool:
    try:
        return path.exists()
    except OSError:
        return False
