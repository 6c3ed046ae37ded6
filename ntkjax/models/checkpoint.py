"""Tensors of a safetensors checkpoint: one file, or shards listed by an index.

Nothing but safetensors is read: no pickle, no code of the checkpoint's.
"""

import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from ntkjax.errors import InputError


SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
FLOATS = {"float64", "float32", "float16", "bfloat16"}


class Checkpoint:
    """Names and files of a checkpoint's tensors; each is read on request.

    Raises:
        InputError: If there are no safetensors files, the index does not fit the
            shards, or a file is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        # Where both exist, transformers reads the single file.
        sharded = (folder / INDEX).exists() and not (folder / SINGLE).exists()
        self.file_of = _indexed(folder) if sharded else _single(folder)

    def read(self, name: str) -> np.ndarray:
        """One tensor, checked to be finite."""
        path = self.folder / self.file_of[name]
        with open_safetensors(path) as file:
            array = file.get_tensor(name)
        require_finite(array, name, path)
        return array


def open_safetensors(path: Path):
    """An open safetensors file; a missing or damaged one is an `InputError`."""
    try:
        return safe_open(path, framework="np")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path}: damaged or truncated safetensors file ({error}); "
            "copy or download it again."
        ) from error


def require_finite(array: np.ndarray, name: str, path: Path) -> None:
    """Raises `InputError` if the tensor holds NaN, infinity or no floats at all."""
    if array.dtype.name not in FLOATS:
        raise InputError(
            f"{path}: tensor {name!r} is {array.dtype.name}; quantized weights cannot "
            "be read, only floating-point numbers of 16 bits or more."
        )
    wide = array.astype(np.float32) if array.dtype.itemsize < 4 else array
    bad = int(np.size(wide) - np.count_nonzero(np.isfinite(wide)))
    if bad:
        raise InputError(
            f"{path}: tensor {name!r} has {bad} numbers that are NaN or infinite; "
            "the file is damaged or its training diverged."
        )


def _single(folder: Path) -> dict[str, str]:
    path = folder / SINGLE
    if not path.exists():
        other = sorted(p.name for p in folder.glob("*.bin"))
        hint = f" ({', '.join(other)} is pickle, which is never read)" if other else ""
        raise InputError(f"{folder} has no {SINGLE} and no {INDEX}{hint}.")
    with open_safetensors(path) as file:
        return dict.fromkeys(file.keys(), SINGLE)


def _indexed(folder: Path) -> dict[str, str]:
    path = folder / INDEX
    try:
        listed: dict[str, str] = dict(json.loads(path.read_bytes())["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no valid index ({error!r}).") from error
    if not listed or not all(isinstance(shard, str) for shard in listed.values()):
        raise InputError(f"{path}: no valid index (weight_map must name files).")
    for shard in sorted(set(listed.values())):
        if Path(shard).name != shard or shard in ("", ".."):
            raise InputError(f"{path}: shard {shard!r} is not a plain file name.")
        with open_safetensors(folder / shard) as file:
            found = set(file.keys())
        expected = {name for name, where in listed.items() if where == shard}
        if found != expected:
            wrong = sorted(found ^ expected)
            raise InputError(
                f"{folder / shard}: its tensors differ from {INDEX}: {wrong[:3]} "
                f"({len(wrong)} in all)."
            )
    return dict(listed)
