"""How far the model has moved from its base: a softened divergence of next tokens.

    f(θ, x) = τ² · 1/|R| Σ_{t ∈ R} KL(q_t ‖ p_t)
    q_t = softmax(z_{t−1}(θ_0) / τ),   p_t = softmax(z_{t−1}(θ) / τ)

over the target tokens R, for logits z of the base's parameters θ_0, which do not move,
and of θ. At θ = θ_0 both f and ∇f are zero. As in the loss, logits are formed for a
block of positions at a time and formed again in the backward pass.
"""

import math
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkjax.data.batches import Batch
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.outputs.loss import in_blocks, logits_at, mean_over_targets


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["model", "base_theta"],
    meta_fields=["temperature", "block_size"],
)
@dataclass(frozen=True)
class Divergence:
    """f(θ, x), a scalar. Cost: 2 F with the head; its gradient costs F more than B.

    Attributes:
        model: The model.
        base_theta: θ_0.
        temperature: τ, above 0.
        block_size: Positions whose logits are held at once.
    """

    model: LanguageModel
    base_theta: Theta
    temperature: float
    block_size: int = 128

    def __call__(self, theta, x: Batch) -> Float[Array, ""]:
        model, tau = self.model, self.temperature
        base_theta = jax.lax.stop_gradient(self.base_theta)

        def divergence(states) -> Float[Array, ""]:
            base_state, state = states
            log_q = _log_softmax(model, base_theta, base_state, tau)
            log_p = _log_softmax(model, theta, state, tau)
            return tau**2 * jnp.sum(jnp.exp(log_q) * (log_q - log_p))

        states = [model.hidden(t, x.tokens)[:-1] for t in (base_theta, theta)]
        return mean_over_targets(in_blocks(divergence, states, self.block_size), x)


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["model"],
    meta_fields=["temperature", "kind", "block_size"],
)
@dataclass(frozen=True)
class Confidence:
    """How sure the model is of an example, a scalar in [0, 1]. Cost: F with the head.

    For q_t as above at the θ that is given, in the mean over the target tokens

        max_prob      max_k q_t[k]
        entropy_inv   1 − H(q_t) / log V
        uniform       1

    Attributes:
        model: The model.
        temperature: τ, above 0.
        kind: One of the three.
        block_size: Positions whose logits are held at once.
    """

    model: LanguageModel
    temperature: float
    kind: str
    block_size: int = 128

    def __call__(self, theta, x: Batch) -> Float[Array, ""]:
        confidence = _CONFIDENCES[self.kind]

        def at(state) -> Float[Array, ""]:
            return confidence(_log_softmax(self.model, theta, state, self.temperature))

        states = self.model.hidden(theta, x.tokens)[:-1]
        return mean_over_targets(in_blocks(at, states, self.block_size), x)


def _log_softmax(
    model: LanguageModel, theta, state: Float[Array, " d"], temperature: float
) -> Float[Array, " V"]:
    """Logarithms of next-token probabilities, softened by the temperature."""
    return jax.nn.log_softmax(logits_at(model, theta, state) / temperature)


def _max_prob(log_q: Float[Array, " V"]) -> Float[Array, ""]:
    return jnp.exp(jnp.max(log_q))


def _entropy_inv(log_q: Float[Array, " V"]) -> Float[Array, ""]:
    return 1 + jnp.sum(jnp.exp(log_q) * log_q) / math.log(log_q.size)


def _uniform(log_q: Float[Array, " V"]) -> Float[Array, ""]:
    return jnp.ones_like(log_q[0])


_CONFIDENCES = {
    "max_prob": _max_prob,
    "entropy_inv": _entropy_inv,
    "uniform": _uniform,
}
