"""The third verb: one short vector per example and output.

    φ_j(x) = S(t(∇f_j(x))),   ⟨φ_j(x), φ_j(y)⟩ ≈ ⟨t(∇f_j(x)), t(∇f_j(y))⟩

with a linear sketch S (`ntkjax.math.sketches`) and a transform t that may be anything
(LESS's division by Adam moments is not linear, so it comes before the sketch).
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from ntkjax.devices.precision import full_precision
from ntkjax.gradients.gram import Sketch
from ntkjax.gradients.per_output import (
    flatten,
    num_examples,
    num_outputs,
    pull_back,
)
from ntkjax.notation import Example, OutputFn, Theta


def features(
    f: OutputFn,
    sketch: Sketch | None = None,
    transform: Callable[[Theta], Theta] | None = None,
    *,
    batch_size: int = 1,
    vjp_batch: int = 1,
) -> Callable[[Theta, Example], Float[Array, "n s k"]]:
    """Function (θ, xs) ↦ sketched, transformed gradients, [n, s, k].

    Cost: F + s·B + O(s·P) per example; memory: s·k numbers and P for each example
    that is side by side with others, and its activations.

    Args:
        f: Output function, one example to s outputs.
        sketch: Flat gradient [P] to [k]; without one, k = P.
        transform: Applied to each gradient (a pytree like θ) before the sketch.
        batch_size: Examples computed side by side.
        vjp_batch: Backward passes side by side for each of them.
    """

    def use(gradient: Theta) -> Array:
        vector = flatten(transform(gradient) if transform else gradient)
        return sketch(vector) if sketch else vector

    def extract(theta: Theta, xs: Example) -> Float[Array, "n s k"]:
        num_examples(xs)
        s = num_outputs(f, theta, xs)
        with full_precision():
            return jax.lax.map(
                lambda x: pull_back(f, theta, x, 0, s, vjp_batch, use),
                xs,
                batch_size=batch_size,
            )

    return extract
