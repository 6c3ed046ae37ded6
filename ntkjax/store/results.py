"""What a run found, as a JSON file: a frozen dataclass that says its schema.

    @dataclass(frozen=True, kw_only=True)
    class Found:
        schema: int = 1
        loss: float

Fields are numbers, texts, tuples, mappings and dataclasses of these. A file
that lacks one, or has one more, is refused. Whoever changes what one means raises
`schema`: a file of another number is refused, too.
"""

import textwrap
from typing import Any, TypeVar

from ntkjax.errors import InputError
from ntkjax.store.atomic import write_json
from ntkjax.store.run_directory import plain_values, read_json
from ntkjax.store.run_path import RunPath
from ntkjax.store.typed_values import typed_record


Result = TypeVar("Result")


def write_result(path: RunPath, result: Any) -> None:
    """Writes a result, whole or not at all; NaN and infinity are refused."""
    write_json(path, plain_values(result))


def read_result(path: RunPath, kind: type[Result]) -> Result:
    """The result of type `kind` that `write_result` wrote.

    Raises:
        InputError: If the file cannot be read, is of another schema, or has other
            fields.
    """
    values = read_json(path)
    try:
        return result_from(values, kind)
    except TypeError as error:
        reason = textwrap.shorten(str(error), 200, placeholder="...")
        raise InputError(
            f"{path}: {reason}; another version of ntkjax wrote it, or it was changed: "
            "run again into a new directory."
        ) from error


def result_from(values: Any, kind: type[Result]) -> Result:
    """The result that plain values stand for; the other way is `plain_values`.

    Raises:
        TypeError: If they are of another schema, or other fields; the text ends a
            sentence about them.
    """
    expected: Any = kind
    found = values.get("schema") if isinstance(values, dict) else None
    if found != expected.schema:
        raise TypeError(
            f"expected a result of schema {expected.schema}, got schema {found}"
        )
    return typed_record(values, kind)
