"""The slow obvious versions: dense Jacobians, one number at a time."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial


def dense_jacobian(f, theta, x) -> np.ndarray:
    """∇f_j(x) in rows, [s, P]."""
    return jacobians(f, theta, jax.tree.map(lambda leaf: leaf[None], x))[0]


def jacobians(f, theta, xs) -> np.ndarray:
    """[n, s, P], one example at a time.

    `f` is a function, or a pytree that can be called: the arrays in it are arguments of
    the program, so that another `f` of the same shapes compiles nothing.
    """
    f = Partial(f) if inspect.isfunction(f) else f
    rows = []
    for i in range(num_rows(xs)):
        leaves = jax.tree.leaves(_jacobian(f, theta, row(xs, i)))
        rows.append(np.concatenate([np.reshape(a, (len(a), -1)) for a in leaves], 1))
    return np.stack(rows)


@jax.jit
def _jacobian(f, theta, x):
    return jax.jacrev(lambda theta: jnp.atleast_1d(f(theta, x)))(theta)


def row(batch, i):
    return jax.tree.map(lambda leaf: leaf[i], batch)


def num_rows(batch) -> int:
    return jax.tree.leaves(batch)[0].shape[0]


def trace_kernel(f, theta, xs, ys) -> np.ndarray:
    """Σ_j ⟨∇f_j(x), ∇f_j(y)⟩ for every pair, [n, m]."""
    return np.einsum("nsp,msp->nm", jacobians(f, theta, xs), jacobians(f, theta, ys))


def normwise(found, expected) -> float:
    """‖found − expected‖ / ‖expected‖."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.linalg.norm(found - expected) / np.linalg.norm(expected))


def to_float64(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(np.asarray(leaf), jnp.float64), tree)
