"""Tensors of a safetensors checkpoint: one file, or shards listed by an index.

Nothing but safetensors is read: no pickle, no code of the checkpoint's.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from ntkjax.checkpoints.stored_tensor import (
    FLOATS,
    Part,
    StoredTensor,
    aligned,
    count_not_finite,
    damaged,
)
from ntkjax.errors import InputError, setting
from ntkjax.store.run_path import RunPath


SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

_LONG = {"F": "float", "I": "int", "U": "uint", "C": "complex"}


class Checkpoint:
    """Names and places of a checkpoint's tensors; each is read on request.

    Attributes:
        folder: Of the checkpoint.
        tensors: Places by name.

    Raises:
        InputError: If there are no safetensors files, the index does not fit the
            shards, or a file is damaged.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        # Where both exist, transformers reads the single file.
        sharded = (folder / INDEX).exists() and not (folder / SINGLE).exists()
        self.tensors = _indexed(folder) if sharded else _single(folder)

    def require(self, name: str, shape: tuple[int, ...]) -> None:
        """Raises `InputError` if a tensor has another shape, or holds no floats."""
        tensor = self._weights(name)
        if tensor.shape != shape:
            raise InputError(
                f"{tensor.path}: tensor {name!r} has shape {tensor.shape}, but "
                f"config.json asks for {shape}."
            )

    def read(
        self,
        name: str,
        dtype=None,
        advance: Callable[[int], None] = lambda count: None,
        part: Part | None = None,
        place: np.ndarray | None = None,
    ) -> np.ndarray:
        """One tensor, checked to be finite. Memory: its own, and that of a block.

        Args:
            name: Of the tensor.
            dtype: Type to cast to. Default: the file's.
            part: What to read of it, and of nothing else. Default: all.
            advance: Called with the number of bytes of every block.
            place: Where the numbers go, in place of a new array: of the part's shape,
                in row-major order, and of the type to cast to.

        Raises:
            InputError: If it is not finite, in the file or in `dtype`.
        """
        tensor = self._weights(name)
        part = tensor.whole if part is None else part
        shape = tuple(last - first for first, last in part)
        if place is None:
            place = aligned(shape, np.dtype(dtype or tensor.dtype))
        overflows = jnp.finfo(place.dtype).max < jnp.finfo(tensor.dtype).max
        flat, done, bad, lost = place.reshape(-1), 0, 0, 0
        for block in tensor.blocks(part):
            cast = flat[done : done + block.size]
            with np.errstate(all="ignore"):  # counted below
                cast[...] = block
            bad += count_not_finite(block)
            lost += count_not_finite(cast) if overflows else 0
            done += block.size
            advance(block.nbytes)
        _refuse_bad(bad, name, tensor.path)
        if lost:
            raise InputError(
                f"{tensor.path}: tensor {name!r} has {lost} numbers beyond the range "
                f"of {place.dtype}; try {setting('dtype')} bfloat16 or float32."
            )
        return place

    def are_equal(self, one: str, other: str) -> bool:
        """Whether two tensors have the same shape and numbers. Memory: blocks."""
        first, second = self._weights(one), self._weights(other)
        return first.shape == second.shape and all(
            np.array_equal(a.astype(np.float64), b.astype(np.float64))
            for a, b in zip(first.blocks(), second.blocks(), strict=True)
        )

    def _weights(self, name: str) -> StoredTensor:
        tensor = self.tensors[name]
        if tensor.code not in FLOATS:
            kind = re.match("[A-Z]*", tensor.code)[0]  # pyright: ignore[reportOptionalSubscript]
            spelled = _LONG.get(kind, kind) + tensor.code.removeprefix(kind)
            raise _not_floats(spelled.lower(), name, tensor.path)
        return tensor


def open_safetensors(path: Path):
    """An open safetensors file; a missing or damaged one is an `InputError`."""
    try:
        return safe_open(path, framework="np")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (SafetensorError, OSError) as error:
        raise damaged(path, error) from error


def read_tensors(path: RunPath) -> dict[str, np.ndarray]:
    """All tensors of a safetensors file, local or in a bucket.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        return safetensors.numpy.load(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (SafetensorError, OSError, KeyError) as error:  # of a type NumPy lacks
        raise damaged(path, error) from error


def read_described(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """All tensors of a local safetensors file, and its metadata.

    Raises:
        InputError: If it is missing or damaged, or holds a type that NumPy lacks.
    """
    with open_safetensors(path) as file:
        try:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, TypeError, AttributeError) as error:
            raise damaged(path, error) from error
        return tensors, file.metadata() or {}


def require_finite(array: np.ndarray, name: str, path: RunPath) -> None:
    """Raises `InputError` if the tensor holds NaN, infinity or no floats at all."""
    if array.dtype not in FLOATS.values():
        raise _not_floats(array.dtype.name, name, path)
    _refuse_bad(count_not_finite(array), name, path)


def _refuse_bad(bad: int, name: str, path: RunPath) -> None:
    if bad:
        raise InputError(
            f"{path}: tensor {name!r} has {bad} numbers that are NaN or infinite; "
            "the file is damaged or its training diverged."
        )


def _not_floats(found: str, name: str, path: RunPath) -> InputError:
    return InputError(
        f"{path}: tensor {name!r} is {found}; quantized weights cannot be read, only "
        "floating-point numbers of 16 bits or more."
    )


def _single(folder: Path) -> dict[str, StoredTensor]:
    path = folder / SINGLE
    if not path.exists():
        other = sorted(p.name for p in folder.glob("*.bin"))
        hint = f" ({', '.join(other)} is pickle, which is never read)" if other else ""
        raise InputError(f"{folder} has no {SINGLE} and no {INDEX}{hint}.")
    return _tensors_of(path)


def _indexed(folder: Path) -> dict[str, StoredTensor]:
    shard_of = _read_index(folder / INDEX)
    shards = sorted(set(shard_of.values()))
    missing = [shard for shard in shards if not (folder / shard).exists()]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of the {len(shards)} shards that {INDEX} names "
            f"are missing: {_some(missing)}; copy or download them again."
        )
    tensors = {}
    for shard in shards:
        found = _tensors_of(folder / shard)
        listed = {name for name, where in shard_of.items() if where == shard}
        for names, what in (
            (listed - found.keys(), f"lacks what {INDEX} lists for it"),
            (found.keys() - listed, f"holds what {INDEX} does not list for it"),
        ):
            if names:
                raise InputError(
                    f"{folder / shard}: {what}: {_some(sorted(names))}; copy or "
                    "download the shards and the index again, from one checkpoint."
                )
        tensors |= found
    return tensors


def _read_index(path: Path) -> dict[str, str]:
    """The shard of each tensor. What the index says of sizes is not looked at."""
    try:
        listed: dict[str, str] = dict(json.loads(path.read_bytes())["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: no valid index ({error!r}).") from error
    if not listed or not all(isinstance(shard, str) for shard in listed.values()):
        raise InputError(f"{path}: no valid index (weight_map must name files).")
    for shard in sorted(set(listed.values())):
        if Path(shard).name != shard or shard in ("", ".."):
            raise InputError(f"{path}: shard {shard!r} is not a plain file name.")
    return listed


def _tensors_of(path: Path) -> dict[str, StoredTensor]:
    """The tensors that a file's header lists."""
    with open_safetensors(path):  # the header is sound and the file not truncated
        pass
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header: dict = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {
        name: StoredTensor(
            path,
            entry["dtype"],
            tuple(entry["shape"]),
            8 + length + entry["data_offsets"][0],
        )
        for name, entry in header.items()
    }


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + f", … ({len(names)} in all)" * (len(names) > 3)
