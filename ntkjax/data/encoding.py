"""Texts to tokens: which are targets, both ends, and what a limit leaves of them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Bool, Int32

from ntkjax.data.examples import Example
from ntkjax.data.templates import Rendered
from ntkjax.data.tokenizer import Tokenizer


BLOCK = 8192
"""Examples per call of the tokenizer: enough for its threads, few enough for memory."""


@dataclasses.dataclass(frozen=True, eq=False)
class Encoded:
    """Tokens of one text.

    Attributes:
        tokens: Token ids.
        targets: True where a token is to be predicted; never for what the tokenizer
            itself puts in, in front or behind.
        first: How many tokens in front of the text are kept whatever is cut.
        is_framed: Whether both ends are in place.
    """

    tokens: Int32[np.ndarray, " T"]
    targets: Bool[np.ndarray, " T"]
    first: int
    is_framed: bool


def encode(
    examples: Sequence[Example],
    render: Callable[[Example], Rendered],
    tokenizer: Tokenizer,
) -> Iterator[tuple[Example, Encoded]]:
    """Each example and its tokens, in order.

    Args:
        examples: What to tokenize.
        render: The template.
        tokenizer: From `ntkjax.data.tokenizer.load_tokenizer`.
    """
    for start in range(0, len(examples), BLOCK):
        block = examples[start : start + BLOCK]
        texts = [render(example) for example in block]
        found: dict[int, Encoded] = {}
        for is_framed in (False, True):
            rows = [r for r, text in enumerate(texts) if text.is_framed == is_framed]
            chosen = [texts[row] for row in rows]
            found |= zip(rows, _tokens_of(chosen, tokenizer, is_framed), strict=True)
        for row, example in enumerate(block):
            yield example, found[row]


def _tokens_of(
    texts: Sequence[Rendered], tokenizer: Tokenizer, is_framed: bool
) -> Iterator[Encoded]:
    if not texts:
        return
    encoded = tokenizer(
        [text.text for text in texts],
        add_special_tokens=not is_framed,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,  # says nothing about lengths: they are cut later
    )
    for row, text in enumerate(texts):
        tokens = np.array(encoded["input_ids"][row], np.int32)
        added = np.array(encoded["special_tokens_mask"][row], bool)
        offsets = np.array(encoded["offset_mapping"][row], np.int64).reshape(-1, 2)
        begins, ends = offsets[:, 0], offsets[:, 1]
        targets = np.zeros(len(tokens), bool)
        for start, end in text.spans:
            targets |= (ends > start) & (begins < end)
        if is_framed:
            first = int(len(tokens) > 0 and tokens[0] == tokenizer.bos_token_id)
            yield Encoded(tokens, targets, first, is_framed)
        else:
            first = int(np.argmin(np.append(added, False)))
            yield Encoded(tokens, targets & ~added, first, is_framed)


def frame(encoded: Encoded, bos_id: int | None, eos_id: int | None) -> Encoded:
    """Tokens and targets with both ends in place, and where the text begins now.

    Args:
        encoded: A text that has them already comes back as it is.
        bos_id: Beginning-of-text, put in front unless it is there; None for none.
        eos_id: End-of-text, put at the end unless it is there; None for none.
    """
    if encoded.is_framed:
        return encoded
    tokens, targets, first = encoded.tokens, encoded.targets, encoded.first
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
    return Encoded(tokens, targets, first, is_framed=True)


def shortened(
    encoded: Encoded, max_length: int
) -> tuple[Int32[np.ndarray, " T"], Bool[np.ndarray, " T"]]:
    """The example shortened to `max_length`: left of the prompt, right of the rest.

    A chat with several answers is cut on the right alone, as long as anything is left
    of its first answer: so what is left of the answers has all that stood before them.
    """
    tokens, targets, first = encoded.tokens, encoded.targets, encoded.first
    num_answers = np.count_nonzero(np.diff(targets.astype(int), prepend=0) == 1)
    if num_answers > 1 and targets[:max_length].any():
        return tokens[:max_length], targets[:max_length]
    num_prompt = int(np.argmax(targets[first:]))
    num_dropped = min(len(tokens) - max_length, num_prompt)
    keep = np.r_[0:first, first + num_dropped : len(tokens)][:max_length]
    return tokens[keep], targets[keep]
