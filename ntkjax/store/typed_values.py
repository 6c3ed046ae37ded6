"""Plain values, as YAML and JSON have them, back to the types of a dataclass.

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
    if hint == RunPath:
        return _run_path(value)
    if typing.get_origin(hint) is not None:
        return _of_parts(value, hint)
    if dataclasses.is_dataclass(hint):
        return typed_record(value, hint)
    if hint is Any:
        return value
    if hint is float and type(value) is int:
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if type(value) is not hint:
        raise TypeError(f"must be of type {hint.__name__}, got {value!r}")
    return value


def _of_parts(value: Any, hint: Any) -> Any:
    """A value for a hint that is made of others: `X | None`, `tuple[X, ...]`."""
    origin, hints = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return typed_value(value, hints[0])
    if origin is tuple:
        return _tuple(value, hints)
    if origin is dict:
        return _dict(value, hints[1])
    if value is None:
        return None
    others = [each for each in hints if each is not types.NoneType]
    return typed_value(value, others[0] if len(others) == 1 else RunPath)


def _tuple(value: Any, hints: tuple[Any, ...]) -> tuple[Any, ...]:
    items = value if isinstance(value, list) else [value]
    if hints[-1] is Ellipsis:
        hints = hints[:1] * len(items)
    if len(items) != len(hints):
        raise TypeError(f"must have {len(hints)} values, got {value!r}")
    return tuple(map(typed_value, items, hints))


def _dict(value: Any, hint: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"must be a mapping, got {value!r}")
    return {key: _named(key, item, hint) for key, item in value.items()}


def _named(name: str, value: Any, hint: Any) -> Any:
    """A value of a mapping; errors begin with its name."""
    try:
        return typed_value(value, hint)
    except TypeError as error:
        raise TypeError(f"{name} {error}") from error


def _run_path(value: Any) -> RunPath:
    if not isinstance(value, str):
        raise TypeError(f"must be of type Path, got {value!r}")
    try:
        return run_path(value)
    except InputError as error:
        raise TypeError(f"is {error}".removesuffix(".")) from error


def typed_record(values: Any, kind: Any) -> Any:
    """The dataclass of type `kind` that a mapping holds.

    Raises:
        TypeError: As `typed_fields`, or if a field without a default is not there.
    """
    found = typed_fields(values, kind)
    for field in dataclasses.fields(kind):
        if field.name not in found and _has_no_default(field):
            raise TypeError(f"lacks the key {field.name!r}")
    return kind(**found)


def _has_no_default(field: dataclasses.Field) -> bool:
    both = field.default, field.default_factory
    return all(each is dataclasses.MISSING for each in both)


def typed_fields(values: Any, kind: type) -> dict[str, Any]:
    """Fields of a dataclass by name, for those that the mapping has.

    Raises:
        TypeError: If it is no mapping, a key is unknown, or a value has another type.
    """
    if not isinstance(values, dict):
        raise TypeError(f"must be a mapping, got {values!r}")
    hints = typing.get_type_hints(kind)
    for name in values:
        if name not in hints:
            raise TypeError(f"has the unknown key {name!r}")
    return {name: _named(name, value, hints[name]) for name, value in values.items()}
