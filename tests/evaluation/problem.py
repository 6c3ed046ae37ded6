"""Questions in the letters of tests/commands/world.py, and slow ways to answer."""

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.data.examples import Example
from ntkjax.data.tokenizing import TokenizedExample


NUM_LETTERS = 26


def questions_of(n: int, seed: int = 0, longest: int = 12) -> list[Example]:
    """Questions with 0, 2, 3, 4, 0, 2, … choices; every third has no source."""
    rng = np.random.default_rng([seed, 1])

    def words(most: int) -> str:
        letters = rng.integers(0, NUM_LETTERS, rng.integers(1, most + 1))
        return "".join(chr(ord("a") + letter) for letter in letters)

    examples = []
    for index in range(n):
        choices = tuple(words(4) for _ in range((0, 2, 3, 4)[index % 4])) or None
        answer = None if choices is None else int(rng.integers(len(choices)))
        examples.append(
            Example(
                id=f"q{index}",
                prompt=words(longest),
                response=words(4),
                source=(None, "left", "right")[index % 3],
                location=f"q.jsonl:{index + 1}",
                choices=choices,
                answer=answer,
            )
        )
    return examples


def prompt_of(tokens, identity: str = "p") -> TokenizedExample:
    tokens = np.array(tokens, np.int32)
    return TokenizedExample(identity, tokens, np.zeros(len(tokens), bool), False)


@jax.jit
def all_logits(model, theta, tokens):
    return model.logits(theta, model.hidden(theta, tokens))


def logits_of(model, theta, tokens, length: int = 48) -> np.ndarray:
    """The full forward pass of one text, [T, V] in float64.

    Padded to one length, so that it compiles once; `tests/models/test_decoder.py` sees
    that padding changes nothing.
    """
    padded = jnp.asarray(np.pad(np.array(tokens, np.int32), (0, length - len(tokens))))
    return np.asarray(all_logits(model, theta, padded), np.float64)[: len(tokens)]


def slow_nll(model, theta, text: TokenizedExample) -> float:
    """−Σ log p of the target tokens, one text and one token at a time.

    In float64 under `jax.enable_x64` with a float64 model and θ.
    """
    logits = logits_of(model, theta, text.tokens)
    total = 0.0
    for place in range(1, len(text.tokens)):
        if text.targets[place]:
            row = logits[place - 1] - logits[place - 1].max()
            total -= row[text.tokens[place]] - np.log(np.exp(row).sum())
    return total


def slow_generate(model, theta, tokens, number, eos_id, vocab_size) -> list[int]:
    """The full forward pass again for each new token."""
    tokens, new = [int(token) for token in tokens], []
    for _ in range(number):
        logits = logits_of(model, theta, tokens)
        token = int(np.argmax(logits[-1, :vocab_size]))
        if token == eos_id:
            break
        tokens.append(token)
        new.append(token)
    return new
