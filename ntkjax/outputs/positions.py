"""Outputs at single positions, for short sequences: a study, not a default.

The trace over positions and probes,

    K(x, y) = Σ_i Σ_j ⟨∇ p_jᵀh_{-i}(x), ∇ p_jᵀh_{-i}(y)⟩,

aligns positions from the end of the response, i = 1, 2, …; outputs before the
response's start are zero, so the shorter response decides how many terms there are.
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
    jax.tree_util.register_dataclass,
    data_fields=["model", "probes"],
    meta_fields=["num_positions"],
)
@dataclass(frozen=True)
class LastPositions:
    """f(θ, x) = p_jᵀ h at the last `num_positions` response tokens, [num_positions·s].

    Attributes:
        model: The model.
        probes: Probe vectors, [d, s].
        num_positions: How many positions to look at, from the end.
    """

    model: LanguageModel
    probes: Float[Array, "d s"]
    num_positions: int

    def __call__(self, theta, x: Batch) -> Float[Array, " outputs"]:
        hidden = self.model.hidden(theta, x.tokens)
        wide = at_least_float32(hidden.dtype)
        places = jnp.arange(x.targets.shape[0])
        last = jnp.max(jnp.where(x.targets, places, -1))
        chosen = last - jnp.arange(self.num_positions)
        safe = jnp.clip(chosen, 0)
        inside = (chosen >= 0) & x.targets[safe]
        outputs = hidden[safe].astype(wide) @ self.probes.astype(wide)
        return jnp.where(inside[:, None], outputs, jnp.zeros((), wide)).reshape(-1)
