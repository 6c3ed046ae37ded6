import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.data.batches import make_batch
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.gradients.gram import gram
from ntkjax.outputs.positions import LastPositions
from tests.oracles import normwise
from tests.problems import random_model, tiny_config


MODEL, THETA = random_model(tiny_config(num_layers=1))
PROBES = jnp.asarray(np.random.default_rng(7).normal(size=(12, 2)), jnp.float32)


def example(prompt: int, response: int, seed: int) -> TokenizedExample:
    length = prompt + response
    tokens = np.random.default_rng(seed).integers(0, 40, length).astype(np.int32)
    return TokenizedExample(str(seed), tokens, np.arange(length) >= prompt, False)


LONG, SHORT, WHOLE = example(3, 5, seed=0), example(4, 2, seed=1), example(0, 4, seed=2)
EXAMPLES = [LONG, SHORT, WHOLE]


@jax.jit
def states(theta, tokens):
    return MODEL.hidden(theta, tokens)


@pytest.mark.parametrize("num_positions", [1, 3, 6])
def test_outputs_count_from_the_end_of_the_response(num_positions):
    f = LastPositions(MODEL, PROBES, num_positions)
    batch = make_batch(EXAMPLES, "response", 11)
    found = jax.jit(jax.vmap(lambda x: f(THETA, x)))(batch)
    assert found.shape == (3, num_positions * 2)
    for one, outputs in zip(EXAMPLES, found, strict=True):
        padded = jnp.asarray(np.pad(one.tokens, (0, 11 - len(one.tokens))))
        hidden = np.asarray(states(THETA, padded), np.float64)[: len(one.tokens)]
        response = int(one.targets.sum())
        expected = np.zeros((num_positions, 2))
        for i in range(min(num_positions, response)):
            expected[i] = hidden[len(hidden) - 1 - i] @ np.asarray(PROBES, np.float64)
        assert normwise(outputs.reshape(num_positions, 2), expected) < 1e-5


@functools.cache
def position_jacobians(index: int) -> list[np.ndarray]:
    """∂(Pᵀh_t)/∂θ at the response's positions, the last one first, each [s, P]."""
    one = EXAMPLES[index]
    jacobian = jax.jit(
        jax.jacrev(lambda theta: MODEL.hidden(theta, jnp.asarray(one.tokens)) @ PROBES)
    )(THETA)
    leaves = [np.asarray(a, np.float64) for a in jax.tree.leaves(jacobian)]
    dense = np.concatenate([a.reshape(*a.shape[:2], -1) for a in leaves], axis=2)
    return [dense[t] for t in np.flatnonzero(one.targets)[::-1]]


def test_the_shorter_response_decides_how_many_terms_there_are():
    f = LastPositions(MODEL, PROBES, 6)
    batch = make_batch(EXAMPLES, "response", 10)
    found = np.asarray(jax.jit(gram(f))(THETA, batch, batch))
    jacobians = [position_jacobians(index) for index in range(len(EXAMPLES))]
    expected = np.zeros((3, 3))
    for i, of_x in enumerate(jacobians):
        for j, of_y in enumerate(jacobians):
            for a, b in zip(of_x, of_y, strict=False):
                expected[i, j] += (a * b).sum()
    # float32 sums of about a thousand products
    assert normwise(found, expected) < 1e-5
    # the alignment matters: from the start of the responses it is another number
    other = sum((a * b).sum() for a, b in zip(jacobians[0][::-1], jacobians[1][::-1]))  # noqa: B905
    assert abs(other - found[0, 1]) > 0.01 * abs(found[0, 1])


def test_one_position_is_the_last_token():
    f = LastPositions(MODEL, PROBES, 1)
    batch = make_batch([LONG], "last", 12)
    found = jax.vmap(lambda x: f(THETA, x))(batch)[0]
    expected = np.asarray(states(THETA, jnp.asarray(LONG.tokens)))[-1] @ PROBES
    assert normwise(found, expected) < 1e-5


def test_a_gap_in_the_targets_is_zero():
    # A conversation: the user's turn in the middle is no target.
    targets = np.array([False, True, True, False, True])
    tokens = np.arange(5, dtype=np.int32)
    batch = make_batch([TokenizedExample("a", tokens, targets, False)], "response")
    f = LastPositions(MODEL, PROBES, 5)
    found = jax.vmap(lambda x: f(THETA, x))(batch).reshape(5, 2)
    assert (jnp.abs(found).max(axis=1) > 0).tolist() == targets[::-1].tolist()
