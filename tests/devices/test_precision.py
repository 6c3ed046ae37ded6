import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.devices.precision import PRECISION, at_least_float32, full_precision
from ntkjax.gradients.directional import directional
from ntkjax.gradients.features import features
from ntkjax.gradients.gram import gram
from ntkjax.math.sketches import shift_sketch
from tests.problems import mlp, random_like


def products(function, *arguments) -> list[str]:
    """The matrix products of the program that JAX hands to the compiler."""
    text = jax.jit(function).lower(*arguments).as_text()
    return [line for line in text.splitlines() if "dot_general" in line]


def is_highest(line: str) -> bool:
    return "precision = [HIGHEST, HIGHEST]" in line


def test_products_under_full_precision_are_highest():
    a = jnp.ones((8, 8))

    def under(a):
        with full_precision():
            return a @ a

    (inside,), (outside,) = products(under, a), products(lambda a: a @ a, a)
    assert is_highest(inside)
    assert not is_highest(outside)  # what backends may do in bfloat16 or TF32


def test_the_context_ends():
    before = jax.config.jax_default_matmul_precision

    def fail():
        with full_precision():
            assert jax.config.jax_default_matmul_precision == PRECISION
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail()
    assert jax.config.jax_default_matmul_precision == before


@pytest.mark.parametrize("verb", ["gram", "directional", "features"])
def test_every_product_of_a_verb_is_highest(verb):
    f, theta, draw = mlp()
    if verb == "gram":
        found = products(gram(f), theta, draw(4), draw(5))
    elif verb == "directional":
        direction = random_like(theta, jax.random.key(0), (3,))
        found = products(directional(f), theta, draw(4), direction)
    else:
        sketch = shift_sketch(64, 16, jax.random.key(0))
        found = products(features(f, sketch), theta, draw(4))
    assert len(found) >= 2
    assert [line for line in found if not is_highest(line)] == []


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (jnp.bfloat16, np.float32),
        (jnp.float16, np.float32),
        (np.float32, np.float32),
        (np.dtype("float64"), np.float64),
    ],
)
def test_at_least_float32(dtype, expected):
    assert at_least_float32(dtype) == np.dtype(expected)
