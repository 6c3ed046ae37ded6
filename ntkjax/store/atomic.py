"""Files that are there whole or not at all."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy


PARTIAL = ".partial"


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` fill a file beside `path`, then renames it in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def is_partial(path: Path) -> bool:
    """Whether the file is what a killed `write_atomically` left."""
    return path.name.startswith(".") and path.name.endswith(PARTIAL)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes float32 arrays as safetensors, whole or not at all."""
    # Not `ascontiguousarray`, which gives a scalar an axis.
    tensors = {k: np.asarray(v, np.float32, order="C") for k, v in arrays.items()}
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    write_atomically(path, lambda p: p.write_bytes(content))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that standard parsers read: NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
