"""Passes over a model so deep that programs get its adapter side by side.

Some layers have numbers of two digits, which come before 2 in the order of names.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.gradients.per_output import flatten
from ntkjax.models.stacking import STACKED_FROM
from ntkjax.outputs.divergence import Divergence
from ntkjax.outputs.loss import Loss
from ntkjax.passes.gradient_sketches import AdamUpdate, gradient_sketches
from ntkjax.passes.gradient_sums import gradient_sums, squared_gradient_sums
from ntkjax.passes.loss_gradients import gradient_products_and_norms, loss_products
from ntkjax.passes.run_pass import Batching
from tests.oracles import normwise
from tests.problems import random_examples, random_like, random_model, tiny_config
from tests.selection.slow_gradients import explicit_gradients


LONGEST = 9
EXAMPLES = random_examples(5, seed=4, longest=LONGEST)


@pytest.fixture(scope="module")
def deep():
    """A model that is scanned, θ, and the gradient of each example's loss."""
    model, theta = random_model(tiny_config(num_layers=STACKED_FROM + 3))
    model = model.stacked()
    return model, theta, explicit_gradients(model, theta, EXAMPLES, LONGEST)


def batching():
    return Batching("all", 2 * LONGEST, LONGEST, data_mesh(2))


def flat(tree):
    return np.asarray(flatten(jax.tree.map(jnp.asarray, tree)), np.float64)


def test_sums(deep):
    model, theta, gradients = deep
    found = gradient_sums(Loss(model), theta, EXAMPLES, batching())
    assert found.keys() == theta.keys()
    assert normwise(flat(found), gradients.sum(axis=0)) < 1e-5  # float32 on both sides


@pytest.mark.slow
def test_sums_of_squares(deep):
    model, theta, gradients = deep
    found = squared_gradient_sums(Loss(model), theta, EXAMPLES, batching())
    assert normwise(flat(found), (gradients**2).sum(axis=0)) < 1e-5


def test_gradients_one_by_one(deep):
    model, theta, gradients = deep
    found = gradient_sketches(Loss(model), theta, EXAMPLES, batching())
    assert normwise(found, gradients) < 1e-5


@pytest.mark.slow
def test_adams_update(deep):
    model, theta, gradients = deep
    first, second = (
        random_like(theta, jax.random.key(1)),
        random_like(theta, jax.random.key(2)),
    )
    second = jax.tree.map(jnp.square, second)
    steps = jnp.array(4)
    update = AdamUpdate(first, second, steps, 0.9, 0.99, 1e-3, False, False)
    how = batching()
    found = gradient_sketches(Loss(model), theta, EXAMPLES, how, transform=update)
    mean = 0.9 * flat(first) + 0.1 * gradients
    square = 0.99 * flat(second) + 0.01 * gradients**2
    assert normwise(found, mean / (np.sqrt(square) + 1e-3)) < 1e-5


@pytest.mark.slow
def test_products(deep):
    model, theta, gradients = deep
    along = random_like(theta, jax.random.key(3))
    products = loss_products(Loss(model), theta, along, EXAMPLES, batching())
    assert normwise(products, gradients @ flat(along)) < 1e-5
    given = Loss(model), theta, along, EXAMPLES, batching()
    products, norms = gradient_products_and_norms(*given)
    assert normwise(products, gradients @ flat(along)) < 1e-5
    assert normwise(norms, np.linalg.norm(gradients, axis=1)) < 1e-5


@pytest.mark.slow
def test_an_output_that_holds_an_adapter(deep):
    """Where a model is compared with itself nothing diverges."""
    model, theta, _ = deep
    found = gradient_sums(Divergence(model, theta, 1.0), theta, EXAMPLES, batching())
    assert np.abs(flat(found)).max() < 1e-5
