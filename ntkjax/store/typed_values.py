"""Plain values, as YAML and JSON have them, back to the types of a settings dataclass.

The way there is `ntkjax.store.run_directory.plain_values`.
"""

import dataclasses
import types
import typing
from pathlib import Path
from typing import Any

from ntkjax.errors import InputError
from ntkjax.store.run_path import RunPath, run_path


def typed_value(value: Any, hint: Any) -> Any:
    """A plain value as what a field of type `hint` holds.

    An integer is a float where one is wanted, and a value alone a tuple of one.

    Raises:
        TypeError: If it is none; the text ends a sentence about the field.
    """
    if typing.get_origin(hint) is typing.Annotated:
        hint = typing.get_args(hint)[0]
    if hint == RunPath:
        return _run_path(value)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if value is None:
            return None
        hints = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        return typed_value(value, hints[0] if len(hints) == 1 else RunPath)
    if dataclasses.is_dataclass(hint):
        inner: Any = hint
        return inner(**typed_fields(value, inner))
    if typing.get_origin(hint) is tuple:
        items = value if isinstance(value, list) else [value]
        inner = typing.get_args(hint)[0]
        return tuple(typed_value(item, inner) for item in items)
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not hint:
        raise TypeError(f"must be of type {hint.__name__}, got {value!r}")
    return value


def _run_path(value: Any) -> RunPath:
    if not isinstance(value, str):
        raise TypeError(f"must be of type Path, got {value!r}")
    try:
        return run_path(value)
    except InputError as error:
        raise TypeError(f"is {error}".removesuffix(".")) from error


def typed_fields(values: Any, settings_type: type) -> dict[str, Any]:
    """Fields of a dataclass by name, for those that the mapping has.

    Raises:
        TypeError: If it is no mapping, a key is unknown, or a value has another type.
    """
    if not isinstance(values, dict):
        raise TypeError(f"must be a mapping, got {values!r}")
    hints = typing.get_type_hints(settings_type)
    found = {}
    for name, value in values.items():
        if name not in hints:
            raise TypeError(f"has the unknown key {name!r}")
        try:
            found[name] = typed_value(value, hints[name])
        except TypeError as error:
            raise TypeError(f"{name} {error}") from error
    return found
