import inspect
import re

import jax.numpy as jnp
import numpy as np
import pytest
from beartype.door import is_bearable

from ntkjax import notation
from ntkjax.gradients.gram import gram
from ntkjax.notation import OutputFn, Theta
from ntkjax.outputs.loss import Loss
from ntkjax.outputs.pooled import PooledHidden, PooledLogits, Probed
from tests.oracles import trace_kernel


@pytest.mark.parametrize(
    ("tree", "is_theta"),
    [
        ({"a": jnp.ones(3), "b": [jnp.ones((2, 2))]}, True),
        ((), True),
        ({"a": jnp.ones(3, jnp.int32)}, False),
        ({"a": "text"}, False),
        ({"a": 1.0}, False),
    ],
)
def test_theta_is_a_tree_of_floats(tree, is_theta):
    assert is_bearable(tree, Theta) is is_theta


@pytest.mark.parametrize("output", [Loss, PooledHidden, PooledLogits, Probed])
def test_outputs_are_functions_of_theta_and_one_example(output):
    assert is_bearable(lambda theta, x: x, OutputFn)
    assert not is_bearable(jnp.ones(3), OutputFn)
    assert list(inspect.signature(output.__call__).parameters) == ["self", "theta", "x"]


def test_a_kernel_is_a_sum_over_outputs_and_a_scalar_counts_as_one():
    theta, xs = jnp.array([0.3, -0.7]), jnp.array([[1.0, 2.0], [0.5, -1.0]])
    once = lambda theta, x: jnp.tanh(theta @ x)
    five = lambda theta, x: jnp.full(5, jnp.tanh(theta @ x))
    expected = trace_kernel(once, theta, xs, xs)
    # float32 rounding of a handful of products
    np.testing.assert_allclose(gram(once)(theta, xs, xs), expected, rtol=1e-5)
    np.testing.assert_allclose(gram(five)(theta, xs, xs), 5 * expected, rtol=1e-5)


def test_axis_names_are_defined_once():
    table = (notation.__doc__ or "").split("Axis names in shapes:")[1]
    names = re.findall(r"(?:^|\s{2,})(\w)(?:, (\w))?\s{2,}\w", table)
    letters = [letter for pair in names for letter in pair if letter]
    assert sorted(letters) == sorted(set(letters))
    assert set("nmTsVdPkr") == set(letters)
