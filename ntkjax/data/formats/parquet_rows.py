"""Rows of Parquet files by number, read from disk by row groups."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from ntkjax.data.formats.records import DataFile, Record
from ntkjax.errors import InputError
from ntkjax.store.atomic import write_atomically
from ntkjax.store.run_path import RunPath


BLOCK = 65_536
"""Rows of a row group that is written."""


class ParquetRows:
    """The rows of one or more Parquet files with the same columns, numbered from 0.

    The last row group that was read is kept in memory, and no other.
    """

    def __init__(self, files: Sequence[DataFile], fields: Sequence[str]):
        """Reads the files' metadata.

        Args:
            files: The files.
            fields: The columns that `records` reads; `write` takes all.

        Raises:
            InputError: If a file changed or cannot be read, or if its columns are not
                those of the first one.
        """
        from pyarrow import parquet

        self._files = files
        self._metadata, schemas = [], []
        for file in files:
            with file.open() as opened:
                table = parquet.ParquetFile(opened)
                self._metadata.append(table.metadata)
                schemas.append(table.schema_arrow)
            _require_same(schemas[0], schemas[-1], file, files[0])
        self._schema = schemas[0]
        self._fields = [field for field in fields if field in self._schema.names]
        self._groups = [
            (index, group)
            for index, metadata in enumerate(self._metadata)
            for group in range(metadata.num_row_groups)
        ]
        sizes = [self._metadata[f].row_group(g).num_rows for f, g in self._groups]
        self._bounds = np.cumsum(np.array([0, *sizes], np.int64))  # of the groups
        rows_of_files = [metadata.num_rows for metadata in self._metadata]
        self._first_rows = np.cumsum([0, *rows_of_files])
        self._last: tuple[int, Any] | None = None

    def records(self, rows: Int64[np.ndarray, " n"]) -> list[Record]:
        """The records in the order of `rows`, with the chosen fields.

        Cost: reads each row group that holds one of the rows once.

        Raises:
            InputError: If a file changed or cannot be read.
        """
        records: list[Any] = [None] * len(rows)
        for place, positions in self._by_group(rows):
            if self._last is None or self._last[0] != place:
                self._last = None  # freed before the next one is read
                self._last = (place, self._read(place, self._fields))
            index = self._groups[place][0]
            numbers = rows[positions] - self._first_rows[index] + 1
            values = _take(self._last[1], rows[positions] - self._bounds[place])
            for position, number, value in zip(
                positions, numbers, values.to_pylist(), strict=True
            ):
                name = self._files[index].name
                records[position] = Record(value, name, "row", int(number))
        return records

    def write(self, rows: Int64[np.ndarray, " n"], path: RunPath) -> None:
        """Writes the rows with all columns, in the order of `rows`, as Parquet.

        Memory: the rows, and one row group of the files.

        Raises:
            InputError: If a file changed or cannot be read, or if the disk is full.
        """
        import pyarrow
        from pyarrow import parquet

        self._last = None
        parts, order = [self._schema.empty_table()], [np.zeros(0, np.int64)]
        for place, positions in self._by_group(rows):
            inside = rows[positions] - self._bounds[place]
            parts.append(_take(self._read(place, None), inside))
            order.append(positions)
        gathered = pyarrow.concat_tables(parts).unify_dictionaries()
        back = np.argsort(np.concatenate(order))

        def fill(beside: Path) -> None:
            with parquet.ParquetWriter(beside, self._schema) as writer:
                for start in range(0, len(back), BLOCK):
                    writer.write_table(_take(gathered, back[start : start + BLOCK]))

        write_atomically(path, fill)

    def _by_group(
        self, rows: Int64[np.ndarray, " n"]
    ) -> Iterator[tuple[int, Int64[np.ndarray, " m"]]]:
        """Each row group with one of the rows, and their positions in `rows`."""
        places = np.searchsorted(self._bounds, rows, side="right") - 1
        order = np.argsort(places, kind="stable")
        changes = np.flatnonzero(np.diff(places[order])) + 1
        for positions in np.split(order, changes) if len(rows) else ():
            yield int(places[positions[0]]), positions

    def _read(self, place: int, columns: list[str] | None) -> Any:
        """A row group as a table."""
        from pyarrow import parquet

        index, group = self._groups[place]
        with self._files[index].open() as opened:
            table = parquet.ParquetFile(opened, metadata=self._metadata[index])
            return table.read_row_group(group, columns=columns)


def _take(table: Any, rows: Int64[np.ndarray, " n"]) -> Any:
    import pyarrow

    return table.take(pyarrow.array(rows))


def _require_same(first: Any, schema: Any, file: DataFile, other: DataFile) -> None:
    if schema.equals(first):
        return
    columns, expected = set(schema), set(first)
    names = sorted({column.name for column in columns ^ expected})
    reason = f"differs in {', '.join(names)}" if names else "has them in another order"
    raise InputError(
        f"{file.path}: expected the columns of {other.path}, but {reason}; give the "
        "files of a pool the same columns."
    )
