"""Loss gradients the slow way: one example at a time, from all logits at once."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.data.batches import make_batch
from ntkjax.devices.mesh import data_mesh
from ntkjax.models.lora import initial_theta
from ntkjax.passes.run_pass import Batching
from tests.problems import random_like


@jax.jit
@jax.value_and_grad
def _loss_and_gradient(theta, model, x):
    logits = model.logits(theta, model.hidden(theta, x.tokens))[:-1]
    chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), x.tokens[1:, None], 1)
    counted = x.targets[1:].astype(jnp.float32)
    return -jnp.sum(chosen[:, 0] * counted) / jnp.sum(counted)


def explicit(model, theta, examples, length):
    """Losses [n] and gradients [n, P] in float64; P in tree order."""
    losses, gradients = [], []
    for example in examples:
        batch = make_batch([example], "response", length)
        one = jax.tree.map(lambda leaf: leaf[0], batch)
        loss, gradient = _loss_and_gradient(theta, model, one)
        losses.append(float(loss))
        gradients.append(flat(gradient))
    return np.array(losses), np.stack(gradients)


def explicit_of(problem):
    """Gradients of the target [m, P] and of the candidates [k, P]."""
    candidates = problem.candidates.read(np.arange(len(problem.candidates)))
    return tuple(
        explicit(problem.model, problem.snapshot.theta, examples, 14)[1]
        for examples in (problem.target_tokens, candidates)
    )


def flat(tree):
    """All numbers of a tree as one vector, in float64."""
    leaves = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.reshape(-1) for leaf in leaves])


def rebatched(problem):
    """The same problem in other batches, padded further, on one device."""
    batching = Batching("last", 120, 17, data_mesh(1))
    return dataclasses.replace(problem, batching=batching)


def trained_adapter(model):
    """An adapter as a short training leaves it: B small, updates below the weights.

    With larger ones the model is no model any more, and its gradients cancel so much
    that float32 says little on either side.
    """
    theta = initial_theta(model.theta_shapes, jax.random.key(0))
    noise = random_like(theta, jax.random.key(1))
    return {
        name: np.float32(0.02) * noise[name] if name.endswith("lora_B") else leaf
        for name, leaf in theta.items()
    }
