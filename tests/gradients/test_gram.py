import jax
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from ntkjax.gradients.gram import gram, grams
from ntkjax.math.sketches import shift_sketch
from tests.oracles import jacobians, normwise, trace_kernel
from tests.problems import mlp


# float32 sums of P = 64 products, each tested against float64-accumulated truth
TOLERANCE = 1e-5


@pytest.mark.parametrize(
    ("tile_size", "block_size", "vjp_batch"),
    [  # every two of the three meet in all their values
        *((1, 1, 1), (1, 2, 4), (1, 16, 1)),
        *((3, 1, 4), (3, 2, 1), (3, 16, 4)),
        *((16, 1, 1), (16, 2, 4), (16, 16, 1)),
    ],
)
def test_trace_equals_the_dense_jacobian(tile_size, block_size, vjp_batch):
    f, theta, draw = mlp(num_outputs=5)
    xs, ys = draw(4), draw(7)
    sizes = {"tile_size": tile_size, "block_size": block_size, "vjp_batch": vjp_batch}
    found = jax.jit(gram(f, **sizes))(theta, xs, ys)
    assert normwise(found, trace_kernel(f, theta, xs, ys)) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("tile_size", [2, 16])
def test_diagonal_and_full_split_the_trace(tile_size):
    f, theta, draw = mlp(num_outputs=3)
    xs, ys = draw(5), draw(3)
    jac_x, jac_y = jacobians(f, theta, xs), jacobians(f, theta, ys)
    each = gram(f, outputs="diagonal", tile_size=tile_size, block_size=2)
    pairs = gram(f, outputs="full", tile_size=tile_size)
    expected_each = np.einsum("nsp,msp->snm", jac_x, jac_y)
    expected_pairs = np.einsum("nsp,mtp->nmst", jac_x, jac_y)
    assert normwise(each(theta, xs, ys), expected_each) < TOLERANCE
    assert normwise(pairs(theta, xs, ys), expected_pairs) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("outputs", ["trace", "diagonal", "full"])
def test_own_kernels_and_sketches_share_the_gradients(outputs):
    f, theta, draw = mlp(num_outputs=3)
    xs, ys = draw(5), draw(4)
    sketch = shift_sketch(64, 16, jax.random.key(0))
    family = grams(f, (sketch,), outputs=outputs, tile_size=2, block_size=2)
    plain, sketched = family(theta, xs, ys)
    for result, project in (
        (plain, np.asarray),
        (sketched, jax.vmap(jax.vmap(sketch))),
    ):
        jac_x = np.asarray(project(jacobians(f, theta, xs)))
        jac_y = np.asarray(project(jacobians(f, theta, ys)))
        cross, own = {
            "trace": ("nsp,msp->nm", "nsp,nsp->n"),
            "diagonal": ("nsp,msp->snm", "nsp,nsp->sn"),
            "full": ("nsp,mtp->nmst", "nsp,ntp->nst"),
        }[outputs]
        assert normwise(result.cross, np.einsum(cross, jac_x, jac_y)) < TOLERANCE
        assert normwise(result.own, np.einsum(own, jac_x, jac_x)) < TOLERANCE


def test_a_scalar_function_is_one_output():
    f, theta, draw = mlp(num_outputs=1)
    xs = draw(3)
    scalar = lambda theta, x: f(theta, x)[0]
    found = gram(scalar)(theta, xs, xs)
    assert normwise(found, trace_kernel(f, theta, xs, xs)) < TOLERANCE


def test_gram_is_symmetric_and_positive_semidefinite():
    f, theta, draw = mlp()
    xs = draw(8)
    kernel = np.asarray(gram(f)(theta, xs, xs), np.float64)
    assert np.allclose(kernel, kernel.T, rtol=1e-5)
    assert np.linalg.eigvalsh(kernel).min() > -1e-5 * np.linalg.norm(kernel)


@pytest.mark.parametrize("bad", [{"tile_size": 0}, {"block_size": 0}, {"vjp_batch": 0}])
def test_sizes_below_one_are_refused(bad):
    with pytest.raises(ValueError, match="sizes must be at least 1"):
        gram(mlp()[0], **bad)


def test_unknown_outputs_are_refused():
    # the type hook of the suite is quicker than the function's own message
    with pytest.raises((ValueError, TypeCheckError), match=r"trace.*diagonal.*full"):
        gram(mlp()[0], outputs="sum")


def test_examples_without_a_common_axis_are_refused():
    f, theta, draw = mlp()
    with pytest.raises(ValueError, match="one leading axis"):
        gram(f)(theta, draw(0), draw(3))


def test_outputs_of_two_axes_are_refused():
    _, theta, draw = mlp()
    matrix = lambda theta, x: x[:, None] @ theta["bias"][None]
    with pytest.raises(ValueError, match="scalar or a vector"):
        gram(matrix)(theta, draw(2), draw(2))
