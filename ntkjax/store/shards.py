"""A long pass over rows, stored in shards so that a kill loses one of them at most.

A shard is two files, each written in one step: the arrays, then the record that says
what they are. Without its record, or when the arrays are not those that the record
names, a shard is not there. A shard that is there never changes.

    shard-00042.safetensors    the arrays, one row per row of the shard
    shard-00042.json           rows, config hash, checksum, finite counts, shapes

Independent jobs share a folder: each writes the shards of its part.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import safetensors.numpy

from ntkjax.errors import InputError, setting
from ntkjax.store.atomic import full_disk_named, tensor_bytes, write_bytes
from ntkjax.store.folders import entries_of, make_folder
from ntkjax.store.records import read_record, write_record
from ntkjax.store.run_path import RunPath


NO_PART = (0, 2)
"""A part that has no shard, for `part_of`: of someone who only reads."""


@dataclass(frozen=True)
class ShardedPass:
    """The shards of one pass.

    Attributes:
        folder: Where they are; made by the first write.
        num_rows: Rows of the whole pass.
        rows_per_shard: Rows of each shard but the last.
        config_hash: Of everything that decides the numbers (`config_hash`).
    """

    folder: RunPath
    num_rows: int
    rows_per_shard: int
    config_hash: str

    def __post_init__(self):
        if self.num_rows < 0 or self.rows_per_shard < 1:
            raise ValueError(f"no such pass: {self}.")

    @property
    def num_shards(self) -> int:
        return -(-self.num_rows // self.rows_per_shard)

    def rows(self, shard: int) -> range:
        """The rows of a shard, as positions in 0 .. num_rows.

        Raises:
            IndexError: If there is no such shard.
        """
        if not 0 <= shard < self.num_shards:
            raise IndexError(f"shard {shard} of {self.num_shards}.")
        start = shard * self.rows_per_shard
        return range(start, min(start + self.rows_per_shard, self.num_rows))

    def is_done(self, shard: int) -> bool:
        """Whether the shard is there and whole. Cost: reads it.

        Raises:
            InputError: If it belongs to another pass.
        """
        return self._content(shard) is not None

    def has_all_records(self) -> bool:
        """Whether the records of all shards are there. Cost: lists the folder."""
        return len(self._with_record()) == self.num_shards

    def missing(self) -> list[int]:
        """The shards that are still to be written. Cost: reads those that are there."""
        there = self._with_record()
        shards = range(self.num_shards)
        return [k for k in shards if k not in there or not self.is_done(k)]

    def write(
        self,
        shard: int,
        arrays: Mapping[str, np.ndarray],
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Writes a shard.

        Args:
            shard: Its number.
            arrays: By name, one row per row of the shard. Integers and booleans keep
                their type, floats become float32.
            notes: What the record says beside; it decides nothing.

        Raises:
            ValueError: If an array has another number of rows.
            InputError: If the disk is full; every finished shard is kept.
        """
        rows = self.rows(shard)
        for name, array in arrays.items():
            if np.shape(array)[:1] != (len(rows),):
                raise ValueError(
                    f'shard {shard} has {len(rows)} rows, but "{name}" has shape '
                    f"{np.shape(array)}."
                )
        content = tensor_bytes(arrays)
        stored = safetensors.numpy.load(content)
        record = {
            "rows": [rows.start, rows.stop],
            "config": self.config_hash,
            "sha256": hashlib.sha256(content).hexdigest(),
            "finite": {k: int(np.isfinite(stored[k]).sum()) for k in sorted(stored)},
            "arrays": {k: _described(stored[k]) for k in sorted(stored)},
            **(notes or {}),
        }
        with full_disk_named(self.folder):
            make_folder(self.folder)
        write_bytes(self._path(shard, "safetensors"), content)
        write_record(self._path(shard, "json"), record)

    def read(self, shard: int) -> dict[str, np.ndarray]:
        """The arrays of a shard, by name.

        Raises:
            InputError: If it is missing or damaged, or belongs to another pass.
        """
        content = self._content(shard)
        if content is None:
            raise InputError(
                f"{self._path(shard, 'safetensors')}: missing or damaged; run the same "
                "command again."
            )
        return safetensors.numpy.load(content)

    def _path(self, shard: int, suffix: str) -> RunPath:
        return self.folder / f"shard-{shard:05d}.{suffix}"

    def _with_record(self) -> set[int]:
        """The shards with a record, from one list: in a bucket each look is slow."""
        if not self.folder.exists():
            return set()
        names = {path.name for path in entries_of(self.folder)}
        shards = range(self.num_shards)
        return {k for k in shards if self._path(k, "json").name in names}

    def _content(self, shard: int) -> bytes | None:
        """The safetensors file that the shard's record names; None if not there."""
        rows = self.rows(shard)
        path = self._path(shard, "json")
        record = read_record(path)
        if record is None:
            return None
        self._require_own(path, record, rows)
        return whole_content(path, record)

    def _require_own(self, path: RunPath, record: dict[str, Any], rows: range) -> None:
        belongs = {"config": self.config_hash, "rows": [rows.start, rows.stop]}
        for key, now in belongs.items():
            if record.get(key) != now:
                raise InputError(
                    f"{path}: belongs to another run ({key} {record.get(key)}, now "
                    f"{now}); choose another {setting('out')} or delete "
                    f"{self.folder}."
                )


def whole_content(path: RunPath, record: dict[str, Any]) -> bytes | None:
    """The safetensors file beside a record, if it is the one that the record names."""
    content = _read(path.with_suffix(".safetensors"))
    if content is None:
        return None
    is_named = hashlib.sha256(content).hexdigest() == record.get("sha256")
    return content if is_named else None


def parse_part(text: str) -> tuple[int, int]:
    """Part and number of parts of a text `i/n`.

    Raises:
        InputError: Unless 1 <= i <= n.
    """
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InputError(
            "expected i/n with 1 <= i <= n, such as 2/8 for the second of eight jobs.",
            field="shard",
            value=text,
        )
    return int(found[1]), int(found[2])


def part_of(shards: list[int], part: int, parts: int) -> list[int]:
    """The shards of one part: those with the number part - 1 modulo `parts`.

    The parts 1 .. parts hold every shard once, and part 0 holds none.
    """
    return [shard for shard in shards if shard % parts == part - 1]


def _described(array: np.ndarray) -> list:
    return [str(array.dtype), list(array.shape)]


def _read(path: RunPath) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
