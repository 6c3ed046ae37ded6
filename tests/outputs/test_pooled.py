import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import POOLINGS, make_batch
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.pooled import PooledHidden, PooledLogits, Probed
from tests.oracles import normwise, row
from tests.problems import random_examples, random_model, tiny_config


EXAMPLES = random_examples(5)
MODELS = {
    "untied": random_model(tiny_config(num_layers=1)),
    "tied": random_model(tiny_config(num_layers=1, tie_embeddings=True)),
}
CAPPED = random_model(tiny_config(num_layers=1, final_softcap=0.5))
# float32 sums of at most 40 numbers, in another order
ROUNDING = 1e-5


@jax.jit
def outputs(f, theta, batch):
    return jax.vmap(lambda x: f(theta, x))(batch)


def slow_mean(rows, example, pooling):
    """The mean over the pooled positions of one example without padding, float64.

    `weighted` counts the first position once, the second twice, and so on.
    """
    rows = np.asarray(rows, np.float64)
    if pooling == "weighted":
        return np.mean(
            [row for t, row in enumerate(rows) for _ in range(t + 1)], axis=0
        )
    if pooling == "all":
        return rows.mean(axis=0)
    if pooling == "last":
        return rows[-1]
    return np.mean([rows[t] for t in np.flatnonzero(example.targets)], axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("name", MODELS)
def test_pooled_outputs_are_means_of_single_positions(name, pooling):
    model, theta = MODELS[name]
    batch = make_batch(EXAMPLES, pooling, 16)
    pooled = outputs(PooledHidden(model), theta, batch)
    logits = outputs(PooledLogits(model, 40), theta, batch)
    for i, example in enumerate(EXAMPLES):
        states = _hidden(model, theta, batch.tokens[i])[: len(example.tokens)]
        assert normwise(pooled[i], slow_mean(states, example, pooling)) < ROUNDING
        each = np.asarray(states, np.float64) @ np.asarray(model.head, np.float64)
        assert normwise(logits[i], slow_mean(each, example, pooling)) < ROUNDING


def test_soft_capped_logits_are_pooled_one_by_one():
    model, theta = CAPPED
    batch = make_batch(EXAMPLES, "all", 16)
    pooled = outputs(PooledLogits(model, 40), theta, batch)
    for i, example in enumerate(EXAMPLES):
        states = _hidden(model, theta, batch.tokens[i])[: len(example.tokens)]
        each = np.asarray(states, np.float64) @ np.asarray(model.head, np.float64)
        expected = (0.5 * np.tanh(each / 0.5)).mean(axis=0)
        assert normwise(pooled[i], expected) < ROUNDING


@jax.jit
def _hidden(model, theta, tokens):
    return model.hidden(theta, tokens)


@pytest.mark.parametrize("name", MODELS)
def test_pooled_logits_are_the_head_times_the_pooled_hidden_state(name):
    model, theta = MODELS[name]
    batch = make_batch(EXAMPLES, "response")
    through_head = outputs(Probed(PooledHidden(model), model.head), theta, batch)
    direct = outputs(PooledLogits(model, 40), theta, batch)
    assert normwise(through_head, direct) < ROUNDING


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [1, 5, 16])
def test_the_block_of_positions_does_not_matter(block_size):
    model, theta = MODELS["untied"]
    batch = make_batch(EXAMPLES, "response", 16)
    expected = outputs(PooledLogits(model, 40), theta, batch)
    found = outputs(PooledLogits(model, 40, block_size), theta, batch)
    assert normwise(found, expected) < ROUNDING


def test_any_weights_are_respected():
    model, theta = MODELS["untied"]
    batch = make_batch(EXAMPLES, "all")
    rng = np.random.default_rng(0)
    weights = jnp.asarray(rng.normal(size=batch.weights.shape), jnp.float32)
    found = outputs(
        PooledHidden(model), theta, dataclasses.replace(batch, weights=weights)
    )
    states = np.stack([_hidden(model, theta, tokens) for tokens in batch.tokens])
    expected = np.einsum("nt,ntd->nd", np.asarray(weights, np.float64), states)
    assert normwise(found, expected) < ROUNDING


