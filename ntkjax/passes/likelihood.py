"""Log-likelihoods of texts: how well a model predicts their target tokens.

    NLL(θ, x) = −Σ_{t ∈ R} log p_θ(token_t | tokens before t)

over the target tokens R of one example. A token with nothing before it is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64, Int64

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.outputs.loss import Loss
from ntkjax.passes.loss_gradients import losses
from ntkjax.passes.run_pass import Advance, Batching


@dataclass(frozen=True, eq=False)
class Likelihoods:
    """Likelihoods of n texts.

    Attributes:
        nll: Negative log-likelihoods, summed over target tokens.
        tokens: Numbers of target tokens.
    """

    nll: Float64[np.ndarray, " n"]
    tokens: Int64[np.ndarray, " n"]

    @property
    def mean(self) -> Float64[np.ndarray, " n"]:
        """Negative log-likelihoods per target token."""
        return self.nll / self.tokens


def likelihoods(
    model: LanguageModel,
    theta: Theta,
    texts: Sequence[TokenizedExample],
    *,
    max_length: int,
    mesh: Mesh,
    tokens_per_batch: int | None = None,
    advance: Advance = lambda count: None,
) -> Likelihoods:
    """The likelihood of each text, whatever the others are.

    Programs are compiled once per process for each padded length: other θ, and other
    models of the same architecture, find them ready.

    Cost: F with the head per text.

    Args:
        model: The model.
        theta: Parameters.
        texts: What is predicted.
        max_length: No text is longer; it decides the padded lengths.
        mesh: Devices that share the texts of a batch.
        tokens_per_batch: As in `Batching`.
        advance: Called with the number of texts done.

    Raises:
        InputError: If a likelihood is not finite; the message names the example.
    """
    if not texts:
        return Likelihoods(np.zeros(0), np.zeros(0, np.int64))
    how = Batching("all", tokens_per_batch, max_length, mesh)
    means = losses(Loss(model), theta, texts, how, advance, what="likelihood")
    # The first token is never predicted.
    tokens = np.array([text.targets[1:].sum() for text in texts], np.int64)
    return Likelihoods(means * tokens, tokens)
