"""A run directory of several processes: the first one writes, all of them may read."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.store.polling import is_seen_within, wait_until
from ntkjax.store.results import Result, read_result
from ntkjax.store.run_directory import SETTINGS, hash_files, open_run
from ntkjax.store.run_path import RunPath


_ENDS = 2**20
"""Bytes at both ends of a file that every process looks at. The beginning of weights
holds their names and shapes."""

_PATIENCE = 60.0
"""Seconds that a shared folder is given to show what another host wrote."""


def hash_inputs(files: Mapping[str, Sequence[Path]]) -> dict[str, str]:
    """`hash_files` of each group of files, by name; of several processes, the first's.

    The others look at sizes and ends only: weights may be many times what the devices
    of a process need of them.

    Raises:
        InputError: If sizes or ends differ from process to process.
    """
    if processes.is_joined():
        processes.require_same(
            {
                f"file {number} of {name}, {path.name},": _look(path)
                for name, paths in files.items()
                for number, path in enumerate(paths, start=1)
            }
        )
    own = {}
    if processes.is_first():
        own = {name: hash_files(paths) for name, paths in files.items()}
    return processes.from_first(own)


def open_shared_run(
    out: RunPath,
    settings: dict[str, Any],
    inputs: dict[str, str],
    facts: dict[str, Any] | None = None,
) -> RunPath:
    """`open_run` by the first process; the others return when it is done.

    Raises:
        InputError: As `open_run`, or if a process does not see what the first wrote.
    """
    if processes.is_first():
        open_run(out, settings, inputs, facts)
    processes.from_first(None)
    seen = processes.gathered(is_seen_within(out / SETTINGS, _PATIENCE))
    if not all(seen):
        raise InputError(
            f"--out {out}: process {seen.index(False)} does not see there what process "
            "0 wrote; expected one folder that every host sees."
        )
    return out


def is_finished(result: RunPath) -> bool:
    """Whether the first process finds the result of the run; all must call this."""
    return processes.from_first(result.exists())


def result_of_first(path: RunPath, kind: type[Result]) -> Result:
    """The result that the first process writes, when it is there."""
    wait_until(path.exists)
    return read_result(path, kind)


def _look(path: Path) -> str:
    """Size of a file, and a hash of its ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = hashlib.sha256(file.read(_ENDS))
        file.seek(max(0, size - _ENDS))
        ends.update(file.read(_ENDS))
    return f"{size} bytes, {ends.hexdigest()[:16]}"
