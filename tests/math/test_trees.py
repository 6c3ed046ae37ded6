import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.math.trees import dot, norm


A = {"x": np.array([[1.0, 2.0], [3.0, 4.0]]), "y": {"z": np.array([5.0])}}
B = {"x": np.array([[2.0, 0.0], [1.0, -1.0]]), "y": {"z": np.array([-2.0])}}


def test_dot_goes_over_all_leaves():
    assert dot(A, B) == 2 + 3 - 4 - 10
    assert dot({}, {}) == 0


def test_norm():
    assert norm(A) == pytest.approx(np.sqrt(1 + 4 + 9 + 16 + 25), rel=1e-15)


def test_float32_leaves_are_added_in_float64():
    # in float32 each product overflows
    big = {"x": jnp.full(10, 1e30, jnp.float32)}
    assert norm(big) == pytest.approx(np.sqrt(10) * 1e30, rel=1e-6)
    # and these ones would be lost beside the first number
    many = {"x": np.array([1e4, *[1.0] * 1000], np.float32)}
    assert dot(many, many) == 1e8 + 1000


def test_trees_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"different shapes: \(2, 2\) and \(4,\)"):
        dot(A, B | {"x": np.ones(4)})
    with pytest.raises(ValueError, match="y"):
        dot(A, {"x": B["x"]})
