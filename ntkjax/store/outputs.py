"""What a finished run wrote, by name and hash: is it still so?"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from ntkjax.store.atomic import is_partial
from ntkjax.store.folders import entries_of, remove_folder
from ntkjax.store.run_path import RunPath


def output_hashes(out: RunPath, names: Sequence[str]) -> dict[str, str]:
    """SHA-256 of files, and of all files in folders, by their path in the directory.

    Args:
        out: The directory.
        names: Files and folders in it; those that are not there are left out.
    """
    return {
        name: _hash(out / name)
        for given in names
        if (out / given).exists()
        for name in _files(out, given)
    }


def damaged_outputs(out: RunPath, hashes: Mapping[str, str]) -> list[str]:
    """Names of files that are missing or have another content. Cost: reads them."""
    return [
        name
        for name, digest in hashes.items()
        if not (out / name).is_file() or _hash(out / name) != digest
    ]


def remove_outputs(out: RunPath, names: Sequence[str]) -> None:
    """Removes outputs; a file in a folder goes with the folder, to be written anew."""
    for top in dict.fromkeys(name.partition("/")[0] for name in names):
        path = out / top
        if path.is_dir():
            remove_folder(path)
        else:
            path.unlink(missing_ok=True)


def _files(out: RunPath, name: str) -> list[str]:
    path = out / name
    if not path.is_dir():
        return [name]
    inside = sorted(entries_of(path), key=lambda entry: entry.name)
    return [
        found
        for entry in inside
        if not is_partial(entry)
        for found in _files(out, f"{name}/{entry.name}")
    ]


def _hash(path: RunPath) -> str:
    opened: Any = path.open("rb")
    with opened as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
