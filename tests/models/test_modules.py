import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from ntkjax.models.modules import ACTIVATIONS, Embedding, RMSNorm, softcapped


def test_norm_in_bfloat16_is_computed_in_float32():
    rng = np.random.default_rng(0)
    # Values near 1e-3 with ε 1e-12: their squares need more than bfloat16's 8 bits.
    x = jnp.asarray(1e-3 * rng.normal(size=(4, 64)), jnp.bfloat16)
    norm = RMSNorm(64, 1e-12, False, jnp.bfloat16)
    norm.weight[...] = jnp.ones(64, jnp.bfloat16)
    wide = np.asarray(x, np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis=1, keepdims=True) + 1e-12)
    found = np.asarray(norm(x), np.float64)
    # One rounding to 8 bits at the end: at most 2^-8 of each number.
    np.testing.assert_allclose(found, expected, rtol=2**-8)


@pytest.mark.parametrize("unit_offset", [False, True])
def test_norm_of_every_head(unit_offset):
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(5, 3, 8)), rng.normal(size=8)
    norm = RMSNorm(8, 1e-3, unit_offset, jnp.float32)
    norm.weight[...] = jnp.asarray(weight, jnp.float32)
    normed = x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-3)
    expected = (weight + unit_offset) * normed
    found = norm(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_the_product_with_a_unit_offset_is_in_float32():
    """1 + 2^-9 is 1 in bfloat16; x = 130.5·(1 + 2^-9) is not 130.5 after rounding."""
    norm = RMSNorm(2, 0.0, True, jnp.bfloat16)
    norm.weight[...] = jnp.full(2, 2**-9, jnp.bfloat16)
    x = jnp.asarray([[1.0, 1.0078125]], jnp.bfloat16)  # the second is 1 + 2^-7
    wide = np.asarray(x, np.float64)
    expected = (1 + 2**-9) * wide / np.sqrt((wide**2).mean())
    exact = jnp.asarray(expected, jnp.bfloat16)
    assert (norm(x) == exact).all()


def test_embedding_is_scaled_by_a_factor_of_its_own_type():
    """√3072 = 55.4256 is 55.5 in bfloat16, and Gemma is trained with that."""
    embedding = Embedding(3, 2, 3072**0.5, jnp.bfloat16)
    embedding.weight[...] = jnp.ones((3, 2), jnp.bfloat16)
    assert (embedding(jnp.arange(3)) == 55.5).all()


def test_softcap():
    x = jnp.linspace(-40, 40, 9)
    np.testing.assert_allclose(softcapped(x, 5.0), 5 * np.tanh(x / 5), rtol=1e-6)
    assert softcapped(x, None) is x
    assert jax.grad(lambda v: softcapped(v, 5.0))(0.0) == 1


SLOW_ACTIVATIONS = {
    "silu": lambda x: x / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + scipy.special.erf(x / np.sqrt(2))) / 2,
    "gelu_pytorch_tanh": lambda x: (
        x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))) / 2
    ),
    "relu": lambda x: np.maximum(x, 0),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation(name):
    x = np.linspace(-6, 6, 101)
    found = ACTIVATIONS[name](jnp.asarray(x, jnp.float32))
    # float32 rounding; the two GELUs are up to 5e-4 apart.
    np.testing.assert_allclose(found, SLOW_ACTIVATIONS[name](x), atol=2e-6)
