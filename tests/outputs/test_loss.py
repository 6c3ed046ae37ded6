import dataclasses
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.loss import Loss, _of_first
from tests.oracles import normwise
from tests.problems import random_examples, random_like, random_model, tiny_config


EXAMPLES = random_examples(4)
MODELS = {
    "untied": random_model(tiny_config(num_layers=1)),
    "tied": random_model(tiny_config(num_layers=1, tie_embeddings=True)),
    "soft-capped": random_model(tiny_config(num_layers=1, final_softcap=2.0)),
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


def dense(model):
    """The loss from all logits at once."""

    def loss(theta, x):
        logits = model.logits(theta, model.hidden(theta, x.tokens))
        last = len(x.tokens) - 1
        nll = -jax.nn.log_softmax(logits[:-1])[jnp.arange(last), x.tokens[1:]]
        return nll.mean(where=x.targets[1:])

    return loss


def wide(tree):
    float64 = lambda leaf: leaf.astype(jnp.float64) if leaf.dtype == "float32" else leaf
    return jax.tree.map(float64, tree)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_derivatives_are_those_of_all_logits_at_once(x64, name):
    """Of several examples side by side, each with targets of its own number."""
    model, theta = wide(MODELS[name])
    batch = wide(make_batch(EXAMPLES, "response", 12))
    along = random_like(theta, jax.random.key(5))

    @partial(jax.jit, static_argnums=0)
    def derivatives(make):
        f = make(model)
        each = jax.vmap(f, in_axes=(None, 0))
        gradient = jax.vmap(jax.grad(f), in_axes=(None, 0))
        second = jax.jvp(lambda t: gradient(t, batch), (theta,), (along,))
        return jax.jvp(lambda t: each(t, batch), (theta,), (along,)), second

    found = derivatives(partial(Loss, block_size=4))
    expected = derivatives(dense)
    for one, other in zip(
        jax.tree.leaves(found), jax.tree.leaves(expected), strict=True
    ):
        # float64, blocks of positions summed in another order
        assert np.abs(one - other).max() <= 1e-10 * np.abs(other).max()


def test_nothing_is_of_the_size_of_all_logits():
    """Blocks and states stay below, with a vocabulary that is much wider than these."""
    config = tiny_config(num_layers=1, vocab_size=4000)
    model, theta = random_model(config)
    batch = make_batch(random_examples(1, longest=60), "response", 64)
    x = jax.tree.map(lambda leaf: leaf[0], batch)
    shapes = sizes(jax.make_jaxpr(jax.grad(Loss(model, 8)))(theta, x).jaxpr)
    assert 8 * 4000 in shapes
    assert max(shapes - {4000 * config.hidden_size}) < 9 * 4000


def sizes(jaxpr) -> set[int]:
    """Of all arrays of a program and of its loops and functions."""
    found = {math.prod(v.aval.shape) for e in jaxpr.eqns for v in e.outvars}
    inner = [
        part for e in jaxpr.eqns for part in jax.tree.leaves(list(e.params.values()))
    ]
    for part in inner:
        part = getattr(part, "jaxpr", part)
        if hasattr(part, "eqns"):
            found |= sizes(part)
    return found


def test_blocks_after_the_last_target_are_not_computed():
    computed = []

    def double(x):
        jax.debug.callback(lambda: computed.append(1))
        return 2 * x

    run = jax.jit(lambda x, count: _of_first(double, (x,), count, 2))
    for count, blocks in ((0, 0), (1, 1), (4, 2), (5, 3), (7, 4)):
        found = run(jnp.arange(1.0, 8), jnp.int32(count))
        jax.effects_barrier()
        assert found.tolist() == [2.0 * i if i <= count else 0 for i in range(1, 8)]
        assert len(computed) == blocks
        computed.clear()


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
