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
from ntkjax.devices.mesh import num_groups
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.outputs.loss import Loss
from ntkjax.passes.loss_gradients import losses
from ntkjax.passes.run_pass import Advance, Batching


_LOGITS_AT_ONCE = 2**24
"""Most logits that a device holds, 64 MiB of float32."""


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
    batch_size: int = 32,
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
        batch_size: Texts computed side by side on all devices together.
        advance: Called with the number of texts done.

    Raises:
        InputError: If a likelihood is not finite; the message names the example.
    """
    if not texts:
        return Likelihoods(np.zeros(0), np.zeros(0, np.int64))
    size = rows_per_batch(batch_size, len(texts), mesh)
    on_one = size // num_groups(mesh)
    block_size = max(1, min(128, _LOGITS_AT_ONCE // (on_one * model.config.vocab_size)))
    loss, how = Loss(model, block_size), Batching("all", size, max_length, mesh)
    means = losses(loss, theta, texts, how, advance, what="likelihood")
    # The first token is never predicted.
    tokens = np.array([text.targets[1:].sum() for text in texts], np.int64)
    return Likelihoods(means * tokens, tokens)


def rows_per_batch(batch_size: int, num_rows: int, mesh: Mesh) -> int:
    """`batch_size`, or `num_rows` if fewer; as many rows for each data group."""
    groups = num_groups(mesh)
    return -(-max(1, min(batch_size, num_rows)) // groups) * groups
