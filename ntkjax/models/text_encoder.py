"""Examples to tokens, as one model reads them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ntkjax.data.examples import Example
from ntkjax.data.tokenizer import Tokenizer, load_tokenizer, vocabulary_size
from ntkjax.data.tokenizing import TokenizedExample, tokenize, tokenize_prompts
from ntkjax.errors import InputError
from ntkjax.models.families import read_config


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A model's tokenizer, its special tokens, and the longest text.

    Attributes:
        tokenizer: The model's.
        max_length: Longest example in tokens; longer ones are cut.
        bos_id: Beginning-of-text, or None.
        eos_id: End-of-text, or None.
        num_rows: Rows of the model's embedding.
    """

    tokenizer: Tokenizer
    max_length: int
    bos_id: int | None
    eos_id: int | None
    num_rows: int

    @property
    def vocab_size(self) -> int:
        """Token ids that the tokenizer knows, at most the head's rows."""
        return min(vocabulary_size(self.tokenizer), self.num_rows)

    def __call__(
        self, examples: Sequence[Example], *, end_of_text: bool = True
    ) -> list[TokenizedExample]:
        """The examples under the plain template; see `tokenize`.

        Args:
            examples: What to tokenize.
            end_of_text: Whether a response ends with end-of-text. The choices of a
                question do not.
        """
        return tokenize(
            examples,
            self.tokenizer,
            max_length=self.max_length,
            bos_id=self.bos_id,
            eos_id=self.eos_id if end_of_text else None,
            vocab_size=self.num_rows,
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
        )


def text_encoder(folder: Path, max_length: int) -> TextEncoder:
    """The encoder of the model in `folder`; no weights are read.

    Raises:
        InputError: If the model has no positions for `max_length` tokens.
    """
    config = read_config(folder)
    if not 1 <= max_length <= config.decoder.max_positions:
        raise InputError(
            f"--max-length {max_length}: expected 1 to {config.decoder.max_positions}, "
            "the positions of this model."
        )
    tokenizer = load_tokenizer(folder)
    eos_id = config.eos_id
    if tokenizer.eos_token_id is not None:
        eos_id = tokenizer.eos_token_id
    rows = config.decoder.vocab_size
    return TextEncoder(tokenizer, max_length, config.bos_id, eos_id, rows)
