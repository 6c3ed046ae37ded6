import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.gradients.own import own_blocks
from tests.oracles import jacobians
from tests.problems import mlp


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("num_outputs", [1, 3])
@pytest.mark.parametrize("vjp_batch", [1, 2, 8])
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
    ("xs", "f"),
    [
        (jnp.zeros((0, 4)), lambda t, x: jnp.vdot(t, x)),
        (jnp.zeros((2, 4)), lambda t, x: jnp.outer(t, x)),
    ],
    ids=["no example", "a matrix of outputs"],
)
def test_refuses(xs, f):
    with pytest.raises(ValueError, match=r"at least one example|scalar or a vector"):
        own_blocks(f)(jnp.ones(4), xs)
