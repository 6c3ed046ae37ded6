"""The loss of one example: mean negative log-likelihood of its target tokens.

    ℓ(θ, x) = −1/|R| Σ_{t ∈ R} log softmax(logits_{t−1})[token_t]

over the target tokens R. Logits are formed for a block of positions at a time and
formed again in the backward pass, so that no [T, V] array is kept.
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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
        wide = at_least_float32(hidden.dtype)
        targets = x.targets[1:].astype(wide)

        @jax.checkpoint
        def nll(position) -> Float[Array, ""]:
            state, token = position
            logits = self.model.logits(theta, state[None])[0].astype(wide)
            return jax.nn.logsumexp(logits) - logits[token]

        losses = jax.lax.map(nll, (hidden, x.tokens[1:]), batch_size=self.block_size)
        return jnp.sum(targets * losses) / jnp.sum(targets)
