"""What methods ask of the gradients ∇ℓ(x) of losses, for many examples.

ℓ is `ntkjax.outputs.loss.Loss(model)`; any other pytree that is a scalar output
function f(θ, x) will do. θ may be any part of the parameters. No gradient of a
candidate leaves the program that computes it.
"""

import hashlib
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.precision import full_precision
from ntkjax.devices.side_by_side import backward_rows
from ntkjax.gradients.directional import directional
from ntkjax.notation import OutputFn, Theta
from ntkjax.passes.gradient_sums import (
    HostTree,
    gradient_sums,
    squared_gradient_sums,
    to_float32,
)
from ntkjax.passes.run_pass import Advance, Batching, run_pass


def mean_loss_gradient(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
) -> HostTree:
    """(1/n) Σ_i ∇f(x_i). Cost, memory and errors: `loss_gradient_sum`."""
    total = loss_gradient_sum(f, theta, examples, batching)
    return jax.tree.map(lambda leaf: leaf / len(examples), total)


def loss_gradient_sum(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    weights: Float[np.ndarray, " n"] | None = None,
) -> HostTree:
    """Σ_i w_i ∇f(x_i) of a scalar f, with the structure of θ.

    Arguments, cost and errors are those of `gradient_sums`, with one output.
    """
    sums = gradient_sums(f, theta, examples, batching, weights)
    return jax.tree.map(lambda leaf: leaf[0], sums)


def fisher_diagonal(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
) -> HostTree:
    """(1/n) Σ_i (∇f(x_i))², elementwise: the empirical Fisher matrix's diagonal.

    Cost: n · (F + B), one example at a time on each device; memory: 2 P numbers. Errors
    are those of `loss_gradient_sum`.
    """
    total = squared_gradient_sums(f, theta, examples, batching)
    return jax.tree.map(lambda leaf: leaf / len(examples), total)


def losses(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    advance: Advance = lambda count: None,
    what: str = "loss",
) -> Float64[np.ndarray, " n"]:
    """f(x) of every example. Cost: F each.

    Raises:
        InputError: If one is not finite; the example, and what f is, are named.
    """
    found = run_pass(
        _values, (f, theta), examples, batching, what=what, advance=advance
    )
    return found.astype(np.float64)


def loss_products(
    f: OutputFn,
    theta: Theta,
    direction: Theta | HostTree,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    advance: Advance = lambda count: None,
) -> Float64[np.ndarray, " n"]:
    """⟨∇f(x), u⟩ of every example: one JVP each, no backward pass. Cost: 2 F each.

    Args:
        f: A scalar output function.
        theta: Where the derivatives are taken.
        direction: u, with the structure of θ; it is rounded to float32.
        examples: One or more.
        batching: Batches and devices.
        advance: Called with the number of examples done.

    Raises:
        InputError: If a product is not finite; the example is named.
    """
    fixed = f, theta, to_float32(direction)
    found = run_pass(
        _products,
        fixed,
        examples,
        batching,
        what="product with a gradient",
        advance=advance,
    )
    return found.astype(np.float64)


def gradient_norms(
    f: OutputFn,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    batching: Batching,
) -> Float64[np.ndarray, " n"]:
    """‖∇f(x)‖ of every example. Cost and memory: `gradient_products_and_norms`."""
    found = run_pass(_norms, (f, theta), examples, batching, what="gradient")
    return found.astype(np.float64)


def gradient_products_and_norms(
    f: OutputFn,
    theta: Theta,
    direction: Theta | HostTree,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    advance: Advance = lambda count: None,
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """⟨∇f(x), u⟩ and ‖∇f(x)‖ of every example, arguments as in `loss_products`.

    Cost: F + B each; memory: P numbers for each row of a batch.

    Raises:
        InputError: If one is not finite; the example is named.
    """
    found = run_pass(
        _products_and_norms,
        (f, theta, to_float32(direction)),
        examples,
        batching,
        what="gradient",
        advance=advance,
    )
    products, norms = found.astype(np.float64).T
    return products, norms


def hash_of(examples: Sequence[TokenizedExample]) -> str:
    """A hash of the tokens and targets of these examples, in this order."""
    total = hashlib.sha256()
    for example in examples:
        total.update(np.int64(len(example.tokens)).tobytes())
        total.update(np.asarray(example.tokens, np.int32).tobytes())
        total.update(np.asarray(example.targets, bool).tobytes())
    return total.hexdigest()


def _values(fixed, batch) -> Float[Array, " n"]:
    f, theta = fixed
    with full_precision():
        return jax.vmap(lambda x: _scalar(f, theta, x))(batch)


def _products(fixed, batch) -> Float[Array, " n"]:
    f, theta, direction = fixed
    along = jax.tree.map(lambda leaf: leaf[None], direction)
    return directional(f, batch_size=len(batch.tokens))(theta, batch, along)


def _norms(fixed, batch) -> Float[Array, " n"]:
    f, theta = fixed
    with full_precision():
        return _mapped(lambda x: _norm(_gradient(f, theta, x)), batch)


def _products_and_norms(fixed, batch) -> Float[Array, "n 2"]:
    f, theta, direction = fixed

    def one(x) -> Float[Array, " 2"]:
        gradient = _gradient(f, theta, x)
        return jnp.stack([_dot(gradient, direction), _norm(gradient)])

    with full_precision():
        return _mapped(one, batch)


def _mapped(function: Callable, batch) -> Array:
    """What a function with a backward pass gives for every example."""
    return jax.lax.map(function, batch, batch_size=backward_rows(*batch.tokens.shape))


def _gradient(f: OutputFn, theta: Theta, x) -> Theta:
    return jax.grad(lambda t: _scalar(f, t, x))(theta)


def _scalar(f: OutputFn, theta: Theta, x) -> Float[Array, ""]:
    return jnp.reshape(f(theta, x), ())


def _norm(tree: Theta) -> Float[Array, ""]:
    return jnp.sqrt(_dot(tree, tree))


def _dot(a: Theta, b: Theta) -> Float[Array, ""]:
    products = jax.tree.map(lambda x, y: jnp.sum(x * y), a, b)
    return jnp.sum(jnp.stack(jax.tree.leaves(products)))
