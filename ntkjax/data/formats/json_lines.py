"""JSON lines: one JSON value on each."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ntkjax.data.formats.format import Format
from ntkjax.data.formats.line_rows import LineRows, text_lines
from ntkjax.data.formats.records import Record
from ntkjax.errors import InputError


def read_lines(file: BinaryIO, name: str, fields: Sequence[str]) -> Iterator[Record]:
    """The records of an opened file in order.

    Raises:
        InputError: If a line is no UTF-8 or no JSON.
    """
    del fields  # a line is parsed whole
    for line in text_lines(file, name):
        yield line._replace(value=parse_line(line.value, line.where))


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


FORMAT = Format(
    "JSON lines",
    (".jsonl",),
    read_lines,
    lambda files, fields, ends, places: LineRows(files, ends, places, parse_line),
    '{"prompt": "1 + 1 =", "response": "2"}',
)
