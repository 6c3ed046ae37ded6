import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.gradients.per_output import flatten
from ntkjax.math.sketches import SKETCHES, shift_sketch
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sketches import AdamUpdate, Sign, gradient_sketches
from ntkjax.passes.run_pass import Batching
from tests.compilations import compilations
from tests.oracles import normwise
from tests.problems import random_examples, random_like
from tests.selection.slow_gradients import explicit_gradients, matrix_of
from tests.selection.small_problem import LONGEST, MODEL, THETA


POOL = random_examples(9, seed=4, longest=LONGEST)
SIZE = sum(leaf.size for leaf in THETA.values())


@pytest.fixture(scope="module")
def gradients():
    return explicit_gradients(MODEL, THETA, POOL)


def batching(num_devices=2, **changes):
    fields = {"pooling": "all", "tokens_per_batch": 60, "max_length": LONGEST}
    return Batching(mesh=data_mesh(num_devices), **(fields | changes))


def sketched(sketch=None, transform=None, **changes):
    how = batching(**changes)
    return gradient_sketches(
        Loss(MODEL), THETA, POOL, how, sketch=sketch, transform=transform
    )


def test_without_a_sketch_they_are_the_gradients(gradients):
    found = sketched()
    assert found.dtype == np.float32
    assert normwise(found, gradients) < 1e-5  # two float32 derivatives


@pytest.mark.slow
@pytest.mark.parametrize("kind", SKETCHES)
def test_the_sketch_is_linear_in_the_gradient(gradients, kind):
    sketch = SKETCHES[kind](SIZE, 20, jax.random.key(3))
    expected = gradients @ matrix_of(sketch, SIZE)
    assert normwise(sketched(sketch), expected) < 1e-5


def test_the_transform_comes_before_the_sketch(gradients):
    sketch = shift_sketch(SIZE, 20, jax.random.key(3))
    expected = np.sign(gradients) @ matrix_of(sketch, SIZE)
    assert normwise(sketched(sketch, Sign()), expected) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"tokens_per_batch": 1, "num_devices": 1},
        {"tokens_per_batch": 200, "max_length": LONGEST + 3},
        {"pooling": "last", "length_normalize": False},
    ],
)
def test_batches_devices_and_pooling_do_not_matter(changes):
    sketch = shift_sketch(SIZE, 20, jax.random.key(3))
    assert normwise(sketched(sketch, **changes), sketched(sketch)) < 1e-5


def test_same_call_same_bits():
    sketch = shift_sketch(SIZE, 20, jax.random.key(3))
    np.testing.assert_array_equal(sketched(sketch), sketched(sketch))


def adam(first, second, num_steps, **changes):
    fields = {
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "epsilon_inside_root": True,
        "bias_correction": False,
    }
    steps = jnp.asarray(num_steps, jnp.int32)
    return AdamUpdate(first, second, steps, **(fields | changes))


def moments(seed=0):
    """Of about the size of squared gradients of 1e-4: ε counts."""
    keys = jax.random.split(jax.random.key(seed))
    first, second = (random_like(THETA, key) for key in keys)
    return (
        jax.tree.map(lambda leaf: 1e-4 * leaf, first),
        jax.tree.map(lambda leaf: (1e-4 * leaf) ** 2, second),
    )


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("beta1", [0.9, 0.0])
def test_adam_update_is_the_formula(inside, corrected, beta1):
    first, second = moments()
    gradient = jax.tree.map(
        lambda leaf: 1e-3 * leaf, random_like(THETA, jax.random.key(9))
    )
    found = adam(
        first,
        second,
        5,
        beta1=beta1,
        epsilon_inside_root=inside,
        bias_correction=corrected,
    )(gradient)
    g, m, s = (
        np.asarray(flatten(tree), np.float64) for tree in (gradient, first, second)
    )
    m, s = beta1 * m + (1 - beta1) * g, 0.999 * s + 0.001 * g**2
    if corrected:
        m, s = m / (1 - beta1**6), s / (1 - 0.999**6)
    expected = m / np.sqrt(s + 1e-8) if inside else m / (np.sqrt(s) + 1e-8)
    assert normwise(flatten(found), expected) < 1e-6


def test_sign_keeps_zero():
    found = Sign()({"a": jnp.array([-2.0, 0.0, 1e-30])})
    assert found["a"].tolist() == [-1, 0, 1]


@pytest.mark.slow
def test_checkpoints_share_one_program():
    sketch = shift_sketch(SIZE, 20, jax.random.key(3))
    other = shift_sketch(SIZE, 20, jax.random.key(4))
    first, second = adam(*moments(0), 3), adam(*moments(1), 7)
    jax.clear_caches()
    assert compilations(lambda: sketched(sketch, first)) > 0
    assert compilations(lambda: sketched(other, second)) == 0


def test_an_example_that_overflows_is_named():
    table = np.array(MODEL.frozen["model.embed_tokens.weight"])
    table[POOL[4].tokens[0]] = np.nan
    frozen = MODEL.frozen | {"model.embed_tokens.weight": jnp.asarray(table)}
    model = dataclasses.replace(MODEL, frozen=frozen)
    with pytest.raises(InputError, match=r"gradient of example '4' is NaN or infinite"):
        gradient_sketches(Loss(model), THETA, [POOL[4]], batching())
