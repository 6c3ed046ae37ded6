"""A pool of candidates that stays on disk, however long it is.

One pass checks every record as `ntkjax.data.examples` does. Kept are where each row is,
its id and its source; texts are read again when they are needed.
"""

import hashlib
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt64

from ntkjax.data.examples import FIELDS, Example, repeated_id, to_example
from ntkjax.data.formats.format import Format, Rows
from ntkjax.data.formats.line_rows import LinePlaces
from ntkjax.data.formats.records import data_files
from ntkjax.data.formats.table import format_of, read_records
from ntkjax.errors import InputError
from ntkjax.store.run_path import RunPath


MOST_SAMPLED = 512
"""So many examples say how long those of a pool are."""


class Labels:
    """Ids and sources of rows, noted one by one: 12 bytes each, and the id in UTF-8."""

    def __init__(self):
        self._ids, self._ends = bytearray(), array("Q", [0])
        self._codes = array("I")
        self._known: dict[str | None, int] = {}

    def __len__(self) -> int:
        return len(self._codes)

    def note(self, example: Example) -> None:
        """Notes the next row."""
        self._ids += example.id.encode()
        self._ends.append(len(self._ids))
        self._codes.append(self._known.setdefault(example.source, len(self._known)))

    def ids(self, rows: Int64[np.ndarray, " n"]) -> list[str]:
        """In the order of `rows`."""
        places = ((self._ends[row], self._ends[row + 1]) for row in rows.tolist())
        return [self._ids[start:end].decode() for start, end in places]

    def sources(self, rows: Int64[np.ndarray, " n"]) -> list[str | None]:
        """In the order of `rows`."""
        names = list(self._known)
        return [names[self._codes[row]] for row in rows.tolist()]


class Pool:
    """Examples on disk, numbered from 0. `open_pool` makes one.

    Attributes:
        paths: The files.
        format: Of the files, and of those that it writes.
    """

    def __init__(
        self, paths: Sequence[Path], format: Format, stored: Rows, labels: Labels
    ):
        self.paths = tuple(paths)
        self.format = format
        self._stored = stored
        self._labels = labels

    def __len__(self) -> int:
        return len(self._labels)

    def ids(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """The ids of these rows, in the order given; no file is read.

        Raises:
            IndexError: If there is no such row.
        """
        return self._labels.ids(self._own(rows))

    def sources(self, rows: Sequence[int] | np.ndarray) -> list[str | None]:
        """The same for where the rows say that they come from."""
        return self._labels.sources(self._own(rows))

    def read(self, rows: Sequence[int] | np.ndarray) -> list[Example]:
        """The examples of these rows, in the order given.

        Cost: ascending rows are read fastest.

        Raises:
            IndexError: If there is no such row.
            InputError: If a file changed since the pool was opened.
        """
        return [to_example(record) for record in self._stored.records(self._own(rows))]

    def write_rows(self, rows: Sequence[int] | np.ndarray, path: RunPath) -> None:
        """Writes the user's own records in the order given, whole or not at all.

        The format is that of the files. Lines keep their bytes, rows all their columns.

        Raises:
            IndexError: If there is no such row.
            InputError: If a file changed since the pool was opened, or if the disk is
                full.
        """
        self._stored.write(self._own(rows), path)

    def _own(self, rows: Sequence[int] | np.ndarray) -> Int64[np.ndarray, " n"]:
        own = np.asarray(rows, np.int64)
        if ((own < 0) | (own >= len(self))).any():
            raise IndexError(f"rows {own.min()} to {own.max()} of {len(self)}.")
        return own


def sampled_rows(number: int) -> Int64[np.ndarray, " n"]:
    """Some rows of a pool of that size, ascending, the same at every call."""
    rng = np.random.default_rng(number)
    return np.sort(rng.choice(number, min(MOST_SAMPLED, number), replace=False))


def open_pool(
    paths: Sequence[Path], look: Callable[[Example], None] = lambda example: None
) -> Pool:
    """The pool of all records of the files, in order.

    Cost: one pass over the files. Memory: 24 bytes for each row that is a line, and
    what `Labels` keeps; some 16 more per row while ids are compared.

    Args:
        paths: The files.
        look: Called with every example in order, for what would need a second pass.

    Raises:
        InputError: If a file cannot be read or has no examples, if a record breaks the
            rules of `ntkjax.data.examples`, if two records have the same id, if
            formats are mixed, or if Parquet files have different columns.
    """
    files = data_files(paths)
    found = _only_format(paths)
    places, labels, hashes, ends = LinePlaces(), Labels(), array("Q"), []
    for file in files:
        for record in read_records(file.path, file.name, FIELDS):
            example = to_example(record)
            hashes.append(_hash(example.id))
            labels.note(example)
            look(example)
            if record.length:
                places.note(record)
        ends.append(len(hashes))
    stored = found.rows(files, FIELDS, ends, places)
    _require_unique(stored, np.array(hashes, np.uint64))
    return Pool(paths, found, stored, labels)


def _only_format(paths: Sequence[Path]) -> Format:
    first = format_of(paths[0])
    for path in paths:
        if format_of(path) is not first:
            names = sorted((format_of(path).name, first.name))
            raise InputError(
                f"{path}: {' and '.join(names)} in one pool ({paths[0]}); give files "
                "of one kind."
            )
    return first


def _hash(identity: str) -> int:
    """64 bits that do not change from run to run."""
    digest = hashlib.blake2b(identity.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _require_unique(stored: Rows, hashes: UInt64[np.ndarray, " n"]) -> None:
    """Refuses the first row whose id another row before it has.

    Equal ids have equal hashes. Rows of equal hashes are read again, as different ids
    may share one.
    """
    order = np.argsort(hashes, kind="stable")
    in_order = hashes[order]
    suspects = np.sort(order[1:][in_order[1:] == in_order[:-1]])
    for row in suspects:
        rows = np.flatnonzero(hashes[: row + 1] == hashes[row])
        *before, last = stored.records(rows)
        for record in before:
            identity = to_example(last).id
            if identity == to_example(record).id:
                raise repeated_id(identity, last.where, record.where)
