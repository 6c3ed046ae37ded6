"""The loss of one example: mean negative log-likelihood of its target tokens.

    ℓ(θ, x) = −1/|R| Σ_{t ∈ R} log softmax(logits_{t−1})[token_t]

over the target tokens R. Logits are formed for a block of positions at a time and
formed again in the backward pass, so that no [T, V] array is kept: `in_blocks`, for
whatever is computed from logits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ntkjax.data.batches import Batch
from ntkjax.devices.precision import at_least_float32
from ntkjax.models.language_model import LanguageModel


@partial(
    jax.tree_util.register_dataclass, data_fields=["model"], meta_fields=["block_size"]
)
@dataclass(frozen=True)
class Loss:
    """f(θ, x) = ℓ(θ, x), a scalar. Cost: F with the head.

    Attributes:
        model: The model.
        block_size: Positions whose logits are held at once.
    """

    model: LanguageModel
    block_size: int = 128

    def __call__(self, theta, x: Batch) -> Float[Array, ""]:
        hidden = self.model.hidden(theta, x.tokens)[:-1]
        losses = negative_logs(self.model, theta, hidden, x.tokens[1:], self.block_size)
        return mean_over_targets(losses, x)


def negative_logs(
    model: LanguageModel,
    theta,
    states: Float[Array, "n d"],
    tokens: Int[Array, " n"],
    block_size: int,
) -> Float[Array, " n"]:
    """−log softmax(logits_i)[token_i] of n positions, which predict these tokens."""

    def at(position) -> Float[Array, ""]:
        state, token = position
        logits = logits_at(model, theta, state)
        return jax.nn.logsumexp(logits) - logits[token]

    return in_blocks(at, (states, tokens), block_size)


def logits_at(
    model: LanguageModel, theta, state: Float[Array, " d"]
) -> Float[Array, " V"]:
    """The logits at one position, in float32 or wider."""
    logits = model.logits(theta, state[None])[0]
    return logits.astype(at_least_float32(logits.dtype))


def in_blocks(
    function: Callable[..., Float[Array, ""]], positions, block_size: int
) -> Float[Array, " n"]:
    """The function of every position, computed again in the backward pass.

    Args:
        function: Of one position to a scalar.
        positions: A pytree with a leading axis [n].
        block_size: Positions computed side by side.
    """
    return jax.lax.map(jax.checkpoint(function), positions, batch_size=block_size)


def mean_over_targets(values: Float[Array, " n"], x: Batch) -> Float[Array, ""]:
    """The mean over target tokens, of values at the n = T - 1 that can be predicted."""
    targets = x.targets[1:].astype(values.dtype)
    return jnp.sum(targets * values) / jnp.sum(targets)
