"""Parquet: one row for each example, one column for each field."""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from ntkjax.data.formats.format import Format
from ntkjax.data.formats.parquet_rows import ParquetRows
from ntkjax.data.formats.records import Record
from ntkjax.errors import InputError


def read_rows(file: BinaryIO, name: str, fields: Sequence[str]) -> Iterator[Record]:
    """The records of an opened file in order.

    Raises:
        InputError: If it is damaged.
    """
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


FORMAT = Format(
    "Parquet",
    (".parquet",),
    read_rows,
    lambda files, fields, ends, places: ParquetRows(files, fields),
    "columns prompt and response",
)
