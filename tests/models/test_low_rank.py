"""An adapter's product against the plain one, in every mode of differentiation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.devices.precision import full_precision
from ntkjax.models.low_rank import low_rank


T, IN, R, OUT = 5, 7, 2, 6


def plain(x, a, b):
    return (x @ a.T) @ b.T


def draw(*shape, seed=0, dtype=jnp.float64):
    return jax.random.normal(jax.random.key(seed), shape, dtype)


def singles(*shapes):
    return [draw(*shape, dtype=jnp.float32) for shape in shapes]


@pytest.fixture
def operands():
    with jax.enable_x64(True):
        yield draw(T, IN), draw(R, IN, seed=1), draw(OUT, R, seed=2)


def loss(product):
    """Not linear in any operand, so that second derivatives say something."""
    return lambda x, a, b: jnp.sum(jnp.sin(product(x, a, b)))


def gradient(product):
    return jax.grad(loss(product), argnums=(0, 1, 2))


def rate(product):
    """A JVP by all operands; each is its own direction."""
    return lambda *operands: jax.jvp(product, operands, operands)


def rate_of_gradient(product):
    return rate(gradient(product))


def gradient_of_rate(product):
    return gradient(lambda *operands: rate(product)(*operands)[1])


def identity(product):
    return product


MODES = [identity, gradient, rate, rate_of_gradient, gradient_of_rate]
AXES = [(0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0), (1, None, None)]


def assert_equal(found, expected):
    # Sums of a few float64 products in another order.
    jax.tree.map(
        lambda f, e: np.testing.assert_allclose(f, e, rtol=0, atol=1e-12),
        found,
        expected,
    )


@pytest.mark.parametrize("mode", MODES)
def test_modes(mode, operands):
    assert_equal(mode(low_rank)(*operands), mode(plain)(*operands))
    assert_equal(jax.jit(mode(low_rank))(*operands), mode(plain)(*operands))


@pytest.mark.parametrize("axes", AXES)
@pytest.mark.parametrize("mode", MODES)
def test_several_side_by_side(mode, axes, operands):
    several = [
        leaf if axis is None else jnp.stack([leaf, 2 * leaf, leaf - 1], axis)
        for leaf, axis in zip(operands, axes, strict=True)
    ]
    found = jax.vmap(mode(low_rank), axes)(*several)
    assert_equal(found, jax.vmap(mode(plain), axes)(*several))


def test_16_bit_activations_meet_a_float32_adapter():
    x = draw(T, IN, dtype=jnp.bfloat16)
    a, b = draw(R, IN, dtype=jnp.float32), draw(OUT, R, seed=1, dtype=jnp.float32)
    product = low_rank(x, a, b)
    assert product.dtype == jnp.float32
    np.testing.assert_allclose(product, plain(x.astype(jnp.float32), a, b), atol=1e-5)


def products(function, *operands) -> list[str]:
    """The matrix products of a program as it is handed to the compiler."""
    text = jax.jit(function).lower(*operands).as_text()
    return [line for line in text.splitlines() if "dot_general" in line]


def test_every_product_is_in_full_precision():
    operands = singles((T, IN), (R, IN), (OUT, R))

    def gradient_and_rate(*operands):
        with full_precision():
            return gradient(low_rank)(*operands), rate(low_rank)(*operands)

    found = products(gradient_and_rate, *operands)
    assert len(found) >= 6
    assert all("HIGHEST" in line for line in found), found


def widths_over_tokens(product) -> set[str]:
    """Columns of what comes first in products that sum over tokens, for a gradient."""

    def by_adapter(x, a, b):
        def total(a, b):
            return loss(jax.vmap(product, (0, None, None)))(x, a, b)

        return jax.grad(total, argnums=(0, 1))(a, b)

    found = products(by_adapter, *singles((3, T, IN), (R, IN), (OUT, R)))
    rows_first = re.compile(rf"= \[0, 1\] x .*: \(tensor<3x{T}x(\d+)xf32>")
    matches = [rows_first.search(line) for line in found]
    return {match[1] for match in matches if match}


def test_what_is_transposed_is_narrow():
    assert widths_over_tokens(plain) == {str(R), str(OUT)}
    assert widths_over_tokens(low_rank) == {str(R)}
