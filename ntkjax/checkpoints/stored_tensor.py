"""One tensor of a safetensors file, read block by block.

The blocks go into the array that is kept, so a tensor is never in memory twice. The
file is read and not mapped: pages of a mapped file count as memory of the process.
"""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ntkjax.errors import InputError
from ntkjax.store.run_path import RunPath


FLOATS = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(jnp.bfloat16),
}
"""Types that weights may have, by their code in a file."""

BLOCK = 1 << 20
"""Numbers that are read, checked and cast at a time."""

Part = tuple[tuple[int, int], ...]
"""A block of a vector or matrix: first and last index, exclusive, along each axis."""

_ALIGNMENT = 64  # bytes; JAX takes over an array that begins so, and copies any other


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies.

    Attributes:
        path: The file.
        code: Its type, as the file's header spells it; a key of `FLOATS` for weights.
        shape: Its shape.
        start: Its first byte, counted from the beginning of the file.
    """

    path: Path
    code: str
    shape: tuple[int, ...]
    start: int

    @property
    def dtype(self) -> np.dtype:
        """Type of the numbers."""
        return FLOATS[self.code]

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def num_bytes(self) -> int:
        """How much of the file it takes."""
        return self.size * self.dtype.itemsize

    @property
    def whole(self) -> Part:
        """The part that is all of it."""
        return tuple((0, size) for size in self.shape)

    def blocks(self, part: Part | None = None) -> Iterator[np.ndarray]:
        """The numbers in the order of the file; a block lasts until the next one.

        Args:
            part: Only these are read. Default: all.

        Raises:
            InputError: If the file ends too soon.
        """
        starts, length = self._runs(self.whole if part is None else part)
        scratch, filled = np.empty(min(len(starts) * length, BLOCK), self.dtype), 0
        with self.path.open("rb", buffering=0) as file:
            for start in starts:
                end = start + length
                while start < end:
                    taken = min(end - start, scratch.size - filled)
                    self._read(file, start, scratch[filled : filled + taken])
                    start, filled = start + taken, filled + taken
                    if filled == scratch.size:
                        yield scratch
                        filled = 0
        if filled:
            yield scratch[:filled]

    def _runs(self, part: Part) -> tuple[range, int]:
        """Where runs of neighboring numbers begin, and how long each is."""
        if part == self.whole:
            return range(1), self.size
        (first, last), *columns = part
        if not columns:
            return range(first, first + 1), last - first
        ((left, right),) = columns
        width = self.shape[1]
        if right - left == width:
            return range(first * width, first * width + 1), (last - first) * width
        return range(first * width + left, last * width, width), right - left

    def _read(self, file: io.RawIOBase, start: int, place: np.ndarray) -> None:
        """Fills `place` with the numbers from `start` on."""
        file.seek(self.start + start * self.dtype.itemsize)
        rest = place.view(np.uint8).data
        while rest:
            count = file.readinto(rest)
            if not count:
                raise damaged(self.path, "it ends too soon")
            rest = rest[count:]


def part_size(part: Part) -> int:
    """How many numbers are in a part."""
    return math.prod(last - first for first, last in part)


def aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An empty array whose memory `jax.device_put` takes over on a CPU."""
    num_bytes = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    memory = np.empty(num_bytes + _ALIGNMENT, np.uint8)
    start = -memory.ctypes.data % _ALIGNMENT
    return memory[start : start + num_bytes].view(dtype).reshape(shape)


def count_not_finite(array: np.ndarray) -> int:
    """How many numbers are NaN or infinite. Memory: that of a block."""
    flat, found = array.reshape(-1), 0
    for start in range(0, flat.size, BLOCK):
        block = flat[start : start + BLOCK]
        wide = block.astype(np.float32) if block.dtype.itemsize < 4 else block
        found += block.size - int(np.count_nonzero(np.isfinite(wide)))
    return found


def damaged(path: RunPath, reason: object) -> InputError:
    """The error for a file that is not what it should be."""
    return InputError(
        f"{path}: damaged or truncated safetensors file ({reason}); copy or download "
        "it again."
    )
