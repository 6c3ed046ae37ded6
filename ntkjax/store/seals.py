"""Seals: what the files of a folder are, written last, so that damage shows.

    FOLDER/seal.json    the record: bytes and SHA-256 of every file below, and its own

A folder without its seal is unfinished. One with it is whole as long as every file of
the record is there and has its bytes; other files are not asked about. A record may
also lie elsewhere, in the result of a run for instance (`record_of`, `damage_of`).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

import numpy as np

from ntkjax.errors import InputError
from ntkjax.store.atomic import is_partial, write_json
from ntkjax.store.folders import entries_of
from ntkjax.store.run_path import RunPath


SEAL = "seal.json"

Record = dict[str, Any]
"""`files`: `bytes` and `sha256` by name below the folder; `sha256`: that of `files`."""


def seal(folder: RunPath) -> Record:
    """Seals what a folder holds now. Cost: reads every file once.

    Raises:
        InputError: If the disk is full.
    """
    return _write(folder, record_of(folder)["files"])


def add_to_seal(folder: RunPath, record: Record, name: str) -> Record:
    """Seals one more file, written after the record was. Cost: reads it alone.

    Raises:
        FileNotFoundError: If it is not there.
        InputError: If the disk is full.
    """
    more = record_of(folder, [name])["files"]
    return _write(folder, dict(sorted((record["files"] | more).items())))


def is_sealed(folder: RunPath) -> bool:
    """Whether a folder was finished. Cost: one look."""
    return (folder / SEAL).exists()


def damage(folder: RunPath) -> str | None:
    """What is wrong with a sealed folder, such as "a is missing"; None if nothing is.

    Cost: reads every file once, up to the first that is damaged.
    """
    return damage_of(folder, read_record(folder / SEAL))


def sealed_record(folder: RunPath) -> Record:
    """The record in a folder's seal. Cost: reads it alone.

    Raises:
        InputError: If it is missing or damaged.
    """
    record = read_record(folder / SEAL)
    if not _is_record(record):
        raise InputError(f"{folder / SEAL}: missing or damaged.")
    return record


def record_of(folder: RunPath, names: Iterable[str] | None = None) -> Record:
    """The record of files below a folder. Cost: reads each once.

    Args:
        folder: Where they are.
        names: Their paths from there, with slashes. Default: all but a seal and what
            a killed writer left.

    Raises:
        FileNotFoundError: If one is not there.
    """
    files = {}
    for name in sorted(_names_below(folder) if names is None else names):
        found = _look(folder / name)
        if found is None:
            raise FileNotFoundError(str(folder / name))
        files[name] = found
    return _record(files)


def damage_of(folder: RunPath, record: Any) -> str | None:
    """As `damage`, with the record given; None or anything but a record is damage."""
    if not _is_record(record):
        return f"{SEAL} is missing or damaged"
    for name, expected in record["files"].items():
        found = _look(folder / name)
        if found is None:
            return f"{name} is missing"
        if found["bytes"] != expected["bytes"]:
            return f"{name} has {found['bytes']} bytes in place of {expected['bytes']}"
        if found != expected:
            return f"{name} has other bytes than were written"
    return None


def read_record(path: RunPath) -> Record | None:
    """A mapping in JSON; None if it is missing or damaged."""
    try:
        record = json.loads(path.read_bytes())
    except (FileNotFoundError, IsADirectoryError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


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


def _record(files: dict[str, Any]) -> Record:
    return {"files": files, "sha256": config_hash(files)}


def _write(folder: RunPath, files: dict[str, Any]) -> Record:
    record = _record(files)
    write_json(folder / SEAL, record)
    return record


def _is_record(record: Any) -> TypeGuard[Record]:
    """Whether it is one, and its own hash says so: a lost line would hide a file."""
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        return False
    try:
        return config_hash(record["files"]) == record.get("sha256")
    except ValueError:  # NaN, which no record has
        return False


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
