"""Files that are there whole or not at all."""

import contextlib
import errno
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ntkjax.errors import InputError
from ntkjax.store.run_path import RunPath, is_remote


PARTIAL = ".partial"


def write_atomically(path: RunPath, write: Callable[[Path], Any]) -> None:
    """Lets `write` fill a file beside `path`, then renames it in one step.

    For an object of a bucket `write` fills a temporary file, which is then put there.

    Raises:
        InputError: If the disk is full.
    """
    if not isinstance(path, Path):
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / path.name
            write(local)
            path.write_bytes(local.read_bytes())
        return
    beside = beside_of(path)
    try:
        with full_disk_named(path):
            write(beside)
            os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def beside_of(path: Path) -> Path:
    """A new name beside a path, for what will take its place.

    Processes of several hosts may have the same number, and share the folder.
    """
    own = f"{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name}.{own}{PARTIAL}")


@contextlib.contextmanager
def full_disk_named(path: RunPath) -> Iterator[None]:
    """Turns the error of a full disk, or a used-up quota, into one for the user.

    Raises:
        InputError: If what runs inside meets a full disk.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise InputError(
            f"{path}: the disk is full; finished files are kept: free some space and "
            "run the same command again."
        ) from error


def is_partial(path: RunPath) -> bool:
    """Whether the file is what a killed `write_atomically` left."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def write_text(path: RunPath, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_bytes(path: RunPath, content: bytes) -> None:
    """Writes bytes, whole or not at all."""
    if is_remote(path):
        path.write_bytes(content)
    else:
        write_atomically(path, lambda p: p.write_bytes(content))


def write_tensors(path: RunPath, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes arrays as safetensors, whole or not at all: floats become float32."""
    write_bytes(path, tensor_bytes(arrays))


def tensor_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The content of a safetensors file.

    Integers and booleans keep their type, every other number becomes float32. The same
    arrays give the same bytes.
    """
    # Not `ascontiguousarray`, which gives a scalar an axis.
    tensors = {k: np.asarray(_stored(v), order="C") for k, v in arrays.items()}
    return safetensors.numpy.save(tensors, metadata={"format": "pt"})


def _stored(value: Any) -> np.ndarray:
    array = np.asarray(value)
    return array if array.dtype.kind in "biu" else array.astype(np.float32, copy=False)


def write_json(path: RunPath, value: Any) -> None:
    """Writes JSON that standard parsers read: NaN and infinity are refused."""
    write_text(path, json_text(value))


def json_text(value: Any) -> str:
    """JSON as the files of a run have it."""
    return json.dumps(value, indent=1, allow_nan=False) + "\n"
