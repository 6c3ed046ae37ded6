"""Outputs read from pooled positions: h̄ = Σ_t ω_t h_t, and probes on it.

Logits are linear in the final hidden state, so every readout of pooled logits is
Wᵀ h̄, and a kernel of logits is a set of probe vectors in R^d; no [T, V] array is
formed. Where logits are not Wᵀ h with a frozen W, `PooledLogits` takes the long way.

The weights ω of a batch say what is pooled (`ntkjax.data.batches`): the mean over
response tokens, over all tokens, or the last token.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkjax.data.batches import Batch
from ntkjax.devices.precision import at_least_float32
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import OutputFn


@partial(jax.tree_util.register_dataclass, data_fields=["model"], meta_fields=[])
@dataclass(frozen=True)
class PooledHidden:
    """f(θ, x) = h̄ ∈ R^d. Cost: F without the head."""

    model: LanguageModel

    def __call__(self, theta, x: Batch) -> Float[Array, " d"]:
        return _pool(x.weights, self.model.hidden(theta, x.tokens))


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["model"],
    meta_fields=["vocab_size", "block_size"],
)
@dataclass(frozen=True)
class PooledLogits:
    """f(θ, x) = Σ_t ω_t logits_t ∈ R^V: exact for any head. Memory: block·V numbers.

    Logits are formed for a block of positions at a time, and again in the backward
    pass.

    Attributes:
        model: The model.
        vocab_size: Rows of the head to keep; padded ones come after them.
        block_size: Positions whose logits are held at once.
    """

    model: LanguageModel
    vocab_size: int
    block_size: int = 32

    def __call__(self, theta, x: Batch) -> Float[Array, " V"]:
        hidden = self.model.hidden(theta, x.tokens)
        padding = -len(hidden) % self.block_size  # of weight 0
        blocks = [
            jnp.pad(rows, [(0, padding)] + [(0, 0)] * (rows.ndim - 1)).reshape(
                -1, self.block_size, *rows.shape[1:]
            )
            for rows in (x.weights, hidden)
        ]

        @jax.checkpoint
        def add(total, block):
            weights, states = block
            logits = self.model.logits(theta, states)[:, : self.vocab_size]
            return total + _pool(weights, logits), None

        wide = at_least_float32(hidden.dtype)
        zero = jnp.zeros(self.vocab_size, wide)
        return jax.lax.scan(add, zero, tuple(blocks))[0]


@partial(
    jax.tree_util.register_dataclass, data_fields=["base", "probes"], meta_fields=[]
)
@dataclass(frozen=True)
class Probed:
    """f(θ, x) = Pᵀ base(θ, x) ∈ R^s, for probe vectors in the columns of P [c, s]."""

    base: OutputFn
    probes: Float[Array, "c s"]

    def __call__(self, theta, x) -> Float[Array, " s"]:
        outputs = self.base(theta, x)
        return outputs @ self.probes.astype(outputs.dtype)


def _pool(weights: Float[Array, " T"], rows: Float[Array, "T c"]) -> Float[Array, " c"]:
    wide = at_least_float32(rows.dtype)
    return jnp.einsum("t,tc->c", weights.astype(wide), rows.astype(wide))
