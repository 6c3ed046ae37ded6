"""Rows of JSON lines by number, read from disk when they are needed."""

import contextlib
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from ntkjax.data.formats.records import DataFile, Record, parse_line
from ntkjax.store.atomic import write_atomically
from ntkjax.store.run_path import RunPath


class LinePlaces:
    """Where the records of JSON lines are, noted one by one: 24 bytes each.

    Attributes:
        numbers: Their lines, from 1.
        starts: The byte of the file at which each begins.
        lengths: Bytes of each line, without its end.
    """

    def __init__(self):
        self.numbers, self.starts, self.lengths = array("q"), array("q"), array("q")

    def note(self, record: Record) -> None:
        self.numbers.append(record.number)
        self.starts.append(record.start)
        self.lengths.append(record.length)


class LineRows:
    """The rows of one or more files of JSON lines, numbered from 0."""

    def __init__(
        self, files: Sequence[DataFile], ends: Sequence[int], places: LinePlaces
    ):
        """Takes the files, the number of rows up to the end of each, and the places."""
        self._files = files
        self._ends = np.array(ends, np.int64)
        self._numbers = np.array(places.numbers, np.int64)
        self._starts = np.array(places.starts, np.int64)
        self._lengths = np.array(places.lengths, np.int64)

    def records(self, rows: Int64[np.ndarray, " n"]) -> Iterator[Record]:
        """The records in the order of `rows`.

        Raises:
            InputError: If a file changed or cannot be read.
        """
        for row, (file, line) in zip(rows, self._lines(rows), strict=True):
            number = int(self._numbers[row])
            value = parse_line(line.decode(), f"{file.name} line {number}")
            yield Record(value, file.name, "line", number)

    def write(self, rows: Int64[np.ndarray, " n"], path: RunPath) -> None:
        """Writes the lines byte for byte in the order of `rows`, each with a line feed.

        Raises:
            InputError: If a file changed or cannot be read, or if the disk is full.
        """

        def fill(beside: Path) -> None:
            with beside.open("wb") as out:
                for _, line in self._lines(rows):
                    out.write(line + b"\n")

        write_atomically(path, fill)

    def _lines(self, rows: Int64[np.ndarray, " n"]) -> Iterator[tuple[DataFile, bytes]]:
        """File and line of each row, with one file open at a time."""
        indices = np.searchsorted(self._ends, rows, side="right")
        with contextlib.ExitStack() as stack:
            current, opened = None, None
            for row, index in zip(rows, indices, strict=True):
                file = self._files[index]
                if opened is None or file is not current:
                    stack.close()
                    current, opened = file, stack.enter_context(file.open())
                opened.seek(self._starts[row])
                yield file, opened.read(self._lengths[row])
