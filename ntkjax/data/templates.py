r"""Templates: what a model reads of an example, and what of it is to be predicted.

plain:

    [beginning-of-text] prompt "\n" response [end-of-text]

The newline is to be predicted, and so is end-of-text. A `text` record has no prompt and
no newline: all of it is to be predicted.

chat: what the tokenizer's own template makes of the turns; see
`ntkjax.data.chat.encoding`.
"""

import dataclasses

from ntkjax.data.examples import Example
from ntkjax.errors import InputError, setting


TEMPLATES = ("auto", "plain", "chat")
TRAIN_ON = ("all", "last")


@dataclasses.dataclass(frozen=True)
class TemplateOptions:
    """How examples become text.

    Attributes:
        template: plain, chat, or auto: chat for records with `messages` and plain for
            the others.
        train_on: Which turns of the assistant are targets: all, or the last one.
        date: What a chat template is told when it asks for today's date, as YYYY-MM-DD.
    """

    template: str = "auto"
    train_on: str = "all"
    date: str = "2024-07-26"


DEFAULT_TEMPLATE = TemplateOptions()


@dataclasses.dataclass(frozen=True)
class Rendered:
    """An example as text.

    Attributes:
        text: What is tokenized.
        spans: Character spans. A token is a target if it ends after the start of one
            and begins before its end.
        is_framed: Whether special tokens are written in the text; else beginning-of-
            text and end-of-text are put around it.
    """

    text: str
    spans: tuple[tuple[int, int], ...]
    is_framed: bool = False


def is_chat(example: Example, options: TemplateOptions) -> bool:
    """Whether the example takes the chat template.

    Raises:
        InputError: If the options ask for a template that it does not fit.
    """
    if options.template == "plain" and example.messages is not None:
        raise InputError(
            f"{example.location}: {setting('template')} plain does not fit "
            '"messages"; use auto or chat.'
        )
    if options.template == "chat" and example.prompt is None:
        raise InputError(
            f"{example.location}: {setting('template')} chat does not fit a "
            '"text" record, which has no turns; use auto or plain.'
        )
    return options.template == "chat" or example.messages is not None


def render_plain(example: Example) -> Rendered:
    """The example under the plain template."""
    if example.prompt is None:
        return whole(example.response)
    text = f"{example.prompt}\n{example.response}"
    return Rendered(text, ((len(example.prompt), len(text) + 1),))


def render_plain_prompt(example: Example) -> Rendered:
    r"""Prompt and "\n", all of it marked."""
    return whole(f"{example.prompt}\n")


def whole(text: str, *, is_framed: bool = False) -> Rendered:
    """A text of which every token is marked, also one of no characters."""
    return Rendered(text, ((-1, len(text) + 1),), is_framed)
