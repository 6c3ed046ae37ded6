import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.loss import Loss
from tests.oracles import normwise
from tests.problems import random_examples, random_model, tiny_config


EXAMPLES = random_examples(4)
MODELS = {
    "untied": random_model(tiny_config(num_layers=1)),
    "tied": random_model(tiny_config(num_layers=1, tie_embeddings=True)),
    "adapted head": random_model(
        tiny_config(num_layers=1), LoraSettings(2, targets=("lm_head", "v_proj"))
    ),
}


@jax.jit
def losses(f, theta, batch):
    return jax.vmap(lambda x: f(theta, x))(batch)


@jax.jit
def logits_of(model, theta, tokens):
    return model.logits(theta, model.hidden(theta, tokens))


def slow_loss(logits, tokens, targets) -> float:
    """One token at a time, in float64; logits [T, V] of one example."""
    total, count = 0.0, 0
    for t in range(1, len(tokens)):
        if targets[t]:
            exponentials = np.exp(np.asarray(logits[t - 1], np.float64))
            total -= np.log(exponentials[tokens[t]] / exponentials.sum())
            count += 1
    return total / count


@pytest.mark.parametrize("name", MODELS)
def test_loss(name):
    model, theta = MODELS[name]
    found = losses(Loss(model), theta, make_batch(EXAMPLES, "response", 12))
    assert found.shape == (4,)
    for one, loss in zip(EXAMPLES, found, strict=True):
        # padded to one length, so that there is one program
        padded = np.pad(one.tokens, (0, 12 - len(one.tokens)))
        logits = logits_of(model, theta, jnp.asarray(padded))
        # float32 logits of size 10 round to 1e-6
        assert abs(loss - slow_loss(logits, one.tokens, one.targets)) < 1e-5 * loss


def gradients(f, theta, batch):
    one = lambda x: jax.grad(lambda t: f(t, x))(theta)
    return jax.jit(jax.vmap(one))(batch)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tied", "adapted head"])
def test_the_gradient_is_that_of_all_logits_at_once(name):
    model, theta = MODELS[name]

    def dense(theta, x):
        logits = model.logits(theta, model.hidden(theta, x.tokens))
        nll = -jax.nn.log_softmax(logits[:-1])[jnp.arange(11), x.tokens[1:]]
        return nll.mean(where=x.targets[1:])

    batch = make_batch(EXAMPLES, "response", 12)
    found = gradients(Loss(model, block_size=4), theta, batch)
    expected = gradients(dense, theta, batch)
    for key, leaf in expected.items():
        # float32, blocks of positions summed in another order
        assert normwise(found[key], leaf) < 1e-5, key


@pytest.mark.parametrize("block_size", [1, 3, 500])
def test_the_block_size_does_not_matter(block_size):
    model, theta = MODELS["untied"]
    batch = make_batch(EXAMPLES, "response", 12)
    expected = losses(Loss(model), theta, batch)
    found = losses(Loss(model, block_size), theta, batch)
    assert normwise(found, expected) < 1e-6


@pytest.mark.slow
def test_padding_and_batch_mates_do_not_matter():
    model, theta = MODELS["untied"]
    together = losses(Loss(model), theta, make_batch(EXAMPLES, "response", 20))
    for one, loss in list(zip(EXAMPLES, together, strict=True))[:2]:
        alone = losses(Loss(model), theta, make_batch([one], "response"))[0]
        assert abs(alone - loss) <= 1e-5 * together.max()


def test_prompt_tokens_are_seen_but_not_counted():
    model, theta = MODELS["untied"]
    one = EXAMPLES[0]
    everything = dataclasses.replace(one, targets=np.ones(len(one.tokens), bool))
    counted, more = (
        losses(Loss(model), theta, make_batch([x], "response"))[0]
        for x in (one, everything)
    )
    logits = logits_of(model, theta, jnp.asarray(one.tokens))
    expected = slow_loss(logits, one.tokens, everything.targets)
    assert abs(more - expected) < 1e-5 * expected
    assert abs(more - counted) > 0.01 * counted

    # The first prompt token is predicted by nothing; changing it moves the context.
    changed = one.tokens.copy()
    changed[0] = (changed[0] + 1) % 40
    seen = dataclasses.replace(one, tokens=changed)
    moved = losses(Loss(model), theta, make_batch([seen], "response"))[0]
    assert abs(moved - counted) > 1e-4 * counted


def test_large_logits_do_not_overflow():
    model, theta = MODELS["untied"]
    frozen = {**model.frozen, "lm_head.weight": 1e3 * model.frozen["lm_head.weight"]}
    steep = dataclasses.replace(model, frozen=frozen)
    batch = make_batch(EXAMPLES, "response")
    found = losses(Loss(steep), theta, batch)
    assert jnp.isfinite(found).all()
    assert found.min() > 100  # exp of these logits is infinite in float32


def test_a_bfloat16_model_sums_in_float32():
    model, theta = MODELS["untied"]
    batch = make_batch(EXAMPLES, "response")
    found = losses(Loss(model.astype(jnp.bfloat16)), theta, batch)
    assert found.dtype == jnp.float32
    # weights and activations of 8 bits
    assert normwise(found, losses(Loss(model), theta, batch)) < 0.05
