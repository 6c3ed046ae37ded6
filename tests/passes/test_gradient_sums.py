import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.outputs.loss import Loss
from ntkjax.outputs.pooled import PooledHidden
from ntkjax.passes.gradient_sums import (
    gradient_sums,
    squared_gradient_sums,
    to_float32,
)
from ntkjax.passes.run_pass import Batching
from tests.oracles import jacobians, normwise
from tests.problems import random_examples
from tests.selection.loss_oracle import explicit, flat
from tests.selection.small_problem import LONGEST, MODEL, THETA


EXAMPLES = random_examples(7, seed=5, longest=LONGEST)
LOSS = Loss(MODEL)


def batching(num_devices=2, **changes):
    fields = {"pooling": "all", "tokens_per_batch": 60, "max_length": LONGEST}
    return Batching(mesh=data_mesh(num_devices), **(fields | changes))


@pytest.fixture(scope="module")
def gradients():
    return explicit(MODEL, THETA, EXAMPLES, LONGEST)[1]


@pytest.mark.slow
def test_sums(gradients):
    found = gradient_sums(LOSS, THETA, EXAMPLES, batching())
    assert all(leaf.dtype == np.float64 for leaf in found.values())
    shapes = {name: leaf.shape for name, leaf in found.items()}
    assert shapes == {name: (1, *leaf.shape) for name, leaf in THETA.items()}
    # float32 derivatives on both sides: 1e-6
    assert normwise(flat(found), gradients.sum(axis=0)) < 1e-5


def test_weights_go_to_their_rows(gradients):
    weights = np.array([0.5, 0, 3, -1, 1e-3, 2, 0.25])
    found = gradient_sums(LOSS, THETA, EXAMPLES, batching(), weights)
    assert normwise(flat(found), weights @ gradients) < 1e-5


def test_squares(gradients):
    found = squared_gradient_sums(LOSS, THETA, EXAMPLES, batching())
    shapes = {name: leaf.shape for name, leaf in found.items()}
    assert shapes == {name: leaf.shape for name, leaf in THETA.items()}
    assert normwise(flat(found), (gradients**2).sum(axis=0)) < 1e-5


@pytest.mark.slow
def test_several_outputs():
    f = PooledHidden(MODEL)
    found = gradient_sums(f, THETA, EXAMPLES, batching())
    batch = make_batch(EXAMPLES, "all", LONGEST)
    expected = jacobians(f, THETA, batch).sum(axis=0)
    joined = np.concatenate([x.reshape(len(x), -1) for x in jax.tree.leaves(found)], 1)
    assert normwise(joined, expected) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("sums", [gradient_sums, squared_gradient_sums])
def test_do_not_depend_on_batches_padding_order_or_devices(sums):
    expected = flat(sums(LOSS, THETA, EXAMPLES, batching()))
    how = batching(1, tokens_per_batch=50, max_length=17, pooling="last")
    assert normwise(flat(sums(LOSS, THETA, EXAMPLES[::-1], how)), expected) < 1e-5


@pytest.mark.parametrize("sums", [gradient_sums, squared_gradient_sums])
def test_an_example_that_overflows_is_named(sums):
    token = EXAMPLES[3].tokens[0]
    table = np.array(MODEL.frozen["model.embed_tokens.weight"])
    table[token] = np.nan
    frozen = MODEL.frozen | {"model.embed_tokens.weight": jnp.asarray(table)}
    f = Loss(dataclasses.replace(MODEL, frozen=frozen))
    well = [example for example in EXAMPLES if token not in example.tokens]
    assert well
    with pytest.raises(InputError, match="the gradient of example '3' is NaN or inf"):
        sums(f, THETA, [*well, EXAMPLES[3]], batching())


def test_an_overflow_of_the_sum_alone_says_so():
    factor = 3e38 / np.abs(flat(THETA)).max()
    f = Linear(to_float32({name: leaf * factor for name, leaf in THETA.items()}))
    with pytest.raises(InputError, match=r"sum of the gradients .* is infinite"):
        gradient_sums(f, THETA, EXAMPLES[:2], batching(1))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Linear:
    """A function whose gradient is given, and whose value is 0."""

    gradient: dict

    def __call__(self, theta, x):
        moved = {name: t - jax.lax.stop_gradient(t) for name, t in theta.items()}
        return sum(
            (jnp.sum(g * moved[name]) for name, g in self.gradient.items()),
            jnp.float32(0),
        )


@pytest.mark.parametrize("sums", [gradient_sums, squared_gradient_sums])
def test_no_examples(sums):
    with pytest.raises(ValueError, match="no examples"):
        sums(LOSS, THETA, [], batching())
