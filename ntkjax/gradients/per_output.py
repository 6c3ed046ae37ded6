"""Gradients of single outputs of f(θ, x), for one example: what the verbs share."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkjax.notation import Example, OutputFn, Theta


def as_vector(f: OutputFn, x: Example) -> Callable[[Theta], Float[Array, " s"]]:
    """θ ↦ f(θ, x) with a scalar result made a vector of one output.

    Raises:
        ValueError: If f returns an array with more than one axis.
    """

    def outputs(theta: Theta) -> Float[Array, " s"]:
        value = jnp.asarray(f(theta, x))
        if value.ndim > 1:
            raise ValueError(
                f"an output function returns a scalar or a vector for one example, "
                f"got shape {value.shape}; flatten it."
            )
        return value.reshape(-1)

    return outputs


def num_outputs(f: OutputFn, theta: Theta, xs: Example) -> int:
    """How many outputs f has, from shapes alone; `xs` has an axis of examples."""
    return jax.eval_shape(lambda t, x: as_vector(f, _first(x))(t), theta, xs).size


def num_examples(xs: Example) -> int:
    """Length of the leading axis that all leaves of `xs` share.

    Raises:
        ValueError: If there is no such axis or it is empty.
    """
    sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(xs)}
    if len(sizes) != 1 or sizes <= {(), (0,)}:
        raise ValueError(
            "examples need one leading axis of at least one example, shared by all "
            f"leaves; got leading axes {sorted(sizes)}."
        )
    return sizes.pop()[0]


def pull_back(
    f: OutputFn,
    theta: Theta,
    x: Example,
    start: int | Array,
    count: int,
    vjp_batch: int,
    use: Callable[[Theta], Array | tuple[Array, ...]],
):
    """`use(∇f_j(x))` for the outputs j = start … start + count - 1, stacked.

    Outputs beyond the last have gradient zero. Cost: F + count · B.

    Args:
        f: Output function.
        theta: Parameters.
        x: One example.
        start: First output.
        count: Number of outputs.
        vjp_batch: VJPs computed side by side; 1 loops over them.
        use: What to keep of each gradient (a flat vector, a sketch, …).
    """
    outputs, pullback = jax.vjp(as_vector(f, x), theta)
    positions = jnp.arange(outputs.size)

    def one(j: Array):
        (gradient,) = pullback((positions == j).astype(outputs.dtype))
        return use(gradient)

    return jax.lax.map(one, start + jnp.arange(count), batch_size=vjp_batch)


def flatten(gradient: Theta) -> Float[Array, " P"]:
    """The gradient as one vector: leaves in tree order, each in row-major order."""
    return jnp.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(gradient)])


def _first(xs: Example) -> Example:
    return jax.tree.map(lambda leaf: leaf[0], xs)
