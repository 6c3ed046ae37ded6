import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.gradients.own import own_blocks
from tests.oracles import jacobians
from tests.problems import mlp


@pytest.mark.parametrize(
    ("n", "num_outputs", "vjp_batch"),
    # every two of the three meet in all their values
    [(1, 1, 1), (4, 3, 1), (1, 3, 2), (4, 1, 2), (1, 1, 8), (4, 3, 8)],
)
def test_equals_the_dense_blocks(n, num_outputs, vjp_batch):
    f, theta, draw = mlp(num_outputs)
    xs = draw(n)
    rows = jacobians(f, theta, xs).astype(np.float64)
    expected = np.einsum("nsp,ntp->nst", rows, rows)
    found = jax.jit(own_blocks(f, vjp_batch=vjp_batch))(theta, xs)
    assert found.shape == (n, num_outputs, num_outputs)
    # float32 sums of P = 40 + 8 s products
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * expected.max())


def test_a_scalar_output_is_one_output():
    f, theta, draw = mlp(1)
    xs = draw(3)
    scalar = own_blocks(lambda t, x: f(t, x)[0])(theta, xs)
    np.testing.assert_allclose(scalar, own_blocks(f)(theta, xs), rtol=1e-6)


@pytest.mark.parametrize(
    ("n", "f"),
    [(0, jnp.vdot), (2, jnp.outer)],
    ids=["no example", "a matrix of outputs"],
)
def test_refuses(n, f):
    with pytest.raises(ValueError, match=r"at least one example|scalar or a vector"):
        own_blocks(f)(jnp.ones(4), jnp.zeros((n, 4)))
