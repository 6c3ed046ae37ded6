import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.math.sketches import SKETCHES, rademacher_sketch, shift_sketch


KEYS = 48


def products(make, g, h, size):
    """⟨S g, S h⟩ under KEYS independent sketches."""

    def one(key):
        sketch = make(g.size, size, key)
        return jnp.vdot(sketch(g), sketch(h))

    keys = jax.random.split(jax.random.key(7), KEYS)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys))(keys), np.float64)


def pair(num, seed, spread):
    """Two correlated vectors; `spread` > 0 makes a few numbers much larger."""
    rng = np.random.default_rng(seed)
    scale = np.exp(spread * rng.normal(size=num))
    g = scale * rng.normal(size=num)
    h = 0.5 * g + scale * rng.normal(size=num)
    return jnp.asarray(g, jnp.float32), jnp.asarray(h, jnp.float32)


@pytest.mark.parametrize("make", SKETCHES.values(), ids=SKETCHES)
@pytest.mark.parametrize(("num", "size"), [(7, 16), (64, 64), (300, 64), (5000, 96)])
def test_unbiased_for_every_shape(make, num, size):
    g, h = pair(num, seed=num, spread=0.5)
    values = products(make, g, h, size)
    truth = float(np.vdot(np.asarray(g, np.float64), np.asarray(h, np.float64)))
    standard_error = values.std(ddof=1) / np.sqrt(KEYS)
    floor = 1e-5 * abs(truth)  # the shift sketch of a short vector is exact
    assert abs(values.mean() - truth) < 4 * standard_error + floor


@pytest.mark.slow
def test_error_of_the_shift_sketch_is_that_of_the_dense_one():
    # DESIGN: second moments agree; within 1.4 over keys, shapes and spreads
    ratios = []
    for num, spread in [(1000, 0.0), (3000, 1.0), (5000, 2.0), (900, 0.5)]:
        g, h = pair(num, seed=num, spread=spread)
        truth = float(np.vdot(np.asarray(g, np.float64), np.asarray(h, np.float64)))
        errors = [
            np.mean((products(make, g, h, 128) - truth) ** 2)
            for make in (shift_sketch, rademacher_sketch)
        ]
        ratios.append(errors[0] / errors[1])
    assert np.mean(ratios) < 1.4


def test_a_vector_shorter_than_the_sketch_keeps_its_products():
    g, h = pair(50, seed=1, spread=0.5)
    sketch = shift_sketch(50, 64, jax.random.key(0))
    found = float(jnp.vdot(sketch(g), sketch(h)))
    assert found == pytest.approx(float(jnp.vdot(g, h)), rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("make", SKETCHES.values(), ids=SKETCHES)
def test_linear_and_decided_by_the_key(make):
    g, h = pair(500, seed=2, spread=0.0)
    sketch = make(500, 32, jax.random.key(0))
    again = make(500, 32, jax.random.key(0))
    other = make(500, 32, jax.random.key(1))
    assert np.allclose(sketch(g + 2 * h), sketch(g) + 2 * sketch(h), atol=1e-4)
    assert np.array_equal(np.asarray(sketch(g)), np.asarray(again(g)))
    assert not np.allclose(sketch(g), other(g))


@pytest.mark.parametrize("make", SKETCHES.values(), ids=SKETCHES)
def test_matches_its_own_matrix(make):
    """The sketch of unit vectors gives a matrix with entries ±1/√k or one ±1."""
    sketch = make(40, 16, jax.random.key(0))
    matrix = np.asarray(jax.vmap(sketch)(jnp.eye(40)))
    if make is rademacher_sketch:
        assert np.allclose(np.abs(matrix), 0.25)
    else:
        assert np.array_equal((matrix != 0).sum(axis=1), np.ones(40))
        assert np.array_equal(np.abs(matrix).sum(axis=1), np.ones(40))


@pytest.mark.parametrize("make", SKETCHES.values(), ids=SKETCHES)
def test_sizes_below_one_are_refused(make):
    with pytest.raises(ValueError, match="expected positive"):
        make(10, 0, jax.random.key(0))
