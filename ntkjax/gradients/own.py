"""The kernel of each example with itself, all pairs of outputs: K(x, x) [s, s].

    K_ij(x, x) = ⟨∇f_i(x), ∇f_j(x)⟩

What the cosines between gradients of different outputs are read from.
"""

from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from ntkjax.devices.precision import full_precision
from ntkjax.gradients.per_output import (
    flatten,
    num_examples,
    num_outputs,
    pull_back,
)
from ntkjax.notation import Example, OutputFn, Theta


def own_blocks(
    f: OutputFn, *, vjp_batch: int = 1
) -> Callable[[Theta, Example], Float[Array, "n s s"]]:
    """Function (θ, xs) ↦ K(x, x) of each example, [n, s, s].

    Cost: F + s·B per example; memory: s·P numbers for one example at a time.

    Args:
        f: Output function, one example to s outputs.
        vjp_batch: Backward passes side by side.
    """

    def blocks(theta: Theta, xs: Example) -> Float[Array, "n s s"]:
        num_examples(xs)
        s = num_outputs(f, theta, xs)

        def one(x: Example) -> Float[Array, "s s"]:
            gradients = pull_back(f, theta, x, 0, s, vjp_batch, flatten)
            return gradients @ gradients.T

        with full_precision():
            return jax.lax.map(one, xs)

    return blocks
