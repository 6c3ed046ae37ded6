"""Fields of a record: values of the right kind, or an error that names the field."""

from typing import Any

from ntkjax.errors import InputError


def string(value: Any, field: str, where: str, expected: str = "a string") -> str:
    """The value as text that can be encoded: JSON may escape half a character.

    Args:
        value: What the record holds.
        field: The field's name, for messages.
        where: The record, for messages.
        expected: What the field may hold.

    Raises:
        InputError: If it is no string, or holds half a surrogate pair.
    """
    if not isinstance(value, str):
        raise InputError(
            f'{where}: field "{field}" must be {expected}, got {shown(value)}.'
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f'{where}: field "{field}" has half a surrogate pair at character '
            f"{error.start + 1}; write the whole character or remove it."
        ) from error
    return value


def filled(value: Any, field: str, where: str) -> str:
    """The same for text that must be more than white space."""
    text = string(value, field, where)
    if not text.strip():
        raise InputError(
            f'{where}: field "{field}" is empty; fill it in or remove the record.'
        )
    return text


def shown(value: Any) -> str:
    """The kind of a wrong value; for a list also its length."""
    length = f" of {len(value)}" if isinstance(value, list) else ""
    return type(value).__name__ + length
