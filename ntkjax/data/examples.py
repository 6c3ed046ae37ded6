"""Examples as they stand in the user's files: JSON lines or Parquet.

A record holds `prompt` and `response`, or `text` alone (every token is then a target).
`id` and `source` are optional; other columns are left to whoever needs them. A field
that is null counts as absent, so that one Parquet file may mix both kinds of record.
"""

import codecs
import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ntkjax.errors import InputError


FIELDS = ("id", "source", "prompt", "response", "text", "messages")


@dataclasses.dataclass(frozen=True)
class Example:
    """One record of a file.

    Attributes:
        id: The record's own id, or "file name:line".
        prompt: What comes before the response; None for a `text` record.
        response: The response, or the whole text of a `text` record.
        source: Where the record says it comes from.
        location: "file name:line" (Parquet: row), for messages.
    """

    id: str
    prompt: str | None
    response: str
    source: str | None
    location: str


def read_examples(paths: Sequence[Path]) -> list[Example]:
    """All examples of the files, in order.

    Files whose name ends in `.parquet` are Parquet, all others JSON lines. Files of the
    same name are told apart by their full path in ids and locations.

    Raises:
        InputError: If a file cannot be read or has no examples, if a record breaks the
            rules above, or if two records have the same id.
    """
    examples = []
    places: dict[str, str] = {}
    for path, name in zip(paths, _names(paths), strict=True):
        before = len(examples)
        for number, record, where in _read_records(path, name):
            example = _to_example(record, f"{name}:{number}", where)
            if example.id in places:
                raise InputError(
                    f'{where}: id "{example.id}" was already used at '
                    f"{places[example.id]}; give each example its own id."
                )
            places[example.id] = where
            examples.append(example)
        if len(examples) == before:
            raise InputError(f"{path}: no examples; expected at least one record.")
    return examples


def choose(
    examples: Sequence[Example], num: int, seed: int, shuffle: bool, what: str
) -> list[Example]:
    """The first `num` examples after a seeded shuffle, or in file order.

    The same seed gives the same order whatever `num` is, so that a larger choice
    contains the smaller one.

    Args:
        examples: What to choose from.
        num: How many.
        seed: Of the shuffle.
        shuffle: False keeps the order of the files.
        what: The flag that set `num`, for messages.

    Raises:
        InputError: If `num` is below 1 or above the number of examples.
    """
    if num < 1:
        raise InputError(f"{what} {num}: expected at least 1.")
    if num > len(examples):
        files = dict.fromkeys(e.location.rpartition(":")[0] for e in examples)
        noun = "example" if len(examples) == 1 else "examples"
        raise InputError(
            f"{what} {num}: {' + '.join(files) or 'the data'} has only "
            f"{len(examples)} {noun}."
        )
    if not shuffle:
        return list(examples[:num])
    order = np.random.default_rng(seed).permutation(len(examples))
    return [examples[i] for i in order[:num]]


def _names(paths: Sequence[Path]) -> list[str]:
    """The file names; the full path where two files share a name."""
    resolved = [path.resolve() for path in paths]
    for path, times in Counter(resolved).items():
        if times > 1:
            raise InputError(f"{path}: the file is given {times} times; give it once.")
    counts = Counter(path.name for path in resolved)
    return [path.name if counts[path.name] == 1 else str(path) for path in resolved]


def _read_records(path: Path, name: str) -> Iterator[tuple[int, Any, str]]:
    """Number (from 1), record and place of each record in a file."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); expected a file of JSON lines "
            "or Parquet."
        ) from error
    with file:
        if path.suffix == ".parquet":
            yield from _parquet_records(file, name)
        else:
            yield from _json_records(file, name)


def _json_records(file: BinaryIO, name: str) -> Iterator[tuple[int, Any, str]]:
    for number, line in enumerate(file, start=1):
        where = f"{name} line {number}"
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{where}: byte {error.start + 1} is not UTF-8; save the file as UTF-8."
            ) from error
        if not text.strip():
            continue
        try:
            record = json.loads(text)
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", error)
            column = getattr(error, "colno", 1)
            raise InputError(
                f"{where}: bad JSON at column {column} ({reason}); expected one JSON "
                "object on each line."
            ) from error
        yield number, record, where


def _parquet_records(file: BinaryIO, name: str) -> Iterator[tuple[int, Any, str]]:
    import pyarrow
    from pyarrow import parquet

    number = 0
    try:
        table = parquet.ParquetFile(file)
        present = [field for field in FIELDS if field in table.schema_arrow.names]
        for batch in table.iter_batches(columns=present):
            for record in batch.to_pylist():
                number += 1
                yield number, record, f"{name} row {number}"
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = str(error).partition("\n")[0]
        raise InputError(
            f"{name}: damaged Parquet after row {number} ({reason}); write it anew."
        ) from error


def _to_example(record: Any, location: str, where: str) -> Example:
    if not isinstance(record, dict):
        raise InputError(
            f"{where}: expected a JSON object with prompt and response, "
            f"got {type(record).__name__}."
        )
    given = {field for field in FIELDS if record.get(field) is not None}
    if "messages" in given:
        raise InputError(
            f'{where}: field "messages": chat data is not supported yet; expected '
            '"prompt" and "response".'
        )
    if "text" in given and given & {"prompt", "response"}:
        raise InputError(
            f'{where}: "text" stands beside "prompt" or "response"; give either "text" '
            'or "prompt" and "response".'
        )
    is_text = "text" in given
    for field in () if is_text else ("prompt", "response"):
        if field not in given:
            raise InputError(
                f'{where}: field "{field}" is missing; expected "prompt" and '
                '"response", or "text" alone.'
            )
    body = "text" if is_text else "response"
    response = _string(record, body, where)
    if not response.strip():
        raise InputError(
            f'{where}: field "{body}" is empty; fill it in or remove the record.'
        )
    identity = record.get("id")
    if isinstance(identity, int) and not isinstance(identity, bool):
        identity = str(identity)
    elif identity is not None:
        identity = _string(record, "id", where)
    return Example(
        id=location if identity is None else identity,
        prompt=None if is_text else _string(record, "prompt", where),
        response=response,
        source=_string(record, "source", where) if "source" in given else None,
        location=location,
    )


def _string(record: dict, field: str, where: str) -> str:
    """The field as text that can be encoded: JSON may escape half a character."""
    value = record[field]
    if not isinstance(value, str):
        expected = "a string or an integer" if field == "id" else "a string"
        raise InputError(
            f'{where}: field "{field}" must be {expected}, got {type(value).__name__}.'
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f'{where}: field "{field}" has half a surrogate pair at character '
            f"{error.start + 1}; write the whole character or remove it."
        ) from error
    return value
