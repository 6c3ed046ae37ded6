"""Sums of gradients over many examples: none is held for more than a moment.

A sum runs over the rows of a batch in float32 on each device, over batches in float32,
over devices in float64.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, PyTree

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.devices.precision import full_precision
from ntkjax.devices.side_by_side import backward_rows
from ntkjax.errors import InputError
from ntkjax.gradients.directional import sum_gradients
from ntkjax.models.stacking import unstack_layers
from ntkjax.notation import OutputFn, Theta
from ntkjax.passes.run_pass import Batching, batch_results, not_finite


HostTree = PyTree[Float64[np.ndarray, "..."]]
"""A gradient on the host, with the structure of θ."""


def gradient_sums(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    weights: Float[np.ndarray, " n"] | None = None,
) -> HostTree:
    """Σ_i w_i ∇f_j(x_i), a leading axis [s] of outputs on every leaf.

    Cost: n · (F + s·B); memory: s·P numbers on each device.

    Args:
        f: A pytree that is an output function, one example to s outputs.
        theta: Where the derivatives are taken.
        examples: One or more.
        batching: Batches and devices.
        weights: w; 1 for every example by default.

    Raises:
        InputError: If an example's gradient is not finite; the example is named.
        ValueError: If there is no example or one is too long.
    """
    return _sums(_weighted, f, theta, examples, batching, weights)


def squared_gradient_sums(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
) -> HostTree:
    """Σ_i (∇f(x_i))², elementwise, of a scalar f; it has the structure of θ.

    Cost: n · (F + B); memory: P numbers, and P more for each example that a device
    takes side by side with others.

    Raises:
        InputError: If an example's gradient is not finite; the example is named.
        ValueError: If there is no example or one is too long.
    """
    return _sums(_squared, f, theta, examples, batching, None)


def to_float32(tree: Theta | HostTree) -> Theta:
    """The tree as a direction that programs can take."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), tree)


def _sums(
    function: Callable,
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    weights: Float[np.ndarray, " n"] | None,
) -> HostTree:
    if not examples:
        raise ValueError("no examples to sum the gradients of.")
    weights = np.ones(len(examples)) if weights is None else weights
    fixed = replicate((f, theta), batching.mesh)
    total = _added(function, fixed, examples, batching, weights)
    if _is_finite(total):
        return total
    for example in examples:
        if not _is_finite(_added(function, fixed, [example], batching, np.ones(1))):
            raise not_finite("gradient", example)
    raise InputError(
        "the sum of the gradients of the examples is infinite, each being finite: look "
        "at the adapter's scale."
    )


def _added(
    function: Callable,
    fixed,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    weights: Float[np.ndarray, " n"],
) -> HostTree:
    """What `function` finds for batches of weighted rows, added up."""
    total = None
    for _, found in batch_results(function, fixed, examples, batching, weights):
        total = found if total is None else jax.tree.map(jnp.add, total, found)
        jax.block_until_ready(total)  # or the sums of many batches are held at once
    total = jax.tree.map(
        lambda leaf: np.asarray(leaf).sum(axis=0, dtype=np.float64), total
    )
    return unstack_layers(total)


def _weighted(fixed, rows):
    """The sums over one device's rows, with a leading axis [1] for the device."""
    f, theta = fixed
    batch, weights = rows
    size = backward_rows(*batch.tokens.shape)
    sums = sum_gradients(f, batch_size=size)(theta, batch, weights)
    return jax.tree.map(lambda leaf: leaf[None], sums)


def _squared(fixed, rows):
    """The same for squares, which need each gradient by itself."""
    f, theta = fixed
    size = backward_rows(*rows[0].tokens.shape)
    blocks = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), rows)

    def add(total, block):
        batch, weights = block
        gradient = jax.grad(lambda t, x: jnp.reshape(f(t, x), ()))
        found = jax.vmap(gradient, in_axes=(None, 0))(theta, batch)
        squares = lambda sums, g: sums + jnp.tensordot(weights, jnp.square(g), 1)
        return jax.tree.map(squares, total, found), None

    with full_precision():
        sums, _ = jax.lax.scan(add, jax.tree.map(_zeros_like, theta), blocks)
    return jax.tree.map(lambda leaf: leaf[None], sums)


def _zeros_like(leaf: Float[Array, "..."]) -> Float[Array, "..."]:
    return jnp.zeros(leaf.shape, leaf.dtype)


def _is_finite(tree) -> bool:
    return all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(tree))
