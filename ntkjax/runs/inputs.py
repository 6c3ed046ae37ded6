"""What decides a run beside its settings: the content of its input files.

Files of a model are many gigabytes: a run that is there names them by path, size and
time, and their hash is taken from it as long as these are the same.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.store.run_directory import hash_files


Stamps = list[list]
"""Path, bytes and time of change of each file."""

_ENDS = 2**20
"""Bytes at both ends of a file that every process looks at. The beginning of weights
holds their names and shapes."""


def stamps_of(paths: Sequence[Path]) -> Stamps:
    """What a change of a file would change, without reading it."""
    found = ((path.resolve(), path.stat()) for path in paths)
    return [[str(path), stat.st_size, stat.st_mtime_ns] for path, stat in found]


def require_readable(files: Mapping[str, Sequence[Path]]) -> None:
    """Raises `InputError` for an input file that cannot be opened.

    Args:
        files: Groups by the setting that names them.
    """
    for name, paths in files.items():
        for path in paths:
            try:
                path.open("rb").close()
            except OSError as error:
                raise InputError(
                    f"cannot be read ({error.strerror}); expected a file.",
                    field=name,
                    value=path,
                ) from error


def hash_inputs(
    files: Mapping[str, Sequence[Path]], known: Mapping[str, str] | None = None
) -> dict[str, str]:
    """`hash_files` of each group of files, by name; of several processes, the first's.

    The others look at sizes and ends only: weights may be many times what the devices
    of a process need of them.

    Args:
        files: Groups by name.
        known: Hashes of groups that need not be read.

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
        known = known or {}
        own = {n: known.get(n) or hash_files(paths) for n, paths in files.items()}
    return processes.from_first(own)


def _look(path: Path) -> str:
    """Size of a file, and a hash of its ends."""
    size = path.stat().st_size
    with path.open("rb") as file:
        ends = hashlib.sha256(file.read(_ENDS))
        file.seek(max(0, size - _ENDS))
        ends.update(file.read(_ENDS))
    return f"{size} bytes, {ends.hexdigest()[:16]}"
