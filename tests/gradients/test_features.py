import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.gradients.features import features
from ntkjax.math.sketches import rademacher_sketch, shift_sketch
from tests.oracles import jacobians, normwise
from tests.problems import mlp


@pytest.mark.parametrize("batch_size", [1, 2, 3, 9])
def test_without_a_sketch_features_are_the_gradients(batch_size):
    f, theta, draw = mlp(3)
    xs = draw(4)
    found = jax.jit(features(f, batch_size=batch_size))(theta, xs)
    assert found.shape == (4, 3, 64)
    assert normwise(found, jacobians(f, theta, xs)) < 1e-6


@pytest.mark.parametrize("make", [shift_sketch, rademacher_sketch])
def test_the_sketch_is_applied_to_each_gradient(make):
    f, theta, draw = mlp(3)
    xs = draw(4)
    sketch = make(64, 10, jax.random.key(3))
    expected = jax.vmap(jax.vmap(sketch))(jnp.asarray(jacobians(f, theta, xs)))
    assert normwise(features(f, sketch)(theta, xs), expected) < 1e-5


def test_a_transform_comes_before_the_sketch():
    f, theta, draw = mlp(1)
    xs = draw(4)
    signs = lambda gradient: jax.tree.map(jnp.sign, gradient)
    sketch = shift_sketch(64, 10, jax.random.key(3))
    found = features(f, sketch, signs, vjp_batch=2)(theta, xs)
    expected = jax.vmap(jax.vmap(sketch))(
        jnp.sign(jnp.asarray(jacobians(f, theta, xs)))
    )
    assert np.array_equal(np.asarray(found), np.asarray(expected))
