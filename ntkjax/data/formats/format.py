"""What one row of the table of formats holds."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int64

from ntkjax.data.formats.line_rows import LinePlaces
from ntkjax.data.formats.records import DataFile, Record
from ntkjax.store.run_path import RunPath


@runtime_checkable
class Rows(Protocol):
    """The rows of one or more files of a format, numbered from 0."""

    def records(self, rows: Int64[np.ndarray, " n"]) -> Iterable[Record]:
        """The records in the order of `rows`."""
        ...

    def write(self, rows: Int64[np.ndarray, " n"], path: RunPath) -> None:
        """A file of the same format with these rows alone, as the user wrote them."""
        ...


@dataclass(frozen=True)
class Format:
    """One format of data files.

    Attributes:
        name: As messages have it.
        suffixes: How names of such files end; the first is that of files we write.
        read: An opened file, its name for messages, and the fields that are wanted, to
            its records in order.
        rows: Files that were read through, the fields that are wanted, the number of
            rows up to the end of each file, and the places of lines, to their rows.
        example: What a user writes into such a file.
    """

    name: str
    suffixes: tuple[str, ...]
    read: Callable[[BinaryIO, str, Sequence[str]], Iterator[Record]]
    rows: Callable[[Sequence[DataFile], Sequence[str], Sequence[int], LinePlaces], Rows]
    example: str
