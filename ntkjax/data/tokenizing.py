r"""Examples to tokens and targets, under the plain template or the tokenizer's own.

The text of an example (`ntkjax.data.templates`) is tokenized as a whole, so that the
tokens are those that the model saw in training. Around a plain text stand
beginning-of-text, which never is a target, and end-of-text, which is one; a chat
template writes both itself, and nothing is added. A token is a target if it ends after
the start of what is to be predicted and begins before its end: in the plain template
the newline is one (also where it merged with the end of the prompt).

An example that is too long loses the left of what stands before its first target, then
all of it, then its right. What stands in front of the text (beginning-of-text) is
always kept.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int32

from ntkjax.data.chat.encoding import render_chat, render_chat_prompt
from ntkjax.data.encoding import encode, frame, shortened
from ntkjax.data.examples import Example
from ntkjax.data.templates import (
    DEFAULT_TEMPLATE,
    Rendered,
    TemplateOptions,
    is_chat,
    render_plain,
    render_plain_prompt,
)
from ntkjax.data.tokenizer import Tokenizer
from ntkjax.errors import InputError, setting


@dataclasses.dataclass(frozen=True, eq=False)
class TokenizedExample:
    """One example, or its prompt, as the model sees it, without padding.

    Attributes:
        id: The example's id.
        tokens: Token ids.
        targets: True where a token is to be predicted: at least once in an example,
            nowhere in a prompt.
        was_cut: Whether the example was longer than the limit.
    """

    id: str
    tokens: Int32[np.ndarray, " T"]
    targets: Bool[np.ndarray, " T"]
    was_cut: bool


def tokenize(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    bos_id: int | None,
    eos_id: int | None,
    vocab_size: int,
    template: TemplateOptions = DEFAULT_TEMPLATE,
    end_of_text: bool = True,
) -> list[TokenizedExample]:
    """The examples, each of at most `max_length` tokens.

    Args:
        examples: What to tokenize.
        tokenizer: From `ntkjax.data.tokenizer.load_tokenizer`.
        max_length: The limit, both ends included.
        bos_id: Beginning-of-text, put in front unless it is there; None for none.
        eos_id: End-of-text, put at the end unless it is there; None for none (then one
            that the tokenizer itself puts in is no target).
        vocab_size: Number of tokens that the model knows.
        template: How the examples become text.
        end_of_text: Whether the text ends with end-of-text, a chat with its end marker.
            The choices of a question do not.

    Raises:
        InputError: If an example does not fit the template, if it has a token that the
            model does not know, or if no target token is left of it.
    """

    def render(example: Example) -> Rendered:
        if is_chat(example, template):
            return render_chat(example, tokenizer, template, end_marker=end_of_text)
        return render_plain(example)

    tokenized = []
    for example, encoded in encode(examples, render, tokenizer):
        framed = frame(encoded, bos_id, eos_id if end_of_text else None)
        tokens, targets = framed.tokens, framed.targets
        _check(tokens, targets, vocab_size, example)
        was_cut = len(tokens) > max_length
        if was_cut:
            tokens, targets = shortened(framed, max_length)
        if not targets.any():
            raise InputError(
                f'{example.location}: no token of field "{_field(example)}" fits into '
                f"{setting('max_length')} {max_length}; raise it."
            )
        tokenized.append(TokenizedExample(example.id, tokens, targets, was_cut))
    return tokenized


def tokenize_prompts(
    examples: Sequence[Example],
    tokenizer: Tokenizer,
    *,
    max_length: int,
    bos_id: int | None,
    vocab_size: int,
    template: TemplateOptions = DEFAULT_TEMPLATE,
) -> list[TokenizedExample]:
    r"""What stands before the responses: [beginning-of-text] prompt "\n", or a chat.

    The tokens begin those of the whole example, unless the tokenizer merges the newline
    with the response's first character. A prompt that is too long loses its left.

    Args:
        examples: Examples that have a prompt.
        tokenizer: From `ntkjax.data.tokenizer.load_tokenizer`.
        max_length: The limit, beginning-of-text included.
        bos_id: Beginning-of-text, put in front unless it is there; None for none.
        vocab_size: Number of tokens that the model knows.
        template: How the examples become text.

    Raises:
        InputError: If an example does not fit the template, if a prompt has a token
            that the model does not know, no token at all, or none that fits.
    """

    def render(example: Example) -> Rendered:
        if is_chat(example, template):
            return render_chat_prompt(example, tokenizer, template)
        return render_plain_prompt(example)

    tokenized = []
    for example, encoded in encode(examples, render, tokenizer):
        text = encoded.targets
        if not text.any():
            raise InputError(
                f"{example.location}: the tokenizer makes no token of the prompt and "
                "the newline after it; nothing can be generated from them."
            )
        end = len(text) - int(np.argmax(text[::-1]))  # what is added behind goes
        alone = dataclasses.replace(
            encoded, tokens=encoded.tokens[:end], targets=text[:end]
        )
        framed = frame(alone, bos_id, None)
        tokens, first = framed.tokens, framed.first
        _require_known(tokens, vocab_size, example)
        if max_length <= first:
            raise InputError(
                f"{example.location}: no token of the prompt fits into {max_length}; "
                f"raise {setting('max_length')} or lower {setting('max_new_tokens')}."
            )
        was_cut = len(tokens) > max_length
        if was_cut:
            tokens = np.append(tokens[:first], tokens[first - max_length :])
        nowhere = np.zeros(len(tokens), bool)
        tokenized.append(TokenizedExample(example.id, tokens, nowhere, was_cut))
    return tokenized


def _check(
    tokens: Int32[np.ndarray, " T"],
    targets: Bool[np.ndarray, " T"],
    vocab_size: int,
    example: Example,
) -> None:
    """Refuse tokens that the model does not know, and text that makes no token."""
    _require_known(tokens, vocab_size, example)
    if not targets.any():
        raise InputError(
            f"{example.location}: the tokenizer makes no token of field "
            f'"{_field(example)}"; remove the example.'
        )
    if not targets[1:].any():
        raise InputError(
            f'{example.location}: field "{_field(example)}" is one token with nothing '
            "before it to predict it from; remove the example."
        )


def _require_known(
    tokens: Int32[np.ndarray, " T"], vocab_size: int, example: Example
) -> None:
    highest = int(tokens.max(initial=0))
    if highest >= vocab_size:
        raise InputError(
            f"{example.location}: token id {highest} is outside the model's vocabulary "
            f"of {vocab_size}; use the tokenizer that belongs to the model."
        )


def _field(example: Example) -> str:
    if example.messages is not None:
        return "messages"
    return "text" if example.prompt is None else "response"
