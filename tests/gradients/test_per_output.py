import jax
import numpy as np

from ntkjax.gradients.per_output import flatten, num_outputs, pull_back
from tests.oracles import dense_jacobian, normwise
from tests.problems import mlp


def test_blocks_past_the_end_are_zero():
    f, theta, draw = mlp(3)
    x = draw(1)[0]
    found = pull_back(f, theta, x, 2, 4, 1, flatten)
    assert normwise(found[0], dense_jacobian(f, theta, x)[2]) < 1e-6
    assert np.array_equal(np.asarray(found[1:]), np.zeros((3, 64)))


def test_flatten_keeps_every_number_in_tree_order():
    _, theta, _ = mlp(3)
    expected = np.concatenate([np.asarray(x).ravel() for x in jax.tree.leaves(theta)])
    assert np.array_equal(np.asarray(flatten(theta)), expected)


def test_num_outputs_needs_no_computation():
    f, theta, draw = mlp(3)
    assert num_outputs(f, theta, draw(2)) == 3
    assert num_outputs(lambda t, x: f(t, x)[0], theta, draw(2)) == 1
