"""Examples made ready for evaluation: tokenized once, for any number of adapters."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from ntkjax.checkpoints.text_encoder import TextEncoder, text_encoder
from ntkjax.data.examples import Example
from ntkjax.data.templates import DEFAULT_TEMPLATE, TemplateOptions
from ntkjax.data.tokenizer import Tokenizer
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.evaluation.choices import choice_texts


@dataclass(frozen=True, eq=False)
class Prompts:
    """What generation begins with.

    Attributes:
        rows: Examples that have a prompt, by index.
        tokenized: Their prompts.
        max_length: No prompt is longer.
        max_new_tokens: Most tokens of an answer.
        stop_ids: Tokens at which an answer ends: end-of-text, a chat's end marker.
        end_markers: For each prompt the text at which its answer ends, or nothing: an
            end marker may be several tokens.
        vocab_size: Token ids that the tokenizer knows.
        tokenizer: Turns tokens to text.
    """

    rows: Int64[np.ndarray, " m"]
    tokenized: list[TokenizedExample]
    max_length: int
    max_new_tokens: int
    stop_ids: tuple[int, ...]
    end_markers: list[str]
    vocab_size: int
    tokenizer: Tokenizer


@dataclass(frozen=True, eq=False)
class Questions:
    """Everything that is computed for n examples, in tokens.

    Attributes:
        examples: The examples.
        responses: The examples tokenized, end-of-text or end marker included.
        choices: All choices of all examples, without.
        num_choices: How many of them belong to each example.
        max_length: No text is longer.
        prompts: For generation; None without.
    """

    examples: list[Example]
    responses: list[TokenizedExample]
    choices: list[TokenizedExample]
    num_choices: Int64[np.ndarray, " n"]
    max_length: int
    prompts: Prompts | None = None

    @property
    def num_cut(self) -> dict[str, int]:
        """How many texts of each kind were longer than the limit."""
        kinds = {"responses": self.responses, "choices": self.choices}
        if self.prompts is not None:
            kinds["prompts"] = self.prompts.tokenized
        return {kind: sum(t.was_cut for t in texts) for kind, texts in kinds.items()}


def prepare_questions(
    examples: Sequence[Example],
    folder: Path,
    *,
    max_length: int = 256,
    max_new_tokens: int | None = None,
    template: TemplateOptions = DEFAULT_TEMPLATE,
) -> Questions:
    """The examples, tokenized for the model in `folder`.

    Args:
        examples: At least one.
        folder: The model's folder: its tokenizer and config are read, no weights.
        max_length: Longest text in tokens; longer ones are cut.
        max_new_tokens: Longest generated answer; None to generate none. Prompt and
            answer fit into `max_length` together, so it is below that.
        template: How the examples become text.

    Raises:
        InputError: If a length does not fit the model, or an example cannot be
            tokenized.
    """
    encode = text_encoder(folder, max_length, template)
    texts, num_choices = choice_texts(examples)
    return Questions(
        list(examples),
        encode(examples),
        encode(texts, end_of_text=False),
        num_choices,
        max_length,
        _prompts(examples, encode, max_new_tokens),
    )


def _prompts(
    examples: Sequence[Example], encode: TextEncoder, max_new_tokens: int | None
) -> Prompts | None:
    if max_new_tokens is None:
        return None
    room = encode.max_length - max_new_tokens
    rows = [row for row, e in enumerate(examples) if e.prompt is not None]
    chosen = [examples[row] for row in rows]
    return Prompts(
        np.array(rows, np.int64),
        encode.prompts(chosen, room),
        room,
        max_new_tokens,
        encode.stop_ids(chosen),
        encode.end_markers(chosen),
        encode.vocab_size,
        encode.tokenizer,
    )
