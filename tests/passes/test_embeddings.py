import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import POOLINGS, pooling_weights
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.passes.embeddings import embeddings
from ntkjax.passes.run_pass import Batching
from tests.oracles import normwise
from tests.problems import random_examples, random_model, tiny_config


MODEL, THETA = random_model(tiny_config(num_layers=1))
EXAMPLES = random_examples(11, longest=30)


def batching(num_devices=2, **changes):
    fields = {"pooling": "all", "tokens_per_batch": 60, "max_length": 30}
    return Batching(mesh=data_mesh(num_devices), **(fields | changes))


@functools.cache
def hidden(row):
    """One example alone, without padding."""
    tokens = jnp.asarray(EXAMPLES[row].tokens)
    return np.asarray(jax.jit(MODEL.hidden)(THETA, tokens))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_equals_one_example_at_a_time(pooling):
    found = embeddings(MODEL, THETA, EXAMPLES, batching(pooling=pooling))
    assert found.dtype == np.float32
    for row in (0, 1, 2):
        weights = pooling_weights(EXAMPLES[row].targets, pooling)
        assert normwise(found[row], weights @ hidden(row)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("num_devices", "changes"),
    [
        (1, {}),
        (2, {"tokens_per_batch": 1}),
        (1, {"tokens_per_batch": 120}),
        (2, {"max_length": 48}),
    ],
)
def test_do_not_depend_on_batches_padding_order_or_devices(num_devices, changes):
    expected = embeddings(MODEL, THETA, EXAMPLES, batching())
    how = batching(num_devices, **changes)
    order = np.random.default_rng(0).permutation(len(EXAMPLES))
    found = embeddings(MODEL, THETA, [EXAMPLES[i] for i in order], how)
    assert np.abs(found - expected[order]).max() <= 1e-5 * np.abs(expected).max()


def test_an_overflow_names_the_example():
    broken = np.array(MODEL.frozen["model.embed_tokens.weight"])
    broken[EXAMPLES[5].tokens[0]] = np.nan
    frozen = MODEL.frozen | {"model.embed_tokens.weight": jnp.asarray(broken)}
    model = dataclasses.replace(MODEL, frozen=frozen)
    ill = [e for e in EXAMPLES if EXAMPLES[5].tokens[0] in e.tokens]
    well = [e for e in EXAMPLES if e not in ill]
    assert well
    with pytest.raises(InputError, match="the embedding of example '5' is NaN"):
        embeddings(model, THETA, [*well, EXAMPLES[5]], batching())
