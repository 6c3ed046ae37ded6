import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.divergence import Confidence, Divergence
from tests.oracles import normwise
from tests.problems import random_examples, random_model, tiny_config


pytestmark = pytest.mark.slow


EXAMPLES = random_examples(4)
BATCH = make_batch(EXAMPLES, "response", 12)
MODELS = {
    "untied": random_model(tiny_config(num_layers=1)),
    "adapted head": random_model(
        tiny_config(num_layers=1), LoraSettings(2, targets=("lm_head", "v_proj"))
    ),
}


def moved(theta, scale=0.5):
    rng = np.random.default_rng(5)
    draw = lambda leaf: leaf + jnp.asarray(scale * rng.normal(size=leaf.shape), "f4")
    return jax.tree.map(draw, theta)


@jax.jit
def values(f, theta, batch):
    return jax.vmap(lambda x: f(theta, x))(batch)


@jax.jit
def gradients(f, theta, batch):
    return jax.vmap(lambda x: jax.grad(lambda t: f(t, x))(theta))(batch)


@jax.jit
def all_logits(model, theta, batch):
    one = lambda tokens: model.logits(theta, model.hidden(theta, tokens))
    return jax.vmap(one)(batch.tokens)


def softmax(z):
    exponentials = np.exp(np.asarray(z, np.float64))
    return exponentials / exponentials.sum()


def target_rows(logits, example):
    """The logits that predict target tokens, one by one."""
    return [logits[t - 1] for t in range(1, len(example.tokens)) if example.targets[t]]


@pytest.mark.parametrize(
    ("name", "temperature"), [("untied", 2.0), ("adapted head", 0.5)]
)
def test_divergence(name, temperature):
    model, base = MODELS[name]
    theta = moved(base)
    found = values(Divergence(model, base, temperature), theta, BATCH)
    before, after = all_logits(model, base, BATCH), all_logits(model, theta, BATCH)
    expected = []
    for row, example in enumerate(EXAMPLES):
        pairs = zip(
            target_rows(before[row], example),
            target_rows(after[row], example),
            strict=True,
        )
        each = []
        for z_base, z in pairs:
            q, p = softmax(z_base / temperature), softmax(z / temperature)
            each.append(temperature**2 * np.sum(q * np.log(q / p)))
        expected.append(np.mean(each))
    assert min(expected) > 0.01
    # float32 logits of size 10 round to 1e-6, which differences double
    assert normwise(found, expected) < 1e-5


def test_the_gradient_is_that_of_all_logits_at_once():
    model, base = MODELS["untied"]
    theta = moved(base)

    def dense(theta, x):
        logits = lambda t: model.logits(t, model.hidden(t, x.tokens))[:-1] / 2.0
        log_q, log_p = (
            jax.nn.log_softmax(logits(base)),
            jax.nn.log_softmax(logits(theta)),
        )
        each = 4.0 * jnp.sum(jnp.exp(log_q) * (log_q - log_p), axis=1)
        return each.mean(where=x.targets[1:])

    found = gradients(Divergence(model, base, 2.0, block_size=4), theta, BATCH)
    expected = gradients(jax.tree_util.Partial(dense), theta, BATCH)
    for key, leaf in expected.items():
        # float32, blocks of positions summed in another order
        assert normwise(found[key], leaf) < 1e-5, key


def test_at_the_base_it_is_zero_and_flat():
    model, base = MODELS["untied"]
    f = Divergence(model, base, 2.0)
    far = jax.tree.leaves(gradients(f, moved(base), BATCH))
    # q and p are the same numbers: only roundings of sums over V remain
    assert jnp.abs(values(f, base, BATCH)).max() < 1e-6
    here = jax.tree.leaves(gradients(f, base, BATCH))
    assert max(jnp.abs(leaf).max() for leaf in here) < 1e-5 * max(
        jnp.abs(leaf).max() for leaf in far
    )


def test_padding_and_blocks_do_not_matter():
    model, base = MODELS["untied"]
    theta = moved(base)
    expected = values(Divergence(model, base, 2.0), theta, BATCH)
    longer = make_batch(EXAMPLES, "response", 20)
    found = values(Divergence(model, base, 2.0, block_size=3), theta, longer)
    assert normwise(found, expected) < 1e-5


def test_a_bfloat16_model_sums_in_float32():
    model, base = MODELS["untied"]
    theta = moved(base)
    found = values(Divergence(model.astype(jnp.bfloat16), base, 2.0), theta, BATCH)
    assert found.dtype == jnp.float32
    # weights and activations of 8 bits
    assert normwise(found, values(Divergence(model, base, 2.0), theta, BATCH)) < 0.1


@pytest.mark.parametrize("kind", ["max_prob", "entropy_inv", "uniform"])
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_confidence(kind, temperature):
    model, base = MODELS["untied"]
    found = values(Confidence(model, temperature, kind), base, BATCH)
    logits = all_logits(model, base, BATCH)
    slow = {
        "max_prob": lambda q: q.max(),
        "entropy_inv": lambda q: 1 + np.sum(q * np.log(q)) / np.log(len(q)),
        "uniform": lambda q: 1.0,
    }[kind]
    expected = [
        np.mean([slow(softmax(z / temperature)) for z in target_rows(rows, example)])
        for rows, example in zip(logits, EXAMPLES, strict=True)
    ]
    # 1 − H/log V of a flat distribution is a difference of numbers near 1
    assert normwise(found, expected) < 1e-5


def test_confidences_of_a_head_that_knows_nothing_and_of_one_that_is_sure():
    model, base = MODELS["untied"]
    head = model.frozen["lm_head.weight"]
    for factor, chance, relative in ((0.0, 1 / 40, 0.0), (1e4, 1.0, 1.0)):
        frozen = {**model.frozen, "lm_head.weight": head * factor}
        other = dataclasses.replace(model, frozen=frozen)
        highest = values(Confidence(other, 1.0, "max_prob"), base, BATCH)
        entropy = values(Confidence(other, 1.0, "entropy_inv"), base, BATCH)
        np.testing.assert_allclose(highest, chance, rtol=0.05)
        np.testing.assert_allclose(entropy, relative, atol=0.05)
