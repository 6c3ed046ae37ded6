"""Seals: what the files of a folder are, written last, so that damage shows.

    FOLDER/seal.json    the record: bytes and SHA-256 of every file below

A folder without its seal is unfinished. One with it is whole as long as every file of
the record is there and has its bytes; other files are not asked about. What the files
are may also be kept elsewhere, in the manifest of a run for instance (`files_of`,
`damages`).
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from ntkjax.errors import InputError
from ntkjax.store.atomic import is_partial
from ntkjax.store.folders import entries_of
from ntkjax.store.records import read_record, write_record
from ntkjax.store.run_path import RunPath


SEAL = "seal.json"

Files = dict[str, dict[str, Any]]
"""`bytes` and `sha256` by name below a folder, with slashes."""


def seal(folder: RunPath) -> Files:
    """Seals what a folder holds now. Cost: reads every file once.

    Raises:
        InputError: If the disk is full.
    """
    return _write(folder, files_of(folder))


def add_to_seal(folder: RunPath, files: Files, name: str) -> Files:
    """Seals one more file, written after the others. Cost: reads it alone.

    Raises:
        FileNotFoundError: If it is not there.
        InputError: If the disk is full.
    """
    return _write(folder, dict(sorted((files | files_of(folder, [name])).items())))


def is_sealed(folder: RunPath) -> bool:
    """Whether a folder was finished. Cost: one look."""
    return (folder / SEAL).exists()


def damage(folder: RunPath) -> str | None:
    """What is wrong with a sealed folder, such as "a is missing"; None if nothing is.

    Cost: reads every file once, up to the first that is damaged.
    """
    record = read_record(folder / SEAL)
    if record is None:
        return f"{SEAL} is missing or damaged"
    return next((what for _, what in damages(folder, record["files"])), None)


def sealed_files(folder: RunPath) -> Files:
    """What a folder's seal says. Cost: reads it alone.

    Raises:
        InputError: If it is missing or damaged.
    """
    record = read_record(folder / SEAL)
    if record is None:
        raise InputError(f"{folder / SEAL}: missing or damaged.")
    return record["files"]


def files_of(folder: RunPath, names: Iterable[str] | None = None) -> Files:
    """What files below a folder are. Cost: reads each once.

    Args:
        folder: Where they are.
        names: Files, and folders for all files in them. Default: all but a seal and
            what a killed writer left.

    Raises:
        FileNotFoundError: If one is not there.
    """
    files = {}
    for name in _names_below(folder) if names is None else names:
        path = folder / name
        inside = _names_below(path, f"{name}/") if path.is_dir() else [name]
        for each in inside:
            found = _look(folder / each)
            if found is None:
                raise FileNotFoundError(str(folder / each))
            files[each] = found
    return dict(sorted(files.items()))


def damages(folder: RunPath, files: Files) -> Iterator[tuple[str, str]]:
    """Names of files that are not as they were, and what is wrong with each.

    Cost: reads each file once, as it is asked for.
    """
    for name, expected in files.items():
        found = _look(folder / name)
        if found is None:
            yield name, f"{name} is missing"
        elif found["bytes"] != expected["bytes"]:
            size = f"{found['bytes']} bytes in place of {expected['bytes']}"
            yield name, f"{name} has {size}"
        elif found != expected:
            yield name, f"{name} has other bytes than were written"


def described(content: bytes) -> dict[str, Any]:
    """What `files_of` says of a file with this content."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def file_hash(path: RunPath) -> str:
    """SHA-256 of a file's content."""
    return _hashed(path)["sha256"]


def tensors_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of arrays: names, types, shapes and numbers, in any order of names."""
    total = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        total.update(f"{name} {array.dtype} {array.shape} ".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def config_hash(values: dict[str, Any]) -> str:
    """SHA-256 of plain values: the same for the same values in any order of keys."""
    text = json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _write(folder: RunPath, files: Files) -> Files:
    write_record(folder / SEAL, {"files": files})
    return files


def _names_below(folder: RunPath, prefix: str = "") -> list[str]:
    names = []
    for path in entries_of(folder):
        if path.is_dir():
            names += _names_below(path, f"{prefix}{path.name}/")
        elif not is_partial(path) and path.name != SEAL:
            names.append(f"{prefix}{path.name}")
    return names


def _look(path: RunPath) -> dict[str, Any] | None:
    """Bytes and hash of a file; None if there is none."""
    return _hashed(path) if path.is_file() else None


def _hashed(path: RunPath) -> dict[str, Any]:
    opened: Any = path.open("rb")
    with opened as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"bytes": file.tell(), "sha256": digest}
