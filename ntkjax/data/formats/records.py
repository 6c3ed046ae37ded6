"""Records of files, and files that are read again.

A record is what the file holds, unchecked; `ntkjax.data.examples` has the rules.
"""

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from ntkjax.errors import InputError


class Record(NamedTuple):
    """One record of a file.

    Attributes:
        value: What it holds.
        name: What messages call the file.
        unit: "line", or "row" in Parquet.
        number: Its line or row, from 1.
        start: The file's byte at which its line begins.
        length: Bytes of the line, without its end; 0 where records are no lines.
    """

    value: Any
    name: str
    unit: str
    number: int
    start: int = 0
    length: int = 0

    @property
    def location(self) -> str:
        """As in "pool.jsonl:7": short, and the id of a record without one."""
        return f"{self.name}:{self.number}"

    @property
    def where(self) -> str:
        """As in "pool.jsonl line 7", for messages."""
        return f"{self.name} {self.unit} {self.number}"


@dataclasses.dataclass(frozen=True)
class DataFile:
    """A file that is read again later, and must not change in between.

    Attributes:
        path: The file.
        name: What messages call it.
        stamp: Its size and its time of change in nanoseconds.
    """

    path: Path
    name: str
    stamp: tuple[int, int]

    def open(self) -> BinaryIO:
        """The file, opened for reading.

        Raises:
            InputError: If it changed, or cannot be read any more.
        """
        file = open_data(self.path)
        if _stamp(file) != self.stamp:
            file.close()
            raise InputError(
                f"{self.path}: changed while it was in use; run the command again and "
                "leave the file alone."
            )
        return file


def data_files(paths: Sequence[Path]) -> list[DataFile]:
    """The files as they are now.

    Raises:
        InputError: If a file is given twice or cannot be read.
    """
    files = []
    for path, name in zip(paths, file_names(paths), strict=True):
        with open_data(path) as file:
            files.append(DataFile(path, name, _stamp(file)))
    return files


def file_names(paths: Sequence[Path]) -> list[str]:
    """The names of the files; the full path where two files share a name.

    Raises:
        InputError: If a file is given twice.
    """
    resolved = [path.resolve() for path in paths]
    for path, times in Counter(resolved).items():
        if times > 1:
            raise InputError(f"{path}: the file is given {times} times; give it once.")
    counts = Counter(path.name for path in resolved)
    return [path.name if counts[path.name] == 1 else str(path) for path in resolved]


def open_data(path: Path) -> BinaryIO:
    """The file, opened for reading.

    Raises:
        InputError: If it cannot be.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected a file of examples."
        ) from error


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
