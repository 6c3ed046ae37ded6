"""Short vectors in place of loss gradients, and what LESS makes of a gradient first.

    φ(x) = S(t(∇ℓ(θ, x))),    ⟨φ(x), φ(y)⟩ ≈ ⟨t(∇ℓ(θ, x)), t(∇ℓ(θ, y))⟩

with a linear sketch S (`ntkjax.math.sketches`) and a transform t: none, the sign, or
the Adam update. A transform is a pytree. Its numbers are data of the compiled program
and not part of it, so that all checkpoints of a warm-up share one program.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, PyTree

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.side_by_side import backward_rows
from ntkjax.gradients.features import features
from ntkjax.gradients.gram import Sketch
from ntkjax.models.stacking import in_tree_order
from ntkjax.notation import OutputFn, Theta
from ntkjax.passes.run_pass import Batching, run_pass


Transform = Callable[[Theta], Theta]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["first", "second", "num_steps"],
    meta_fields=[
        "beta1",
        "beta2",
        "epsilon",
        "epsilon_inside_root",
        "bias_correction",
    ],
)
@dataclass(frozen=True)
class AdamUpdate:
    """Γ: where Adam would go if its next gradient were that of one example.

        m' = β₁ m + (1 − β₁) g,    s' = β₂ s + (1 − β₂) g²
        Γ = m' / √(s' + ε)    or    m' / (√s' + ε)

    With bias correction m' is divided by 1 − β₁^(t+1) first, and s' by 1 − β₂^(t+1).
    All examples share m, so their updates have a part in common.

    Attributes:
        first: m, like θ.
        second: s, like θ; neither is bias-corrected.
        num_steps: t, the steps that m and s have seen.
        beta1: β₁.
        beta2: β₂.
        epsilon: ε.
        epsilon_inside_root: Which of the two Γ.
        bias_correction: As Adam does it; LESS does not.
    """

    first: Theta
    second: Theta
    num_steps: Int[Array, ""]
    beta1: float
    beta2: float
    epsilon: float
    epsilon_inside_root: bool
    bias_correction: bool

    def __call__(self, gradient: Theta) -> Theta:
        return jax.tree.map(self._leaf, gradient, self.first, self.second)

    def _leaf(self, g: Array, m: Array, s: Array) -> Array:
        mean = self._corrected(self.beta1 * m + (1 - self.beta1) * g, self.beta1)
        square = self._corrected(self.beta2 * s + (1 - self.beta2) * g * g, self.beta2)
        if self.epsilon_inside_root:
            return mean / jnp.sqrt(square + self.epsilon)
        return mean / (jnp.sqrt(square) + self.epsilon)

    def _corrected(self, moment: Array, beta: float) -> Array:
        if not self.bias_correction or beta == 0:
            return moment
        power = (self.num_steps + 1).astype(moment.dtype) * math.log(beta)
        return moment / -jnp.expm1(power)  # 1 − β^(t+1), also where β is almost 1


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=[])
@dataclass(frozen=True)
class Sign:
    """The sign of every number; 0 stays 0."""

    def __call__(self, gradient: Theta) -> Theta:
        return jax.tree.map(jnp.sign, gradient)


def gradient_sketches(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    sketch: Sketch | None = None,
    transform: Transform | None = None,
    *,
    advance: Callable[[int], None] = lambda count: None,
) -> Float32[np.ndarray, "n k"]:
    """φ(x) of every example.

    Cost: F + B + O(P) each, and what the sketch costs; memory P numbers per device.

    Args:
        f: The loss, `ntkjax.outputs.loss.Loss`, or any other scalar.
        theta: Where gradients are taken.
        examples: One or more.
        batching: Batches and devices; the loss asks for no pooling.
        sketch: A pytree; without one, k = P.
        transform: A pytree; applied to each gradient before the sketch.
        advance: Called with the number of examples done.

    Raises:
        InputError: If a number is not finite; the example is named.
        ValueError: If there is no example or one is too long.
    """
    fixed = f, theta, sketch, transform
    found = run_pass(
        _sketches, fixed, examples, batching, what="gradient", advance=advance
    )
    return found.astype(np.float32, copy=False)


def _sketches(fixed, batch) -> Float[Array, "n k"]:
    f, theta, sketch, transform = fixed
    size = backward_rows(*batch.tokens.shape)

    def ordered(gradient: Theta) -> PyTree:
        return in_tree_order(transform(gradient) if transform else gradient)

    return features(f, sketch, ordered, batch_size=size)(theta, batch)[:, 0]
