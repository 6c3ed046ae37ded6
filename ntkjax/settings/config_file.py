"""Settings from a YAML file, with errors that name the line."""

import dataclasses
import typing
from pathlib import Path
from typing import Any

import yaml

from ntkjax.errors import InputError
from ntkjax.store.typed_values import typed_value


def read_config_file(path: Path, settings_type: type) -> dict[str, Any]:
    """Field values of `settings_type` found in a YAML file.

    Keys are the flags without dashes in front (`num-queries` or `num_queries`); nested
    settings are nested mappings (`lora:` / `rank:`).

    Raises:
        InputError: If the file cannot be read, a key is unknown or given twice, or a
            value has the wrong type; the message names file and line.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise _error(path, f"cannot be read: {error}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise _error(path, f"no valid YAML: {reason}") from error
    return {} if root is None else _mapping(path, root, settings_type)


def _mapping(path: Path, node: yaml.Node, settings_type: type) -> dict[str, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise _error(path, "expected a mapping of settings", node)
    names, without_prefix = _hints(settings_type)
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        name = str(key_node.value).replace("-", "_")
        if name not in names:
            known = ", ".join(n.replace("_", "-") for n in names)
            reason = f"unknown key {key_node.value!r}; known: {known}"
            raise _error(path, reason, key_node)
        if name in values:
            raise _error(path, f"key {key_node.value!r} is given twice", key_node)
        hint = names[name]
        if dataclasses.is_dataclass(hint):
            inner: Any = hint
            values[name] = inner(**_mapping(path, value_node, inner))
            continue
        values[name] = _value(path, value_node, key_node.value, hint)
    for field, (inner, own_names) in without_prefix.items():
        given = {n: values.pop(n) for n in own_names if n in values}
        if given:
            values[field] = inner(**given)
    return values


def _hints(
    settings_type: type,
) -> tuple[dict[str, Any], dict[str, tuple[Any, list[str]]]]:
    """The type of each key; and the groups whose flags have no prefix, with theirs."""
    names: dict[str, Any] = {}
    without_prefix = {}
    hints = typing.get_type_hints(settings_type, include_extras=True)
    for field in dataclasses.fields(settings_type):
        hint = hints[field.name]
        is_marked = typing.get_origin(hint) is typing.Annotated
        inner: Any = typing.get_args(hint)[0] if is_marked else hint
        if is_marked and _is_dataclass(inner):
            own, _ = _hints(inner)
            without_prefix[field.name] = (inner, list(own))
            names |= own
        else:
            names[field.name] = inner
    return names, without_prefix


def _is_dataclass(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint)


def _value(path: Path, node: yaml.Node, key: str, hint: Any) -> Any:
    if hint is str and node.tag == "tag:yaml.org,2002:timestamp":
        return node.value  # a date without quotes, which YAML takes for one
    try:
        value = yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:  # a tag, or a date that is none
        reason = getattr(error, "problem", None) or error
        raise _error(path, f"{key}: {reason}", node) from error
    try:
        return typed_value(value, hint)
    except TypeError as error:
        raise _error(path, f"{key} {error}", node) from error


def _error(path: Path, reason: str, node: yaml.Node | None = None) -> InputError:
    line = "" if node is None else f", line {node.start_mark.line + 1}"
    return InputError(f"{reason}.", field="config", value=f"{path}{line}")
