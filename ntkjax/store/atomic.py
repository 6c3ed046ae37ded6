"""Files that are there whole or not at all."""

import contextlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Lets `write` fill a file beside `path`, then renames it in one step."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        write(beside)
        os.replace(beside, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def write_tensors(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes float32 arrays as safetensors, whole or not at all."""
    tensors = {k: np.ascontiguousarray(v, np.float32) for k, v in arrays.items()}
    content = safetensors.numpy.save(tensors, metadata={"format": "pt"})
    write_atomically(path, lambda p: p.write_bytes(content))


def write_json(path: Path, value: Any) -> None:
    """Writes JSON that standard parsers read: NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")