@pytest.mark.parametrize("pooling", POOLINGS)
def test_padding_and_batch_mates_do_not_matter(pooling):
    model, theta = MODELS["untied"]
    f = PooledHidden(model)
    together = outputs(f, theta, make_batch(EXAMPLES, pooling, 24))
    for i, example in enumerate(EXAMPLES[:2]):
        alone = outputs(f, theta, make_batch([example], pooling))[0]
        # Design: at most 1e-5 of the largest number.
        assert jnp.abs(together[i] - alone).max() <= 1e-5 * jnp.abs(together).max()


def test_what_stands_on_padding_does_not_matter():
    model, theta = MODELS["untied"]
    batch = make_batch(EXAMPLES, "response", 12)
    lengths = np.array([[len(example.tokens)] for example in EXAMPLES])
    tokens = jnp.where(np.arange(12)[None, :] < lengths, batch.tokens, 7)
    other = dataclasses.replace(batch, tokens=tokens)
    f = PooledHidden(model)
    assert (outputs(f, theta, batch) == outputs(f, theta, other)).all()


def test_padded_rows_of_the_head_are_left_out():
    model, theta = MODELS["untied"]
    batch = make_batch(EXAMPLES, "all")
    few, many = (outputs(PooledLogits(model, n), theta, batch) for n in (33, 40))
    assert few.shape == (5, 33)
    assert normwise(few, many[:, :33]) < 1e-6


@pytest.mark.slow
def test_an_adapted_head_is_part_of_the_long_way():
    model, theta = random_model(tiny_config(), LoraSettings(2, targets=("lm_head",)))
    batch = make_batch(EXAMPLES, "all")
    logits = outputs(PooledLogits(model, 40), theta, batch)
    pooled = np.asarray(outputs(PooledHidden(model), theta, batch), np.float64)
    a, b = (np.asarray(theta[f"lm_head.lora_{x}"], np.float64) for x in "AB")
    head = np.asarray(model.head, np.float64) + 8.0 * (b @ a).T  # α/r = 16/2
    assert normwise(logits, pooled @ head) < ROUNDING
    gradient = jax.grad(lambda t: PooledLogits(model, 40)(t, row(batch, 0)).sum())(
        theta
    )
    assert all(jnp.abs(leaf).max() > 0 for leaf in gradient.values())


def test_probes_on_any_function():
    base = lambda theta, x: jnp.tanh(theta * x)
    probes = jnp.asarray(np.random.default_rng(0).normal(size=(3, 4)), jnp.float32)
    theta, x = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, 0.5, -0.2])
    values = np.tanh(np.asarray(theta, np.float64) * np.asarray(x))
    expected = [sum(probes[c, s] * values[c] for c in range(3)) for s in range(4)]
    np.testing.assert_allclose(Probed(base, probes)(theta, x), expected, rtol=1e-5)


@pytest.mark.slow
def test_sums_of_bfloat16_states_are_float32():
    model, theta = MODELS["untied"]
    half = model.astype(jnp.bfloat16)
    batch = make_batch(EXAMPLES, "all", 12)
    first, second = (jnp.zeros((5, 12)).at[:, t].set(1) for t in (0, 1))
    of_first, of_second, of_both = (
        outputs(PooledHidden(half), theta, dataclasses.replace(batch, weights=weights))
        for weights in (first, second, first + 2**-10 * second)
    )
    assert of_both.dtype == jnp.float32
    # A bfloat16 sum has 8 bits and would lose 2^-10; float32 keeps it to 2^-14.
    assert normwise(of_both - of_first, 2**-10 * of_second) < 1e-3
    probed = Probed(PooledHidden(half), half.head)(theta, row(batch, 0))
    assert probed.dtype == jnp.float32
