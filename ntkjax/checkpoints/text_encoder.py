"""Examples to tokens, as one model reads them."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkjax.checkpoints.families.table import read_config
from ntkjax.data.chat.encoding import end_marker_of
from ntkjax.data.examples import Example
from ntkjax.data.templates import DEFAULT_TEMPLATE, TemplateOptions, is_chat
from ntkjax.data.tokenizer import Tokenizer, load_tokenizer, vocabulary_size
from ntkjax.data.tokenizing import TokenizedExample, tokenize, tokenize_prompts
from ntkjax.errors import InputError


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A model's tokenizer, its special tokens, and the longest text.

    Attributes:
        tokenizer: The model's.
        max_length: Longest example in tokens; longer ones are cut.
        bos_id: Beginning-of-text, or None.
        eos_id: End-of-text, or None.
        num_rows: Rows of the model's embedding.
        template: How examples become text.
        end_ids: All tokens at which the model's files say that an answer ends.
    """

    tokenizer: Tokenizer
    max_length: int
    bos_id: int | None
    eos_id: int | None
    num_rows: int
    template: TemplateOptions = DEFAULT_TEMPLATE
    end_ids: tuple[int, ...] = ()

    @property
    def vocab_size(self) -> int:
        """Token ids that the tokenizer knows, at most the head's rows."""
        return min(vocabulary_size(self.tokenizer), self.num_rows)

    def __call__(
        self, examples: Sequence[Example], *, end_of_text: bool = True
    ) -> list[TokenizedExample]:
        """The examples under their template; see `tokenize`.

        Args:
            examples: What to tokenize.
            end_of_text: Whether a response ends with end-of-text, or the end marker of
                a chat. The choices of a question do not.
        """
        return tokenize(
            examples,
            self.tokenizer,
            max_length=self.max_length,
            bos_id=self.bos_id,
            eos_id=self.eos_id,
            vocab_size=self.num_rows,
            template=self.template,
            end_of_text=end_of_text,
        )

    def prompts(
        self, examples: Sequence[Example], max_length: int
    ) -> list[TokenizedExample]:
        """What stands before the responses; see `tokenize_prompts`."""
        return tokenize_prompts(
            examples,
            self.tokenizer,
            max_length=max_length,
            bos_id=self.bos_id,
            vocab_size=self.num_rows,
            template=self.template,
        )

    def stop_ids(self, examples: Sequence[Example]) -> tuple[int, ...]:
        """Tokens at which a generated answer ends, ascending.

        They are the model's own, and where an example is a chat also the end marker of
        the template, if that is one token.
        """
        ids = {*self.end_ids}
        if self.eos_id is not None:
            ids.add(self.eos_id)
        for marker in set(filter(None, self.end_markers(examples))):
            tokens = self.tokenizer(marker, add_special_tokens=False)["input_ids"]
            if len(tokens) == 1:
                ids.add(tokens[0])
        return tuple(sorted(ids))

    def end_markers(self, examples: Sequence[Example]) -> list[str]:
        """The text that ends the answer of each chat; nothing where there is no chat.

        It is that of the first chat for all.
        """
        are_chats = [is_chat(example, self.template) for example in examples]
        if not any(are_chats):
            return [""] * len(examples)
        first = examples[are_chats.index(True)]
        marker = end_marker_of(first, self.tokenizer, self.template).strip()
        return [marker if chat else "" for chat in are_chats]


def text_encoder(
    folder: Path, max_length: int, template: TemplateOptions = DEFAULT_TEMPLATE
) -> TextEncoder:
    """The encoder of the model in `folder`; no weights are read.

    Beginning-of-text is that of config.json, if the tokenizer has one at all: some
    config files name a token of which their tokenizer says nothing.

    Raises:
        InputError: If the model has no positions for `max_length` tokens, or a file
            cannot be read.
    """
    config = read_config(folder)
    if not 1 <= max_length <= config.decoder.max_positions:
        raise InputError(
            f"expected 1 to {config.decoder.max_positions}, the positions of this "
            "model.",
            field="max_length",
            value=max_length,
        )
    tokenizer = load_tokenizer(folder)
    eos_id = config.eos_id
    if tokenizer.eos_token_id is not None:
        eos_id = tokenizer.eos_token_id
    return TextEncoder(
        tokenizer,
        max_length,
        config.bos_id if tokenizer.bos_token_id is not None else None,
        eos_id,
        config.decoder.vocab_size,
        template,
        _end_ids(folder),
    )


def _end_ids(folder: Path) -> tuple[int, ...]:
    """Every `eos_token_id` of the model's files: one number, or several in a list."""
    ids: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        if not path.exists():
            continue
        try:
            keys = json.loads(path.read_bytes())
        except (ValueError, OSError) as error:
            raise InputError(f"{path}: cannot be read as JSON: {error}.") from error
        found = keys.get("eos_token_id") if isinstance(keys, dict) else None
        values = found if isinstance(found, list) else [found]
        ids.update(value for value in values if type(value) is int)
    return tuple(sorted(ids))
