"""The formats of data files: every file beside this one with a `FORMAT` is one."""

import importlib
import pkgutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ntkjax.data import formats
from ntkjax.data.formats import json_lines
from ntkjax.data.formats.format import Format
from ntkjax.data.formats.records import Record, open_data
from ntkjax.errors import InputError


def _formats() -> tuple[Format, ...]:
    names = [module.name for module in pkgutil.iter_modules(formats.__path__)]
    modules = [importlib.import_module(f"{formats.__name__}.{name}") for name in names]
    return tuple(module.FORMAT for module in modules if hasattr(module, "FORMAT"))


FORMATS = _formats()
"""In the order of their files' names."""


def format_of(path: Path) -> Format:
    """The format of a file, by its name; JSON lines if no other is recognized."""
    for found in FORMATS:
        if path.suffix in found.suffixes:
            return found
    return json_lines.FORMAT


def read_records(path: Path, name: str, fields: Sequence[str]) -> Iterator[Record]:
    """The records of a file in order, one at a time.

    Args:
        path: The file.
        name: What messages call it.
        fields: Those that are wanted; records of some formats are always whole.

    Raises:
        InputError: If the file cannot be read, is damaged, or has no records.
    """
    number = 0
    with open_data(path) as file:
        for record in format_of(path).read(file, name, fields):
            number = record.number
            yield record
    if not number:
        raise InputError(f"{path}: no examples; expected at least one record.")
