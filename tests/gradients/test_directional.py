import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.gradients.directional import directional, mean_gradients, sum_gradients
from ntkjax.gradients.gram import gram
from tests.oracles import jacobians, normwise
from tests.problems import mlp, random_like


def flat(tree, s):
    leaves = [np.asarray(leaf).reshape(s, -1) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves, axis=1)


@pytest.mark.parametrize("num_outputs", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_equals_the_gradient_inner_product(num_outputs, batch_size):
    f, theta, draw = mlp(num_outputs)
    xs = draw(7)
    u = random_like(theta, jax.random.key(1), leading=(num_outputs,))
    found = directional(f, batch_size=batch_size)(theta, xs, u)
    expected = np.einsum("nsp,sp->n", jacobians(f, theta, xs), flat(u, num_outputs))
    assert normwise(found, expected) < 1e-5


@pytest.mark.parametrize("jvp_batch", [1, 3, 4])
def test_directions_may_be_computed_a_few_at_a_time(jvp_batch):
    f, theta, draw = mlp(4)
    xs = draw(5)
    u = random_like(theta, jax.random.key(1), leading=(4,))
    found = directional(f, jvp_batch=jvp_batch)(theta, xs, u)
    expected = np.einsum("nsp,sp->n", jacobians(f, theta, xs), flat(u, 4))
    assert normwise(found, expected) < 1e-5


@pytest.mark.parametrize("num_outputs", [1, 4])
@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test_weighted_sum_of_gradients(num_outputs, batch_size):
    f, theta, draw = mlp(num_outputs)
    xs, weights = draw(5), np.array([0.5, 0, -2, 1, 3], np.float32)
    found = sum_gradients(f, batch_size=batch_size)(theta, xs, jnp.asarray(weights))
    expected = np.einsum("n,nsp->sp", weights, jacobians(f, theta, xs))
    assert normwise(flat(found, num_outputs), expected) < 1e-5


@pytest.mark.parametrize("num_outputs", [1, 4])
@pytest.mark.parametrize("batch_size", [2, 16])
def test_along_mean_gradients_it_is_the_mean_of_the_kernel_rows(
    num_outputs, batch_size
):
    f, theta, draw = mlp(num_outputs)
    domain, pool = draw(5), draw(9)
    means = mean_gradients(f, batch_size=batch_size)(theta, domain)
    expected_means = jacobians(f, theta, domain).mean(axis=0)
    assert normwise(flat(means, num_outputs), expected_means) < 1e-5
    found = directional(f)(theta, pool, means)
    expected = np.asarray(gram(f)(theta, domain, pool)).mean(axis=0)
    assert normwise(found, expected) < 1e-5


def test_it_can_be_jitted_and_is_linear_in_the_direction():
    f, theta, draw = mlp(2)
    xs = draw(3)
    u = random_like(theta, jax.random.key(1), leading=(2,))
    products = jax.jit(directional(f))
    twice = products(theta, xs, jax.tree.map(lambda leaf: 2 * leaf, u))
    assert normwise(twice, 2 * products(theta, xs, u)) < 1e-6


def test_directions_of_another_shape_are_refused():
    f, theta, draw = mlp(3)
    u = random_like(theta, jax.random.key(1), leading=(2,))
    with pytest.raises(ValueError, match="leading axis of 3"):
        directional(f)(theta, draw(2), u)


def test_scores_do_not_depend_on_batch_mates():
    f, theta, draw = mlp(2)
    xs = draw(6)
    u = random_like(theta, jax.random.key(1), leading=(2,))
    together = directional(f, batch_size=6)(theta, xs, u)
    alone = jnp.concatenate([directional(f)(theta, xs[i : i + 1], u) for i in range(6)])
    assert np.abs(together - alone).max() <= 1e-5 * np.abs(together).max()
