"""Flags that would change nothing, because of other flags: they are refused."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from ntkjax.errors import InputError


def refuse_idle(
    settings: Any, counts_with: Mapping[str, Mapping[str, tuple[str, ...]]]
) -> None:
    """Refuses a setting that is not its default and says nothing.

    Args:
        settings: A dataclass.
        counts_with: A setting ↦ other settings and their values; one of these must
            hold, or the setting says nothing. The message names the last of them.

    Raises:
        InputError: If there is such a setting.
    """
    own = {field.name: field for field in fields(settings)}
    for name, conditions in counts_with.items():
        chosen = {other: getattr(settings, other) for other in conditions}
        counts = any(chosen[other] in conditions[other] for other in chosen)
        if not counts and getattr(settings, name) != _default(own[name]):
            other, value = list(chosen.items())[-1]
            raise InputError(
                f"{flag_of(name)} says nothing with {flag_of(other)} {value}."
            )


def flag_of(name: str) -> str:
    """The flag of a setting.

    >>> flag_of("warmup_share")
    '--warmup-share'
    """
    return f"--{name.replace('_', '-')}"


def _default(field: Field) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
