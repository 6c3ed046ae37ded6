"""Inner products of pytrees on the host, added up in float64.

A tree here is a gradient, a direction or θ: leaves are arrays of any type and shape.
"""

import jax
import numpy as np


def dot(a, b) -> float:
    """⟨a, b⟩, over all numbers of all leaves.

    >>> dot({"x": np.array([1.0, 2.0])}, {"x": np.array([3.0, 4.0])})
    11.0

    Raises:
        ValueError: If the trees or the shapes of their leaves differ.
    """
    return float(sum(jax.tree.leaves(jax.tree.map(_leaf_dot, a, b))))


def norm(a) -> float:
    """‖a‖, over all numbers of all leaves."""
    return float(np.sqrt(dot(a, a)))


def _leaf_dot(a, b) -> float:
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if x.shape != y.shape:
        raise ValueError(f"leaves of different shapes: {x.shape} and {y.shape}.")
    return float(np.vdot(x, y))
