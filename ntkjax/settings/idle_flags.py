"""Flags that would change nothing, because of other flags: they are refused."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from typing import Any

from ntkjax.errors import InputError, setting


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
                f"{setting(name)} says nothing with {setting(other)} {value}."
            )


def _default(field: Field) -> Any:
    if field.default_factory is not MISSING:
        return field.default_factory()
    return field.default
