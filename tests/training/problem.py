"""A one-layer decoder to train, and the loss of a step spelled out."""

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.training.settings import TrainingSettings
from tests.problems import random_examples, random_model, tiny_config


MAX_LENGTH = 16  # one bucket, so one compiled program
EXAMPLES = random_examples(11)


def small_model(seed: int = 0):
    return random_model(tiny_config(num_layers=1), seed=seed)


def settings(**changes) -> TrainingSettings:
    small = {"steps": 5, "batch_size": 4, "learning_rate": 1e-2}
    return TrainingSettings(**(small | changes))


def mean_loss(model, theta, examples):
    """Mean of −log p over the target tokens of all examples, one after the other."""
    total, count = 0.0, 0
    for example in examples:
        T = len(example.tokens)
        tokens = jnp.asarray(np.pad(example.tokens, (0, MAX_LENGTH - T)))
        log_p = _log_probabilities(model, theta, tokens)
        targets = np.pad(example.targets, (0, MAX_LENGTH - T))
        targets[0] = False  # nothing stands before it
        total = total - jnp.sum(jnp.where(targets, log_p, 0))
        count += int(targets.sum())
    return total / count


@jax.jit
def _log_probabilities(model, theta, tokens):
    """log p(token_t | tokens before) for t > 0, and 0 at t = 0, [T]."""
    logits = model.logits(theta, model.hidden(theta, tokens))
    log_p = logits - jnp.log(jnp.sum(jnp.exp(logits), axis=1, keepdims=True))
    chosen = jnp.take_along_axis(log_p[:-1], tokens[1:, None], axis=1)[:, 0]
    return jnp.pad(chosen, (1, 0))
