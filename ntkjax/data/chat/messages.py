"""Messages: the turns of a chat record, checked.

A turn is an object with `role` and `content`, both strings. Other keys that are not
null (tool calls, reasoning beside the content) are refused, as a template would drop
them or write them in a place that is not checked here.
"""

import dataclasses
from typing import Any

from ntkjax.data.formats.fields import filled, shown, string
from ntkjax.errors import InputError


ASSISTANT = "assistant"
ROLES = ("system", "developer", "user", ASSISTANT, "tool")
_READ = {"role", "content"}
_SHAPE = 'objects with "role" and "content"'


@dataclasses.dataclass(frozen=True)
class Message:
    """One turn of a chat.

    Attributes:
        role: Who speaks, one of `ROLES`.
        content: What is said; never empty where the assistant speaks.
    """

    role: str
    content: str


def read_messages(
    value: Any, where: str, answer: str | None
) -> tuple[tuple[Message, ...], str]:
    """The turns before the final reply, and the reply.

    Args:
        value: What the field `messages` holds.
        where: The record, for messages.
        answer: The right one of the record's choices; None without choices. With it
            the last turn may be the user's, and the answer is the reply.

    Raises:
        InputError: If it is no chat that ends with a reply.
    """
    if not isinstance(value, list):
        raise InputError(
            f'{where}: field "messages" must be a list of {_SHAPE}, got {shown(value)}.'
        )
    turns = [_message(turn, f"messages[{k}]", where) for k, turn in enumerate(value)]
    if answer is not None and turns and turns[-1].role == "user":
        return tuple(turns), answer
    if len(turns) < 2:
        raise InputError(
            f'{where}: field "messages" must be a list of at least two {_SHAPE}, a '
            f"question and its answer, got {shown(value)}."
        )
    last = turns[-1]
    if last.role != ASSISTANT:
        wanted = f'"user" or "{ASSISTANT}"' if answer is not None else f'"{ASSISTANT}"'
        raise InputError(
            f'{where}: field "messages[{len(turns) - 1}].role" is "{last.role}"; '
            f"expected {wanted} in the last turn: remove what stands after the last "
            "answer."
        )
    return tuple(turns[:-1]), last.content


def _message(value: Any, field: str, where: str) -> Message:
    if not isinstance(value, dict):
        raise InputError(
            f'{where}: field "{field}" must be an object with "role" and "content", '
            f"got {shown(value)}."
        )
    # Datasets fill unused columns with null or something empty.
    given = {
        key
        for key, inner in value.items()
        if inner is not None and (key in _READ or inner not in ("", [], {}))
    }
    if {"from", "value"} & given and not _READ & given:
        raise InputError(
            f'{where}: field "{field}" has "from" and "value" (ShareGPT); expected '
            f'"role" ({", ".join(ROLES)}) and "content": rename them.'
        )
    for name in ("role", "content"):
        if name not in given:
            raise InputError(f'{where}: field "{field}.{name}" is missing.')
    role = string(value["role"], f"{field}.role", where)
    if role not in ROLES:
        raise InputError(
            f'{where}: field "{field}.role" is {role!r}; expected {", ".join(ROLES)}.'
        )
    others = sorted(given - _READ, key=str)
    if others:
        raise InputError(
            f'{where}: field "{field}.{others[0]}" is not supported; expected only '
            '"role" and "content": remove it.'
        )
    read = filled if role == ASSISTANT else string
    return Message(role, read(value["content"], f"{field}.content", where))
