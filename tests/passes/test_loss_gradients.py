import dataclasses

import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.outputs.loss import Loss
from ntkjax.passes.loss_gradients import (
    fisher_diagonal,
    gradient_norms,
    gradient_products_and_norms,
    hash_of,
    loss_gradient_sum,
    loss_products,
    losses,
    mean_loss_gradient,
)
from ntkjax.passes.run_pass import Batching
from tests.oracles import normwise
from tests.problems import random_examples
from tests.selection.loss_oracle import explicit, flat
from tests.selection.small_problem import LONGEST, MODEL, THETA


EXAMPLES = random_examples(7, seed=5, longest=LONGEST)
LOSS = Loss(MODEL)
# every parameter there is: embedding, norms and head too
WHOLE = THETA | MODEL.frozen
# float32 derivatives on both sides differ by 1e-6
CLOSE = 1e-5


def batching(num_devices=2, **changes):
    fields = {"pooling": "all", "tokens_per_batch": 60, "max_length": LONGEST}
    return Batching(mesh=data_mesh(num_devices), **(fields | changes))


def direction_like(theta):
    rng = np.random.default_rng(2)
    return {name: rng.standard_normal(leaf.shape) for name, leaf in theta.items()}


@pytest.fixture(scope="module")
def case():
    """θ, a direction, and the explicit losses and gradients.

    The tests of methods do the same with the adapter alone.
    """
    return WHOLE, direction_like(WHOLE), *explicit(MODEL, WHOLE, EXAMPLES, LONGEST)


def test_losses(case):
    theta, _, expected, _ = case
    found = losses(LOSS, theta, EXAMPLES, batching())
    assert found.dtype == np.float64
    assert normwise(found, expected) < CLOSE


def test_sum_and_mean(case):
    theta, _, _, gradients = case
    total = loss_gradient_sum(LOSS, theta, EXAMPLES, batching())
    mean = mean_loss_gradient(LOSS, theta, EXAMPLES, batching())
    for found in (total, mean):
        assert {name: leaf.shape for name, leaf in found.items()} == {
            name: leaf.shape for name, leaf in theta.items()
        }
    assert normwise(flat(total), gradients.sum(axis=0)) < CLOSE
    assert normwise(flat(mean), gradients.mean(axis=0)) < CLOSE


def test_weighted_sum(case):
    theta, _, _, gradients = case
    weights = np.arange(len(EXAMPLES)) / 4
    found = loss_gradient_sum(LOSS, theta, EXAMPLES, batching(), weights)
    assert normwise(flat(found), weights @ gradients) < CLOSE


def test_fisher_diagonal(case):
    theta, _, _, gradients = case
    found = fisher_diagonal(LOSS, theta, EXAMPLES, batching())
    assert normwise(flat(found), (gradients**2).mean(axis=0)) < CLOSE


def test_products(case):
    theta, direction, _, gradients = case
    found = loss_products(LOSS, theta, direction, EXAMPLES, batching())
    assert found.dtype == np.float64
    assert normwise(found, gradients @ flat(direction)) < CLOSE


@pytest.mark.slow
def test_products_and_norms(case):
    theta, direction, _, gradients = case
    products, norms = gradient_products_and_norms(
        LOSS, theta, direction, EXAMPLES, batching()
    )
    expected = np.linalg.norm(gradients, axis=1)
    assert normwise(products, gradients @ flat(direction)) < CLOSE
    assert normwise(norms, expected) < CLOSE
    assert normwise(gradient_norms(LOSS, theta, EXAMPLES, batching()), expected) < CLOSE


ALL = {
    "losses": lambda *rest: losses(LOSS, THETA, *rest),
    "products": lambda *rest: loss_products(LOSS, THETA, direction_like(THETA), *rest),
    "norms": lambda *rest: gradient_products_and_norms(
        LOSS, THETA, direction_like(THETA), *rest
    )[1],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL)
def test_do_not_depend_on_batches_padding_order_or_devices(name):
    expected = ALL[name](EXAMPLES, batching())
    how = batching(1, tokens_per_batch=50, max_length=17, pooling="last")
    order = np.random.default_rng(0).permutation(len(EXAMPLES))
    found = ALL[name]([EXAMPLES[i] for i in order], how)
    assert normwise(found, expected[order]) < CLOSE


@pytest.mark.parametrize("name", ALL)
def test_progress_is_told(name):
    counts = []
    ALL[name](EXAMPLES, batching(), counts.append)
    assert sum(counts) == len(EXAMPLES)


def test_an_example_that_overflows_is_named():
    token = EXAMPLES[3].tokens[0]
    table = np.array(MODEL.frozen["model.embed_tokens.weight"])
    table[token] = np.nan
    frozen = MODEL.frozen | {"model.embed_tokens.weight": table}
    f = Loss(dataclasses.replace(MODEL, frozen=frozen))
    well = [example for example in EXAMPLES if token not in example.tokens]
    examples, direction = [*well, EXAMPLES[3]], direction_like(THETA)
    with pytest.raises(InputError, match="the loss of example '3' is NaN"):
        losses(f, THETA, examples, batching())
    with pytest.raises(InputError, match="product with a gradient of example '3' is"):
        loss_products(f, THETA, direction, examples, batching())
    with pytest.raises(InputError, match="the gradient of example '3' is NaN"):
        gradient_products_and_norms(f, THETA, direction, examples, batching())
    with pytest.raises(InputError, match="the gradient of example '3' is NaN"):
        gradient_norms(f, THETA, examples, batching())


def test_hash_of():
    once = hash_of(EXAMPLES)
    assert once == hash_of(random_examples(7, seed=5, longest=LONGEST))
    first = EXAMPLES[0]
    renamed = dataclasses.replace(first, id="another", was_cut=True)
    assert hash_of([renamed, *EXAMPLES[1:]]) == once
    retargeted = dataclasses.replace(first, targets=~first.targets)
    retokened = dataclasses.replace(first, tokens=first.tokens + np.int32(1))
    joined = dataclasses.replace(
        first,
        tokens=np.concatenate([e.tokens for e in EXAMPLES[:2]]),
        targets=np.concatenate([e.targets for e in EXAMPLES[:2]]),
    )
    others = [
        hash_of([retargeted, *EXAMPLES[1:]]),
        hash_of([retokened, *EXAMPLES[1:]]),
        hash_of([joined, *EXAMPLES[2:]]),
        hash_of(EXAMPLES[1:]),
        hash_of(EXAMPLES[::-1]),
    ]
    assert len({once, *others}) == 6
