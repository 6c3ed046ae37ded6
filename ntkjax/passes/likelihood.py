"""Log-likelihoods of texts: how well a model predicts their target tokens.

    NLL(θ, x) = −Σ_{t ∈ R} log p_θ(token_t | tokens before t)

over the target tokens R of one example. A token with nothing before it is none.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float64, Int64

from ntkjax.data.batches import bucketed
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups, replicate
from ntkjax.devices.precision import full_precision
from ntkjax.devices.programs import ROWS, WHOLE, on_mesh
from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.outputs.loss import Loss


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
    advance: Callable[[int], None] = lambda count: None,
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
    means = np.zeros(len(texts), np.float64)
    size = rows_per_batch(batch_size, len(texts), mesh)
    on_one = size // num_groups(mesh)
    block_size = max(1, min(128, _LOGITS_AT_ONCE // (on_one * model.config.vocab_size)))
    program = _program(mesh, block_size)
    fixed = replicate((model, theta), mesh)
    for rows, batch in bucketed(texts, size, "all", max_length):
        real = rows >= 0
        found = np.asarray(program(*fixed, batch)).astype(np.float64)
        means[rows[real]] = found[real]
        advance(int(real.sum()))
    for row in np.flatnonzero(~np.isfinite(means))[:1]:
        raise InputError(
            f"example {texts[row].id!r}: its likelihood is NaN or infinite: the model "
            "overflows on this text; try --dtype float32, or look at the adapter's "
            "scale."
        )
    # The first token is never predicted.
    tokens = np.array([text.targets[1:].sum() for text in texts], np.int64)
    return Likelihoods(means * tokens, tokens)


def rows_per_batch(batch_size: int, num_rows: int, mesh: Mesh) -> int:
    """`batch_size`, or `num_rows` if fewer; as many rows for each data group."""
    groups = num_groups(mesh)
    return -(-max(1, min(batch_size, num_rows)) // groups) * groups


@functools.cache
def _program(mesh: Mesh, block_size: int):
    def means(model, theta, batch):
        loss = Loss(model, block_size)
        with full_precision():
            return jax.vmap(lambda x: loss(theta, x))(batch)

    return on_mesh(means, mesh, (WHOLE, WHOLE, ROWS), ROWS)
