"""Fast Hugging Face tokenizers from a model's folder, without network or chatter."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ntkjax.errors import InputError


Tokenizer = Any
"""A fast tokenizer of `transformers`, which is imported only where one is loaded."""


def load_tokenizer(folder: Path) -> Tokenizer:
    """The fast tokenizer whose files lie in a model's folder.

    Code that comes with a model is never run.

    Raises:
        InputError: If the files are missing or damaged, or if the tokenizer has no fast
            version: only those give the character offsets that find the targets.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one with tokenizer.json.")
    with _quiet():
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # tokenizers and transformers raise any type here
            reason = str(error).strip().partition("\n")[0]
            raise InputError(
                f"{folder}: the tokenizer cannot be loaded ({type(error).__name__}: "
                f"{reason}); expected tokenizer.json of a fast tokenizer."
            ) from error
    if not tokenizer.is_fast:
        raise InputError(
            f"{folder}: {type(tokenizer).__name__} is not a fast tokenizer; save it "
            "with tokenizer.json."
        )
    # transformers builds an empty tokenizer, silently, where its files are missing.
    if set(tokenizer.get_vocab()) <= set(tokenizer.all_special_tokens):
        raise InputError(
            f"{folder}: the tokenizer has no vocabulary; expected tokenizer.json."
        )
    return tokenizer


def vocabulary_size(tokenizer: Tokenizer) -> int:
    """The highest token id plus one; a model's head may have more rows, as padding."""
    return max(tokenizer.get_vocab().values()) + 1


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence below errors: `transformers` notes at import that PyTorch is absent."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
