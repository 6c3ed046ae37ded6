"""Examples: what a record of the user's files must hold, checked.

A record holds `prompt` and `response`, or `text` alone (every token is then a target),
or `messages`, the turns of a chat that ends with the assistant's (see
`ntkjax.data.chat.messages`). A `prompt` beside `messages` is ignored: published files
carry a copy of the first turn there. With choices a chat may end with the user's turn.

`id` and `source` are optional, and so are `group`, the sub-task that a target example
stands for, and `choices` with `answer`, the index of the right one. Other columns, an
`answer` without choices among them, are left to whoever needs them. A field that is
null counts as absent, so that one Parquet file may mix both kinds of record.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ntkjax.data.chat.messages import Message, read_messages
from ntkjax.data.formats.fields import filled, shown, string
from ntkjax.data.formats.records import Record, file_names
from ntkjax.data.formats.table import read_records
from ntkjax.errors import InputError


FIELDS = (
    "id",
    "source",
    "group",
    "prompt",
    "response",
    "text",
    "messages",
    "choices",
    "answer",
)
"""The fields that `to_example` looks at."""


@dataclasses.dataclass(frozen=True)
class Example:
    """One record of a file.

    Attributes:
        id: The record's own id, or "file name:line".
        prompt: What comes before the response; None for a `text` record. For a chat
            the contents of the turns before the last, one below the other.
        response: The response, the last turn of a chat, or the whole text of a `text`
            record.
        source: Where the record says it comes from.
        location: "file name:line" (Parquet: row), for messages.
        choices: The responses to choose from, at least two; None without. Two may be
            the same text, as in some published files.
        answer: The index of the right choice; None without choices.
        group: The sub-task that it stands for, where the record names one by a string
            or an integer.
        messages: The turns of a chat before its response; None for other records.
    """

    id: str
    prompt: str | None
    response: str
    source: str | None
    location: str
    choices: tuple[str, ...] | None = None
    answer: int | None = None
    group: str | None = None
    messages: tuple[Message, ...] | None = None


def read_examples(paths: Sequence[Path]) -> list[Example]:
    """All examples of the files, in order.

    Their names say of which format they are (`ntkjax.data.formats.table`). Files of the
    same name are told apart by their full path in ids and locations.

    Raises:
        InputError: If a file cannot be read or has no examples, if a record breaks the
            rules above, or if two records have the same id.
    """
    examples = []
    places: dict[str, str] = {}
    for path, name in zip(paths, file_names(paths), strict=True):
        for record in read_records(path, name, FIELDS):
            example = to_example(record)
            if example.id in places:
                raise repeated_id(example.id, record.where, places[example.id])
            places[example.id] = record.where
            examples.append(example)
    return examples


def choose(
    examples: Sequence[Example], num: int, seed: int, shuffle: bool, field: str
) -> list[Example]:
    """The first `num` examples after a seeded shuffle, or in file order.

    The same seed gives the same order whatever `num` is, so that a larger choice
    contains the smaller one.

    Args:
        examples: What to choose from.
        num: How many, at least 1.
        seed: Of the shuffle.
        shuffle: False keeps the order of the files.
        field: The setting that `num` is, for messages.

    Raises:
        InputError: If there are not that many.
    """
    if num > len(examples):
        files = dict.fromkeys(e.location.rpartition(":")[0] for e in examples)
        noun = "example" if len(examples) == 1 else "examples"
        raise InputError(
            f"{' + '.join(files) or 'the data'} has only {len(examples)} {noun}.",
            field=field,
            value=num,
        )
    if not shuffle:
        return list(examples[:num])
    order = np.random.default_rng(seed).permutation(len(examples))
    return [examples[i] for i in order[:num]]


def text_of(example: Example) -> str:
    """Prompt and response, as they are compared and shown."""
    if example.prompt is None:
        return example.response
    return f"{example.prompt}\n{example.response}"


def repeated_id(identity: str, where: str, before: str) -> InputError:
    """The error for an id that two records have, at the places `before` and `where`."""
    return InputError(
        f'{where}: id "{identity}" was already used at {before}; give each example its '
        "own id."
    )


def to_example(record: Record) -> Example:
    """The record as an example.

    Raises:
        InputError: If it breaks the rules of this module.
    """
    value, where = record.value, record.where
    if not isinstance(value, dict):
        raise InputError(
            f"{where}: expected a JSON object with prompt and response, "
            f"got {type(value).__name__}."
        )
    given = {field for field in FIELDS if value.get(field) is not None}
    kind = _kind(given, where)
    choices, answer = _choices(value, where)
    messages, prompt = None, None
    if kind == "messages":
        right = None if choices is None or answer is None else choices[answer]
        messages, response = read_messages(value["messages"], where, right)
        prompt = "\n".join(message.content for message in messages)
    else:
        response = filled(value[kind], kind, where)
    if kind == "response":
        prompt = string(value["prompt"], "prompt", where)
    return Example(
        id=_identity(value["id"], where) if "id" in given else record.location,
        prompt=prompt,
        response=response,
        source=string(value["source"], "source", where) if "source" in given else None,
        location=record.location,
        choices=choices,
        answer=answer,
        group=_group(value["group"]) if "group" in given else None,
        messages=messages,
    )


def _kind(given: set[str], where: str) -> str:
    """The field that holds what is to be learned: response, text or messages."""
    if "messages" in given:
        for field in ("response", "text"):
            if field in given:
                raise InputError(
                    f'{where}: "messages" stands beside "{field}"; give one of them.'
                )
        return "messages"
    if "text" in given and given & {"prompt", "response"}:
        raise InputError(
            f'{where}: "text" stands beside "prompt" or "response"; give either "text" '
            'or "prompt" and "response".'
        )
    if "text" in given:
        return "text"
    for field in ("prompt", "response"):
        if field not in given:
            raise InputError(
                f'{where}: field "{field}" is missing; expected "prompt" and '
                '"response", "messages", or "text" alone.'
            )
    return "response"


def _identity(value: Any, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return string(value, "id", where, expected="a string or an integer")


def _group(value: Any) -> str | None:
    """The group, if it is the name of one: a pool may have any column of this name."""
    is_name = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_name else None


def _choices(record: dict, where: str) -> tuple[tuple[str, ...] | None, int | None]:
    """`choices` and `answer`; (None, None) without choices."""
    choices, answer = record.get("choices"), record.get("answer")
    if choices is None:
        return None, None
    if answer is None:
        raise InputError(
            f'{where}: field "choices" stands without "answer"; give the index of the '
            "right choice, or neither."
        )
    if not isinstance(choices, list) or len(choices) < 2:
        raise InputError(
            f'{where}: field "choices" must be a list of at least two strings, got '
            f"{shown(choices)}."
        )
    for number, choice in enumerate(choices):
        field = f"choices[{number}]"
        if not string(choice, field, where).strip():
            raise InputError(f'{where}: field "{field}" is empty; fill it in.')
    if isinstance(answer, bool) or not isinstance(answer, int):
        raise InputError(
            f'{where}: field "answer" must be the index of a choice (0 is the first), '
            f"got {shown(answer)}."
        )
    if not 0 <= answer < len(choices):
        raise InputError(
            f'{where}: field "answer" is {answer}; expected 0 to {len(choices) - 1}, '
            "the index of a choice."
        )
    return tuple(choices), answer
