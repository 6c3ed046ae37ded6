r"""The plain template: examples to tokens and targets.

    [beginning-of-text] prompt "\n" response [end-of-text]

tokenized jointly, so that the tokens are those that the model saw in training. Targets
are the tokens that end after the prompt's last character: the newline is one (also
where it merged with the end of the prompt), and so is end-of-text; beginning-of-text
never is. A `text` record has no prompt and no newline.

An example that is too long loses the left of its prompt, then all of it, then the right
of its response. What stands before the prompt (beginning-of-text) is always kept.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int32

from ntkjax.data.examples import Example
from ntkjax.data.tokenizer import Tokenizer
from ntkjax.errors import InputError


BLOCK = 8192
"""Examples per call of the tokenizer: enough for its threads, few enough for memory."""


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
) -> list[TokenizedExample]:
    """The examples under the plain template, each of at most `max_length` tokens.

    Args:
        examples: What to tokenize.
        tokenizer: From `ntkjax.data.tokenizer.load_tokenizer`.
        max_length: The limit, beginning-of-text and end-of-text included.
        bos_id: Beginning-of-text, put in front unless it is there; None for none.
        eos_id: End-of-text, put at the end unless it is there; None for none (then one
            that the tokenizer itself puts in is no target), as for the choices of a
            question.
        vocab_size: Number of tokens that the model knows.

    Raises:
        InputError: If an example has a token that the model does not know, or if no
            target token is left of it.
    """
    if max_length < 1:
        raise InputError(f"--max-length {max_length}: expected at least 1.")
    tokenized = []
    for example, tokens, targets, first in _encode(examples, tokenizer):
        tokens, targets, first = _frame(tokens, targets, first, bos_id, eos_id)
        _check(tokens, targets, vocab_size, example)
        was_cut = len(tokens) > max_length
        if was_cut:
            tokens, targets = _cut(tokens, targets, first, max_length)
        if not targets.any():
            raise InputError(
                f'{example.location}: no token of field "{_field(example)}" fits into '
                f"--max-length {max_length}; raise it."
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
) -> list[TokenizedExample]:
    r"""What stands before the responses: [beginning-of-text] prompt "\n".

    The tokens begin those of the whole example, unless the tokenizer merges the newline
    with the response's first character. A prompt that is too long loses its left.

    Args:
        examples: Examples that have a prompt.
        tokenizer: From `ntkjax.data.tokenizer.load_tokenizer`.
        max_length: The limit, beginning-of-text included.
        bos_id: Beginning-of-text, put in front unless it is there; None for none.
        vocab_size: Number of tokens that the model knows.

    Raises:
        InputError: If a prompt has a token that the model does not know, no token at
            all, or none that fits.
    """
    alone = [
        dataclasses.replace(example, prompt=None, response=f"{example.prompt}\n")
        for example in examples
    ]
    tokenized = []
    for example, tokens, text, first in _encode(alone, tokenizer):
        if not text.any():
            raise InputError(
                f"{example.location}: the tokenizer makes no token of the prompt and "
                "the newline after it; nothing can be generated from them."
            )
        end = len(text) - int(np.argmax(text[::-1]))  # what is added behind goes
        tokens, _, first = _frame(tokens[:end], text[:end], first, bos_id, None)
        _require_known(tokens, vocab_size, example)
        if max_length <= first:
            raise InputError(
                f"{example.location}: no token of the prompt fits into {max_length}; "
                "raise --max-length or lower --max-new-tokens."
            )
        was_cut = len(tokens) > max_length
        if was_cut:
            tokens = np.append(tokens[:first], tokens[first - max_length :])
        nowhere = np.zeros(len(tokens), bool)
        tokenized.append(TokenizedExample(example.id, tokens, nowhere, was_cut))
    return tokenized


def _encode(
    examples: Sequence[Example], tokenizer: Tokenizer
) -> Iterator[tuple[Example, np.ndarray, np.ndarray, int]]:
    """Each example, its tokens and targets, and how many tokens were put in front.

    What the tokenizer itself puts in, in front or behind, is no target.
    """
    for start in range(0, len(examples), BLOCK):
        block = examples[start : start + BLOCK]
        encoded = tokenizer(
            [_text(example) for example in block],
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,  # says nothing about lengths: they are cut later
        )
        for row, example in enumerate(block):
            tokens = np.array(encoded["input_ids"][row], np.int32)
            added = np.array(encoded["special_tokens_mask"][row], bool)
            offsets = np.array(encoded["offset_mapping"][row], np.int64)
            targets = ~added
            if example.prompt is not None:
                targets &= offsets.reshape(-1, 2)[:, 1] > len(example.prompt)
            yield example, tokens, targets, int(np.argmin(np.append(added, False)))


def _text(example: Example) -> str:
    if example.prompt is None:
        return example.response
    return f"{example.prompt}\n{example.response}"


def _frame(
    tokens: Int32[np.ndarray, " T"],
    targets: Bool[np.ndarray, " T"],
    first: int,
    bos_id: int | None,
    eos_id: int | None,
) -> tuple[Int32[np.ndarray, " U"], Bool[np.ndarray, " U"], int]:
    """Tokens and targets with both ends in place, and where the text begins now."""
    if eos_id is not None and len(tokens) and tokens[-1] == eos_id:
        tokens, targets = tokens[:-1], targets[:-1]  # comes back below, as a target
    first = min(first, len(tokens))
    if bos_id is not None:
        if len(tokens) and tokens[0] == bos_id:
            first = max(first, 1)
        else:
            tokens = np.insert(tokens, 0, np.int32(bos_id))
            targets = np.insert(targets, 0, False)
            first += 1
    targets[:first] = False
    if eos_id is not None:
        tokens = np.append(tokens, np.int32(eos_id))
        targets = np.append(targets, True)
    return tokens, targets, first


def _cut(
    tokens: Int32[np.ndarray, " T"],
    targets: Bool[np.ndarray, " T"],
    first: int,
    max_length: int,
) -> tuple[Int32[np.ndarray, " U"], Bool[np.ndarray, " U"]]:
    """The example shortened to `max_length`: left of the prompt, right of the rest."""
    num_prompt = int(np.argmax(targets[first:]))
    num_dropped = min(len(tokens) - max_length, num_prompt)
    keep = np.r_[0:first, first + num_dropped : len(tokens)][:max_length]
    return tokens[keep], targets[keep]


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
    return "text" if example.prompt is None else "response"
