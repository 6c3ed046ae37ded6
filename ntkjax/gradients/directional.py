"""The second verb: inner products with per-example gradients that are never formed.

    Σ_j ⟨∇f_j(x), u_j⟩ = Σ_j d/dε f_j(θ + ε u_j, x) |_{ε=0}

One JVP per direction, all sharing the primal pass; no backward pass, no activations
kept. The mean of a kernel's rows over a domain is `directional` along the domain's
mean gradients, exactly: (1/n) Σ_i K(d_i, x) = Σ_j ⟨ḡ_j, ∇f_j(x)⟩.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ntkjax.devices.precision import full_precision
from ntkjax.gradients.per_output import as_vector, num_examples, num_outputs
from ntkjax.notation import Example, OutputFn, Theta


def directional(
    f: OutputFn, *, batch_size: int = 16, jvp_batch: int = 8
) -> Callable[[Theta, Example, Theta], Float[Array, " n"]]:
    """Function (θ, xs, u) ↦ Σ_j ⟨∇f_j(x), u_j⟩ for each x, [n].

    u has the structure of θ with a leading axis [s] on every leaf.

    Cost: F + s·F per example, and F more for every further `jvp_batch` directions;
    memory: s directions of P numbers.

    Args:
        f: Output function, one example to s outputs.
        batch_size: Examples computed side by side.
        jvp_batch: Directions computed side by side for each of them.
    """

    def products(theta: Theta, xs: Example, directions: Theta) -> Float[Array, " n"]:
        _require_directions(f, theta, xs, directions)

        def one(x: Example) -> Float[Array, ""]:
            outputs = as_vector(f, x)

            def rate(along) -> Float[Array, ""]:
                j, direction = along
                return jax.jvp(outputs, (theta,), (direction,))[1][j]

            s = jax.tree.leaves(directions)[0].shape[0]
            if s == 1:
                return rate((0, jax.tree.map(lambda leaf: leaf[0], directions)))
            along = jnp.arange(s), directions
            return jnp.sum(jax.lax.map(rate, along, batch_size=jvp_batch))

        with full_precision():
            return jax.lax.map(one, xs, batch_size=batch_size)

    return products


def mean_gradients(
    f: OutputFn, *, batch_size: int = 16
) -> Callable[[Theta, Example], Theta]:
    """Function (θ, xs) ↦ ḡ_j = (1/n) Σ_i ∇f_j(x_i), a leading axis [s] on every leaf.

    Cost, memory and arguments are those of `sum_gradients`.
    """
    sums = sum_gradients(f, batch_size=batch_size)

    def means(theta: Theta, xs: Example) -> Theta:
        n = num_examples(xs)
        total = sums(theta, xs, jnp.ones(n, jnp.float32))
        return jax.tree.map(lambda leaf: leaf / n, total)

    return means


def sum_gradients(
    f: OutputFn, *, batch_size: int = 16
) -> Callable[[Theta, Example, Float[Array, " n"]], Theta]:
    """Function (θ, xs, w) ↦ Σ_i w_i ∇f_j(x_i), a leading axis [s] on every leaf.

    The examples of a batch are summed before the backward pass: no per-example
    gradient is formed. An example of weight 0 must have finite outputs all the same.

    Cost: n · (F + s·B); memory: s·P numbers and the activations of one batch.

    Args:
        f: Output function, one example to s outputs.
        batch_size: Examples computed side by side.
    """

    def sums(theta: Theta, xs: Example, weights: Float[Array, " n"]) -> Theta:
        n = num_examples(xs)
        size = min(batch_size, n)
        rows = jnp.arange(-(-n // size) * size).reshape(-1, size)

        def batch_sums(row: Array) -> Theta:
            source = jnp.minimum(row, n - 1)
            batch = jax.tree.map(lambda leaf: leaf[source], xs)
            counted = jnp.where(row < n, weights[source], 0)

            def total(theta: Theta) -> Float[Array, " s"]:
                outputs = jax.vmap(lambda x: as_vector(f, x)(theta))(batch)
                return counted.astype(outputs.dtype) @ outputs

            outputs, pullback = jax.vjp(total, theta)
            basis = jnp.eye(outputs.size, dtype=outputs.dtype)
            return jax.lax.map(lambda e: pullback(e)[0], basis)

        def add(total: Theta, row: Array):
            return jax.tree.map(jnp.add, total, batch_sums(row)), None

        with full_precision():
            shapes = jax.eval_shape(batch_sums, rows[0])
            zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            return jax.lax.scan(add, zero, rows)[0]

    return sums


def _require_directions(f: OutputFn, theta: Theta, xs: Example, u: Theta) -> None:
    num_examples(xs)
    s = num_outputs(f, theta, xs)
    expected = jax.tree.map(lambda leaf: (s, *leaf.shape), theta)
    found = jax.tree.map(lambda leaf: tuple(leaf.shape), u)
    if expected != found:
        raise ValueError(
            "directions need the structure of θ with a leading axis of "
            f"{s} (one direction per output); got {found} instead of {expected}."
        )
