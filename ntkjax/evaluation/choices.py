"""Multiple choice by likelihood: the model picks the choice that it finds likeliest.

The score of a choice is its log-likelihood after the prompt, in its template
without end-of-text: per target token (length-normalized), or summed, which favors short
choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64

from ntkjax.data.examples import Example
from ntkjax.passes.likelihood import Likelihoods


@dataclass(frozen=True, eq=False)
class ChoiceScores:
    """Scores of the choices of one question, higher is likelier.

    Attributes:
        mean: Log-likelihood per target token.
        sum: Log-likelihood.
    """

    mean: Float64[np.ndarray, " c"]
    sum: Float64[np.ndarray, " c"]

    @property
    def prediction(self) -> int:
        """Index of the best choice by `mean`; the first of equals."""
        return int(np.argmax(self.mean))

    @property
    def prediction_sum(self) -> int:
        """Index of the best choice by `sum`; the first of equals."""
        return int(np.argmax(self.sum))


def choice_texts(
    examples: Sequence[Example],
) -> tuple[list[Example], Int64[np.ndarray, " n"]]:
    """Each choice in its example's place of the response, and how many each has."""
    texts = [
        replace(
            example, response=choice, location=f"{example.location}, choice {index}"
        )
        for example in examples
        for index, choice in enumerate(example.choices or ())
    ]
    counts = [len(example.choices or ()) for example in examples]
    return texts, np.array(counts, np.int64)


def score_choices(
    found: Likelihoods, counts: Int64[np.ndarray, " n"]
) -> list[ChoiceScores | None]:
    """Scores of each example's choices; None for one without.

    Args:
        found: Likelihoods of the `choice_texts`.
        counts: How many choices each example has.
    """
    ends = np.cumsum(counts)
    parts = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    return [
        ChoiceScores(-found.mean[part], -found.nll[part]) if count else None
        for part, count in zip(parts, counts, strict=True)
    ]
