"""Files to records: JSON lines, or Parquet where the name ends in `.parquet`.

A record is what the file holds, unchecked; `ntkjax.data.examples` has the rules. Blank
lines are no records. Lines end with a line feed, and a carriage return before it is no
part of them; a byte-order mark is no part of the first one.
"""

import codecs
import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
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
        start: JSON lines: the file's byte at which the line begins.
        length: JSON lines: bytes of the line, without its end.
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


def is_parquet(path: Path) -> bool:
    """Whether the file is read as Parquet, by its name."""
    return path.suffix == ".parquet"


def open_data(path: Path) -> BinaryIO:
    """The file, opened for reading.

    Raises:
        InputError: If it cannot be.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected a file of JSON lines "
            "or Parquet."
        ) from error


def read_records(path: Path, name: str, fields: Sequence[str]) -> Iterator[Record]:
    """The records of a file in order, one at a time.

    Args:
        path: The file.
        name: What messages call it.
        fields: The columns to read of Parquet; JSON records are always whole.

    Raises:
        InputError: If the file cannot be read, is damaged, or has no records.
    """
    number = 0
    with open_data(path) as file:
        read = _parquet_records if is_parquet(path) else _json_records
        for record in read(file, name, fields):
            number = record.number
            yield record
    if not number:
        raise InputError(f"{path}: no examples; expected at least one record.")


def parse_line(text: str, where: str) -> Any:
    """The value of one JSON line.

    Raises:
        InputError: If it is no JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = getattr(error, "msg", error)
        column = getattr(error, "colno", 1)
        raise InputError(
            f"{where}: bad JSON at column {column} ({reason}); expected one JSON "
            "object on each line."
        ) from error


def _json_records(file: BinaryIO, name: str, fields: Sequence[str]) -> Iterator[Record]:
    del fields  # a line is parsed whole
    start = 0
    for number, whole in enumerate(file, start=1):
        where = f"{name} line {number}"
        line = whole.removeprefix(codecs.BOM_UTF8) if number == 1 else whole
        first = start + len(whole) - len(line)
        start += len(whole)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{where}: byte {error.start + 1} is not UTF-8; save the file as UTF-8."
            ) from error
        if text.strip():
            length = len(line.removesuffix(b"\n").removesuffix(b"\r"))
            value = parse_line(text, where)
            yield Record(value, name, "line", number, first, length)


def _parquet_records(
    file: BinaryIO, name: str, fields: Sequence[str]
) -> Iterator[Record]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        table = parquet.ParquetFile(file)
        present = [field for field in fields if field in table.schema_arrow.names]
        for batch in table.iter_batches(columns=present):
            for value in batch.to_pylist():
                number += 1
                yield Record(value, name, "row", number)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{name}: damaged Parquet after row {number} ({reason}); write it anew."
        ) from error


def _stamp(file: BinaryIO) -> tuple[int, int]:
    status = os.fstat(file.fileno())
    return status.st_size, status.st_mtime_ns
