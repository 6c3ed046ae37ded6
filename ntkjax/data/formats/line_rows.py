"""Lines of text files: all of them in order, or some by number when they are needed.

Blank lines are no records. Lines end with a line feed, and a carriage return before it
is no part of them; a byte-order mark is no part of the first one.
"""

import codecs
import contextlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from jaxtyping import Int64

from ntkjax.data.formats.records import DataFile, Record
from ntkjax.errors import InputError
from ntkjax.store.atomic import write_atomically
from ntkjax.store.run_path import RunPath


def text_lines(file: BinaryIO, name: str) -> Iterator[Record]:
    """The lines that are not blank, each as a record whose value is its text.

    Args:
        file: An opened file.
        name: What messages call it.

    Raises:
        InputError: If a line is no UTF-8.
    """
    start = 0
    for number, whole in enumerate(file, start=1):
        line = whole.removeprefix(codecs.BOM_UTF8) if number == 1 else whole
        first = start + len(whole) - len(line)
        start += len(whole)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name} line {number}: byte {error.start + 1} is not UTF-8; save the "
                "file as UTF-8."
            ) from error
        if text.strip():
            length = len(line.removesuffix(b"\n").removesuffix(b"\r"))
            yield Record(text, name, "line", number, first, length)


class LinePlaces:
    """Where the records of lines are, noted one by one: 24 bytes each.

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
    """The rows of one or more files of lines, numbered from 0."""

    def __init__(
        self,
        files: Sequence[DataFile],
        ends: Sequence[int],
        places: LinePlaces,
        parse: Callable[[str, str], Any],
    ):
        """Takes what was found when the files were read through.

        Args:
            files: The files.
            ends: The number of rows up to the end of each.
            places: Where the rows are.
            parse: A line and where it stands to the record's value.
        """
        self._files = files
        self._parse = parse
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
            value = self._parse(line.decode(), f"{file.name} line {number}")
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
